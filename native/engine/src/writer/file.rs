//! One segment file from creation to its final name. Every step says which one it is when it fails.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use easyrms_media::mp4::{Mp4Error, SealedSummary, SegmentState};

use super::SegmentKey;
use super::steps;
use crate::facts::{Fact, SegmentEnd, TrackDescription};
use crate::ring::Item;
use crate::root::Root;
use crate::stats::{EngineSlot, Page, StreamSlot};
use crate::stream::{ChainLink, StreamShared};
use crate::ticket::{SegmentTicket, hex};

/// A step of a segment's life that failed.
#[derive(Debug)]
pub struct StepError {
    pub step: &'static str,
    pub source: io::Error,
    /// The fragment itself was refused: it must not be tried again in the next segment.
    pub refused: bool,
}

impl StepError {
    fn refused(step: &'static str, error: &Mp4Error) -> Self {
        Self { step, source: io::Error::new(io::ErrorKind::InvalidInput, error.to_string()), refused: true }
    }

    pub fn errno(&self) -> i32 {
        self.source.raw_os_error().unwrap_or(libc::EINVAL)
    }
}

trait Step<T> {
    fn step(self, step: &'static str) -> Result<T, StepError>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, step: &'static str) -> Result<T, StepError> {
        self.map_err(|source| StepError { step, source: source.into(), refused: false })
    }
}

/// A segment file that grows, or waits for its final name.
///
/// Invariant: `durable_bytes <= written_bytes <= allocated_bytes` where blocks could be reserved; after a failed sync the file is dropped, never synced again.
#[derive(Debug)]
pub struct SegmentFile {
    pub key: SegmentKey,
    pub stream: Arc<StreamShared>,
    pub path: PathBuf,
    /// Not durable yet, oldest first. They are what a failure gives back.
    pub undurable: Vec<Item>,
    pub ended: bool,
    home: Arc<Root>,
    root: u32,
    file: File,
    state: SegmentState,
    start_utc_ms: i64,
    end_utc_ms: i64,
    written_bytes: u64,
    durable_bytes: u64,
    durable_fragments: u64,
    allocated_bytes: u64,
    reserve_bytes: u64,
    /// The directory does not durably know the file yet.
    new_entry: bool,
    /// The next append also writes this.
    init: Vec<u8>,
}

