//! The fragment: about one second of every track of a stream, the unit that is buffered, written, synced and tapped.

use std::sync::{Arc, Mutex};

use crate::track::Track;

/// One access unit inside a [`TrackFragment`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Bytes in [`TrackFragment::data`], following those of the sample before.
    pub size: u32,
    /// Decode time to the next sample's, in track ticks.
    pub duration_ticks: u32,
    /// Presentation minus decode time in track ticks; not zero only where the camera reorders pictures.
    pub composition_offset_ticks: i32,
    pub random_access: bool,
}

/// The samples of one track within a fragment.
#[derive(Debug, Default)]
pub struct TrackFragment {
    /// Index into [`Fragment::tracks`].
    pub track: usize,
    /// Decode time of the first sample, in track ticks since the start of the run (see [`Fragment::start_us`]).
    /// Never before the end of the track's fragment before; later where sound has a gap.
    pub start_ticks: i64,
    pub samples: Vec<Sample>,
    /// Sample bytes back to back; H.264 as NAL units behind 4-byte big-endian lengths.
    pub data: Vec<u8>,
}

impl TrackFragment {
    pub fn duration_ticks(&self) -> u64 {
        self.samples.iter().map(|s| u64::from(s.duration_ticks)).sum()
    }
}

/// Why a segment must not go on with this fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discontinuity {
    /// First fragment of the run.
    RunStart,
    /// The host's wall clock was moved: times from here on are of another clock than those before, and so is the run.
    ClockStep,
    /// A track's configuration differs from the fragment before.
    ParameterChange,
    /// The camera's clock jumped; media time was joined without the jump.
    TimeJump,
    /// Fragments between the one before and this were dropped for want of space.
    Dropped,
}

/// About one second of a stream. Immutable once built; shared by ring, writer and taps.
#[derive(Debug)]
pub struct Fragment {
    /// Counts fragments of the stream, over runs, from 0.
    pub sequence: u64,
    /// The tracks of the stream, video first, with the configuration valid in this fragment.
    pub tracks: Arc<[Track]>,
    /// Video first. Tracks without a sample in this second are absent.
    pub parts: Vec<TrackFragment>,
    /// The first video sample is a random access point (or the stream has no video): a segment may start here.
    pub random_access: bool,
    pub discontinuity: Option<Discontinuity>,
    /// Media time of the first video sample (first sample where there is no video) since the run started, microseconds.
    pub start_us: i64,
    /// Media duration in microseconds.
    pub duration_us: i64,
    /// UTC of `start_us` by the run's anchor, milliseconds.
    pub start_utc_ms: i64,
    /// RTP packets known to be lost in this fragment's span.
    pub lost_packets: u32,
    pool: Option<Arc<BufferPool>>,
}

impl Fragment {
    /// Payload bytes over all tracks.
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(|p| p.data.len()).sum()
    }

    /// What the fragment holds in memory. A camera can send fragments of a few bytes, or of little in large buffers.
    pub fn memory_bytes(&self) -> usize {
        let part = |part: &TrackFragment| size_of::<TrackFragment>() + part.samples.capacity() * size_of::<Sample>() + part.data.capacity();
        size_of::<Self>() + self.parts.iter().map(part).sum::<usize>()
    }

    #[allow(clippy::too_many_arguments)]
    pub fn new(
        sequence: u64,
        tracks: Arc<[Track]>,
        parts: Vec<TrackFragment>,
        random_access: bool,
        discontinuity: Option<Discontinuity>,
        times: FragmentTimes,
        lost_packets: u32,
        pool: Option<Arc<BufferPool>>,
    ) -> Self {
        Self {
            sequence,
            tracks,
            parts,
            random_access,
            discontinuity,
            start_us: times.start_us,
            duration_us: times.duration_us,
            start_utc_ms: times.start_utc_ms,
            lost_packets,
            pool,
        }
    }
}

/// The three times of a [`Fragment`], named as there.
#[derive(Debug, Clone, Copy)]
pub struct FragmentTimes {
    pub start_us: i64,
    pub duration_us: i64,
    pub start_utc_ms: i64,
}

impl Drop for Fragment {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            for part in &mut self.parts {
                pool.give(std::mem::take(&mut part.data));
            }
        }
    }
}

/// Sample buffers handed back by dropped fragments, so that steady state allocates nothing.
#[derive(Debug)]
pub struct BufferPool {
    free: Mutex<Vec<Vec<u8>>>,
    limit: usize,
    limit_bytes: usize,
}

impl BufferPool {
    /// Keeps at most `limit` buffers, of at most `limit_bytes` together.
    pub fn new(limit: usize, limit_bytes: usize) -> Arc<Self> {
        Arc::new(Self { free: Mutex::new(Vec::with_capacity(limit)), limit, limit_bytes })
    }

    /// An empty buffer for about `bytes`: tracks differ in size by far, and a small one must not keep a large one's memory.
    pub fn take_for(&self, bytes: usize) -> Vec<u8> {
        let mut free = self.lock();
        let fitting = free.iter().enumerate().filter(|(_, buffer)| (bytes..=bytes.saturating_mul(4)).contains(&buffer.capacity()));
        if let Some(at) = fitting.min_by_key(|(_, buffer)| buffer.capacity()).map(|(at, _)| at) {
            return free.swap_remove(at);
        }
        // None fits and there is no room for one that does: sizes have changed.
        if free.len() >= self.limit {
            free.pop();
        }
        drop(free);
        Vec::with_capacity(bytes)
    }

    pub fn give(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut free = self.lock();
        let bytes = capacity(&free).saturating_add(buffer.capacity());
        if free.len() < self.limit && bytes <= self.limit_bytes && buffer.capacity() > 0 {
            free.push(buffer);
        }
    }

    /// Capacity of the buffers that wait for use.
    pub fn bytes(&self) -> usize {
        capacity(&self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn capacity(buffers: &[Vec<u8>]) -> usize {
    buffers.iter().map(Vec::capacity).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_no_more_buffers_and_bytes_than_it_may() {
        let pool = BufferPool::new(2, 100);
        for bytes in [60, 60, 30, 5, 0] {
            pool.give(Vec::with_capacity(bytes));
        }
        assert_eq!(pool.bytes(), 90);
    }

    #[test]
    fn a_small_buffer_is_not_taken_from_a_large_one() {
        let pool = BufferPool::new(2, 10_000);
        pool.give(Vec::with_capacity(4000));
        assert_eq!(pool.take_for(10).capacity(), 10);
        assert_eq!(pool.take_for(1000).capacity(), 4000);
        assert_eq!(pool.bytes(), 0);
    }
}