impl SegmentFile {
    /// Creates the file for the segment that begins with `item`, which is still to be appended.
    pub fn create(home: &Arc<Root>, stream: Arc<StreamShared>, ticket: &SegmentTicket, item: &Item) -> Result<Self, StepError> {
        let fragment = &item.fragment;
        let mut init = Vec::new();
        let identity = ticket.identity(fragment.start_utc_ms, item.start_mono_ms);
        let state = SegmentState::new(&fragment.tracks, &identity, &mut init).map_err(|error| StepError::refused("open", &error))?;
        let file = match home.create_new(&ticket.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                home.create_directory_of(&ticket.path).step("open")?;
                home.create_new(&ticket.path)
            }
            created => created,
        };
        let mut segment = Self {
            key: SegmentKey { run: ticket.run, sequence: ticket.sequence },
            stream,
            path: ticket.path.clone(),
            undurable: Vec::new(),
            ended: false,
            home: Arc::clone(home),
            root: ticket.root,
            file: file.step("open")?,
            state,
            start_utc_ms: fragment.start_utc_ms,
            end_utc_ms: fragment.start_utc_ms,
            written_bytes: 0,
            durable_bytes: 0,
            durable_fragments: 0,
            allocated_bytes: 0,
            reserve_bytes: ticket.preallocate_bytes,
            new_entry: true,
            init,
        };
        segment.reserve(0);
        Ok(segment)
    }

    fn reserve(&mut self, end: u64) {
        if self.reserve_bytes > 0 && end >= self.allocated_bytes {
            let missing = end - self.allocated_bytes + self.reserve_bytes;
            if steps::reserve(&self.file, self.allocated_bytes, missing) {
                self.allocated_bytes += missing;
            } else {
                // Not asked again with every fragment: a file system that cannot never can, and a full one shows it at the write.
                self.reserve_bytes = 0;
            }
        }
    }

    /// Appends one fragment with one write. `headers` is scratch.
    pub fn append(&mut self, item: Item, headers: &mut Vec<u8>, stats: &Page<EngineSlot>) -> Result<(), (StepError, Item)> {
        headers.clear();
        let fragment = &item.fragment;
        let ranges = match self.state.append(fragment, headers) {
            Ok(ranges) => ranges,
            Err(error) => return Err((StepError::refused("append", &error), item)),
        };
        let mut slices: Vec<&[u8]> = Vec::with_capacity(1 + 2 * fragment.parts.len());
        slices.push(&self.init);
        for (range, part) in ranges.iter().zip(&fragment.parts) {
            slices.push(headers.get(range).unwrap_or_default());
            slices.push(&part.data);
        }
        let offset = self.written_bytes;
        let bytes: u64 = slices.iter().map(|slice| slice.len() as u64).sum();
        match steps::write_all_at(&self.file, &slices, offset) {
            Ok(calls) => stats.add(EngineSlot::WriteCalls, calls),
            Err(error) => return Err((StepError { step: "append", source: error, refused: false }, item)),
        }
        stats.add(EngineSlot::WrittenBytes, bytes);
        self.init = Vec::new();
        self.written_bytes += bytes;
        self.end_utc_ms = item.end_utc_ms();
        self.undurable.push(item);
        self.reserve(self.written_bytes);
        self.show_size();
        Ok(())
    }

    fn show_size(&self) {
        self.stream.stats.set(StreamSlot::SegmentBytes, self.written_bytes);
        self.stream.stats.set(StreamSlot::SegmentAllocatedBytes, self.allocated_bytes.max(self.written_bytes));
    }

    pub fn is_dirty(&self) -> bool {
        !self.undurable.is_empty()
    }

    pub fn start_write_out(&self) {
        steps::start_write_out(&self.file, self.durable_bytes, self.written_bytes - self.durable_bytes);
    }

    /// Fails like a sync, and as finally.
    pub fn await_write_out(&self) -> Result<(), StepError> {
        steps::await_write_out(&self.file, self.durable_bytes, self.written_bytes - self.durable_bytes).step("sync")
    }

    /// Makes all that was appended durable, the file's name included. Not to be called again after it failed.
    pub fn sync(&mut self, stats: &Page<EngineSlot>) -> Result<(), StepError> {
        stats.add(EngineSlot::SyncCalls, 1);
        rustix::fs::fdatasync(&self.file).step("sync")?;
        if self.new_entry {
            let directory = self.home.directory_of(&self.path).step("sync-directory")?;
            rustix::fs::fsync(directory).step("sync-directory")?;
            self.new_entry = false;
        }
        self.stream.remove_in_flight(self.undurable.iter().map(Item::memory_bytes).sum());
        let bytes = self.undurable.iter().map(Item::bytes).sum();
        self.stream.stats.add(StreamSlot::DurableFragments, self.undurable.len() as u64);
        self.stream.stats.add(StreamSlot::DurableBytes, bytes);
        self.durable_fragments += self.undurable.len() as u64;
        self.durable_bytes = self.written_bytes;
        self.undurable.clear();
        steps::drop_cache(&self.file, self.durable_bytes);
        Ok(())
    }

    /// Seals the file, makes it durable, and gives it its final name.
    pub fn finish(&mut self, final_path: &Path, stats: &Page<EngineSlot>) -> Result<SealedSummary, StepError> {
        let mut seal = Vec::new();
        let previous = self.stream.chain_before(self.key.run, self.key.sequence);
        let summary = self.state.clone().seal(previous, &mut seal);
        let calls = steps::write_all_at(&self.file, &[&seal], self.written_bytes).step("seal")?;
        stats.add(EngineSlot::WriteCalls, calls);
        stats.add(EngineSlot::WrittenBytes, seal.len() as u64);
        // Of the same size, so that nothing but the reserved blocks behind it goes; before the sync, so that both are one commit.
        self.file.set_len(summary.bytes).step("seal")?;
        self.written_bytes = summary.bytes;
        self.allocated_bytes = 0;
        self.sync(stats)?;
        let open_path = self.path.clone();
        let rename = self.home.rename(&open_path, final_path).step("rename")?;
        rename.act().step("rename")?;
        final_path.clone_into(&mut self.path);
        rename.sync().step("sync-directory")?;
        self.stream.set_chain(ChainLink { run: self.key.run, sequence: self.key.sequence, blake3: summary.blake3 });
        Ok(summary)
    }

    /// Gives back reserved blocks of a file that nobody will finish before the next start.
    pub fn trim(&self) -> io::Result<()> {
        self.file.set_len(self.written_bytes)
    }

    pub fn opened(&self, item: &Item) -> Fact {
        Fact::SegmentOpened {
            name: self.key.name(self.stream.id),
            root: self.root,
            path: self.path.display().to_string(),
            start_utc_ms: self.start_utc_ms,
            start_mono_ms: item.start_mono_ms,
            tracks: item.fragment.tracks.iter().map(TrackDescription::of).collect(),
        }
    }

    pub fn durable(&self) -> Fact {
        Fact::Durable {
            name: self.key.name(self.stream.id),
            fragments: self.durable_fragments,
            bytes: self.durable_bytes,
            end_utc_ms: self.end_utc_ms,
        }
    }

    pub fn ended(&self, reason: SegmentEnd) -> Fact {
        Fact::SegmentEnded {
            name: self.key.name(self.stream.id),
            root: self.root,
            path: self.path.display().to_string(),
            start_utc_ms: self.start_utc_ms,
            end_utc_ms: self.end_utc_ms,
            duration_ms: self.state.duration_us() / 1000,
            fragments: self.state.fragments() as u64,
            bytes: self.written_bytes,
            reason,
        }
    }

    pub fn sealed(&self, final_path: &Path, summary: &SealedSummary) -> Fact {
        Fact::SegmentSealed {
            name: self.key.name(self.stream.id),
            root: self.root,
            path: final_path.display().to_string(),
            bytes: summary.bytes,
            crc64: hex(&summary.crc64.to_be_bytes()),
            blake3: hex(&summary.blake3),
        }
    }
}

/// The fact of a failed step.
pub fn failed(key: SegmentKey, stream: u32, root: u32, path: &Path, error: &StepError) -> Fact {
    Fact::SegmentFailed {
        name: key.name(stream),
        root,
        path: path.display().to_string(),
        step: error.step,
        errno: error.errno(),
        message: error.source.to_string(),
    }
}
