//! Access units gathered into fragments: cut points, decode times, and the wall time of the run.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::assembler::Now;
use crate::fragment::{BufferPool, Discontinuity, Fragment, FragmentTimes, Sample, TrackFragment};
use crate::timeline::ticks_to_us;
use crate::track::{CodecConfig, Track};

/// A fragment ends at these bounds too, whatever its time stamps say.
const MAX_FRAGMENT_BYTES: usize = 16 * 1024 * 1024;
const MAX_FRAGMENT_UNITS: usize = 2000;
/// Where the track that cuts is silent, another ends a fragment after this many times its length.
const SILENT_LEAD_FRAGMENTS: i64 = 4;
/// Wall time is pulled towards the least-delayed unit by at most this share of the time passed.
const SLEW_PPM: i64 = 500;
/// No quartz is that wrong: the camera's clock is not kept by one, or the anchor was taken from media that came late.
const GROSS_ERROR_US: i64 = 300_000;
/// A network that stalls looks the same for a while.
const GROSS_FRAGMENTS: u32 = 5;
/// Then this share pulls it in: more than any camera runs wrong, and less than a picture from one fragment to the next.
const GROSS_SLEW_PPM: i64 = 30_000;

/// One unit as it came, its bytes in the track's buffer behind those of the unit before.
#[derive(Debug, Clone, Copy)]
struct PendingUnit {
    size: usize,
    presentation_ticks: i64,
    /// Known length of sound; 0 for video.
    duration_ticks: u32,
    random_access: bool,
}

#[derive(Debug)]
struct PendingPart {
    clock_rate: NonZeroU32,
    buffer: Vec<u8>,
    /// End of the last whole unit in `buffer`.
    whole: usize,
    units: Vec<PendingUnit>,
    /// The newest unit, when it is the one in progress again.
    reopened: Option<PendingUnit>,
    /// Of the fragment before; fragments with a random access point and such without often take turns.
    previous_bytes: usize,
    /// Where the track's decode time has got to.
    decode_ticks: i64,
    /// Duration of the sample before, for one whose successor is unknown.
    nominal_ticks: i64,
    latest_presentation_ticks: i64,
    reordered: bool,
}

impl PendingPart {
    fn ticks_to_us(&self, ticks: i64) -> i64 {
        ticks_to_us(ticks, self.clock_rate)
    }

    /// Bytes of the unit in progress.
    fn tail(&self) -> usize {
        self.buffer.len().saturating_sub(self.whole)
    }

    /// Decode times are the presentation times in order, so that reordered pictures need no parsing.
    fn samples(&mut self, next: Option<i64>) -> (i64, Vec<Sample>) {
        let mut decode: Vec<i64> = self.units.iter().map(|unit| unit.presentation_ticks).collect();
        decode.sort_unstable();
        let mut floor = self.decode_ticks;
        for time in &mut decode {
            *time = (*time).max(floor);
            floor = *time + 1;
        }
        let last = decode.last().copied().unwrap_or(self.decode_ticks);
        let end = match (next, self.units.last()) {
            (Some(next), _) if !self.reordered => next.max(last + 1),
            (Some(next), _) => (last + self.nominal_ticks).min(next).max(last + 1),
            (None, Some(unit)) if unit.duration_ticks > 0 => last + i64::from(unit.duration_ticks),
            (None, _) => last + self.nominal_ticks.max(1),
        };
        let start = decode.first().copied().unwrap_or(end);
        let ends = decode.iter().skip(1).copied().chain([end]);
        let samples: Vec<Sample> = self
            .units
            .iter()
            .zip(decode.iter().zip(ends))
            .map(|(unit, (time, until))| Sample {
                size: unit.size as u32,
                duration_ticks: (until - time).clamp(1, i64::from(u32::MAX)) as u32,
                // Sound is played as it is decoded.
                composition_offset_ticks: if unit.duration_ticks > 0 {
                    0
                } else {
                    (unit.presentation_ticks - time).clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
                },
                random_access: unit.random_access,
            })
            .collect();
        self.decode_ticks = end;
        if let Some(sample) = samples.last() {
            self.nominal_ticks = i64::from(sample.duration_ticks).min(i64::from(self.clock_rate.get()));
        }
        (start, samples)
    }
}

/// What a finished unit is, beyond its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Unit {
    /// Presentation time since the start of the run, in the track's ticks.
    pub presentation_ticks: i64,
    pub duration_ticks: u32,
    pub random_access: bool,
}

/// The reason that says more: the start of a run includes all, then what begins one, and another configuration matters more than another time.
fn stronger(one: Option<Discontinuity>, other: Option<Discontinuity>) -> Option<Discontinuity> {
    let rank = |reason: &Option<Discontinuity>| match reason {
        None => 0,
        Some(Discontinuity::Dropped | Discontinuity::TimeJump) => 1,
        Some(Discontinuity::ParameterChange) => 2,
        Some(Discontinuity::ClockStep) => 3,
        Some(Discontinuity::RunStart) => 4,
    };
    [one, other].into_iter().max_by_key(rank).flatten()
}

/// Builds the fragments of one run.
#[derive(Debug)]
pub struct FragmentBuilder {
    tracks: Arc<[Track]>,
    /// In force from the next fragment on.
    next_tracks: Option<Arc<[Track]>>,
    parts: Vec<PendingPart>,
    /// The track that cuts: video if there is any.
    lead: usize,
    lead_is_video: bool,
    fragment_us: i64,
    next_sequence: u64,
    /// Of the fragment in progress.
    discontinuity: Option<Discontinuity>,
    /// Of the next fragment that begins with a random access point.
    next_discontinuity: Option<Discontinuity>,
    /// The host's wall clock that the anchor is of: how often it was moved, and what it shows beyond the monotonic clock.
    clock: Option<(u32, i64)>,
    /// By how much it was moved before the fragment in progress, microseconds.
    moved_us: i64,
    /// UTC of media time 0 in microseconds, as slewed so far.
    anchor_us: Option<i64>,
    /// Fragments in a row whose wall time was grossly wrong.
    gross: u32,
    /// A gross error is being pulled in.
    pulling: bool,
    /// UTC at start and end of the fragment before, microseconds.
    wall_start_us: i64,
    wall_end_us: i64,
    /// Least (arrival − media time) of the units of this fragment, UTC microseconds.
    least_delay_us: Option<i64>,
    lost_packets: u32,
    finished: VecDeque<Fragment>,
    pool: Arc<BufferPool>,
    /// Stands in for the buffer of a track that does not exist.
    nowhere: Vec<u8>,
}

impl FragmentBuilder {
    pub fn new(tracks: Arc<[Track]>, fragment_ms: u32, first_sequence: u64, pool: Arc<BufferPool>) -> Self {
        let lead = tracks.iter().position(|track| track.codec.is_video());
        let parts = tracks
            .iter()
            .map(|track| PendingPart {
                clock_rate: track.ticks_per_second(),
                buffer: Vec::new(),
                whole: 0,
                units: Vec::new(),
                reopened: None,
                previous_bytes: 0,
                decode_ticks: i64::MIN / 4,
                nominal_ticks: i64::from(track.clock_rate / 25),
                latest_presentation_ticks: i64::MIN / 4,
                reordered: false,
            })
            .collect();
        Self {
            tracks,
            next_tracks: None,
            parts,
            nowhere: Vec::new(),
            lead: lead.unwrap_or(0),
            lead_is_video: lead.is_some(),
            fragment_us: i64::from(fragment_ms) * 1000,
            next_sequence: first_sequence,
            discontinuity: None,
            next_discontinuity: Some(Discontinuity::RunStart),
            clock: None,
            moved_us: 0,
            anchor_us: None,
            gross: 0,
            pulling: false,
            wall_start_us: i64::MIN,
            wall_end_us: i64::MIN,
            least_delay_us: None,
            lost_packets: 0,
            finished: VecDeque::new(),
            pool,
        }
    }

    pub fn tracks(&self) -> &Arc<[Track]> {
        &self.tracks
    }

    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    pub fn next_fragment(&mut self) -> Option<Fragment> {
        self.finished.pop_front()
    }

    pub fn lose(&mut self, packets: u32) {
        self.lost_packets = self.lost_packets.saturating_add(packets);
    }

    /// Where the unit in progress of a track is appended.
    pub fn buffer(&mut self, track: usize) -> &mut Vec<u8> {
        self.parts.get_mut(track).map_or(&mut self.nowhere, |part| &mut part.buffer)
    }

    /// Where the unit in progress begins in its buffer.
    pub fn unit_start(&self, track: usize) -> usize {
        self.parts.get(track).map_or(0, |part| part.whole)
    }

    /// Forgets the unit in progress. Returns the size at which it had been taken for whole before.
    pub fn discard(&mut self, track: usize) -> Option<usize> {
        let part = self.parts.get_mut(track)?;
        part.buffer.truncate(part.whole);
        let size = part.reopened.take()?.size;
        if track == self.lead && part.units.is_empty() {
            self.next_discontinuity = stronger(self.next_discontinuity, self.discontinuity.take());
        }
        Some(size)
    }

    /// Makes the newest whole unit the one in progress again; false if it has left in a fragment.
    pub fn reopen(&mut self, track: usize) -> bool {
        let Some(part) = self.parts.get_mut(track) else { return false };
        let Some(unit) = part.units.pop() else { return false };
        part.whole -= unit.size;
        part.reopened = Some(unit);
        true
    }

    /// Ends the unit in progress if it is one that was reopened, and keeps its time. Returns the bytes by which it grew.
    pub fn close_reopened(&mut self, track: usize) -> Option<usize> {
        let part = self.parts.get_mut(track)?;
        let unit = part.reopened.take()?;
        let size = part.tail();
        part.whole = part.buffer.len();
        part.units.push(PendingUnit { size, ..unit });
        Some(size - unit.size)
    }

    pub fn is_video(&self, track: usize) -> bool {
        self.tracks.get(track).is_some_and(|track| track.codec.is_video())
    }

    /// Whether a player can be told how to decode the track.
    pub fn is_described(&self, track: usize) -> bool {
        match self.tracks.get(track).map(|track| &track.config) {
            Some(CodecConfig::H264 { sps, pps }) => !sps.is_empty() && !pps.is_empty(),
            other => other.is_some(),
        }
    }

    /// Moves what was gathered of a track in time.
    pub fn shift(&mut self, track: usize, ticks: i64) {
        for unit in self.parts.get_mut(track).into_iter().flat_map(|part| &mut part.units) {
            unit.presentation_ticks += ticks;
        }
    }

    /// Bytes of the unit in progress.
    pub fn unit_bytes(&self, track: usize) -> usize {
        self.parts.get(track).map_or(0, PendingPart::tail)
    }

    /// What comes next does not continue what is there: the next random access point starts a fragment that says so.
    pub fn break_before_next(&mut self, discontinuity: Discontinuity) {
        self.next_discontinuity = stronger(self.next_discontinuity, Some(discontinuity));
    }

    /// The unit in progress of a track, a random access point, comes with this configuration; it is in force once that unit is in.
    pub fn change_config(&mut self, track: usize, config: CodecConfig) {
        if self.tracks.get(track).is_none_or(|known| known.config == config) {
            return;
        }
        let mut tracks = self.tracks.to_vec();
        if let Some(changed) = tracks.get_mut(track) {
            changed.config = config;
        }
        if self.parts.get(track).is_none_or(|part| part.units.is_empty()) {
            self.tracks = tracks.into();
        } else {
            self.next_tracks = Some(tracks.into());
        }
        self.break_before_next(Discontinuity::ParameterChange);
    }

    /// The unit in progress of a track is whole.
    pub fn unit(&mut self, track: usize, unit: Unit, now: Now) {
        let lead = track == self.lead;
        let stepped = self.clock.filter(|(steps, _)| *steps != now.steps);
        if lead && unit.random_access && stepped.is_some() {
            self.break_before_next(Discontinuity::ClockStep);
        }
        if self.must_end_before(track, unit) {
            self.close(lead.then_some(unit.presentation_ticks));
        }
        let Some(part) = self.parts.get_mut(track) else { return };
        if lead && part.units.is_empty() && unit.random_access {
            self.discontinuity = self.next_discontinuity.take();
        }
        let size = part.tail();
        part.reordered |= unit.presentation_ticks < part.latest_presentation_ticks;
        part.latest_presentation_ticks = part.latest_presentation_ticks.max(unit.presentation_ticks);
        part.whole = part.buffer.len();
        part.units.push(PendingUnit {
            size,
            presentation_ticks: unit.presentation_ticks,
            duration_ticks: unit.duration_ticks,
            random_access: unit.random_access,
        });
        // Up to the next random access point the run goes on by the clock it began with.
        if lead && (stepped.is_none() || unit.random_access) {
            self.moved_us = self.moved_us.saturating_add(stepped.map_or(0, |(_, offset_us)| now.offset_us.saturating_sub(offset_us)));
            self.clock = Some((now.steps, now.offset_us));
            let delay_us = now.utc_ms * 1000 - part.ticks_to_us(unit.presentation_ticks);
            self.least_delay_us = Some(self.least_delay_us.map_or(delay_us, |least| least.min(delay_us)));
        }
    }

    fn must_end_before(&self, track: usize, unit: Unit) -> bool {
        let Some(part) = self.parts.get(track) else { return false };
        let Some(first) = part.units.first() else { return false };
        let length_us = part.ticks_to_us(unit.presentation_ticks - first.presentation_ticks);
        let full = part.whole >= MAX_FRAGMENT_BYTES || part.units.len() >= MAX_FRAGMENT_UNITS;
        if track != self.lead {
            return full || length_us >= self.fragment_us.saturating_mul(SILENT_LEAD_FRAGMENTS);
        }
        if unit.random_access && (self.lead_is_video || self.next_discontinuity.is_some()) {
            return true;
        }
        let long = length_us >= self.fragment_us
            || self.slot(part.ticks_to_us(unit.presentation_ticks)) != self.slot(part.ticks_to_us(first.presentation_ticks));
        // Between a reordered picture and the ones shown before it there is no clean cut.
        full || long && (!part.reordered || unit.presentation_ticks > part.latest_presentation_ticks)
    }

    /// Which stretch of `fragment_us` of wall time a unit belongs to. These are the same for all streams, so that their fragments end together and a
    /// storage root syncs them together: each sync of its own costs flash a commit of the file system's journal. All one in the first fragment of a run,
    /// that has no wall time yet, and tells whether pictures are reordered.
    fn slot(&self, media_us: i64) -> i64 {
        self.anchor_us.map_or(0, |anchor| (anchor + media_us).div_euclid(self.fragment_us))
    }

    /// Nothing follows: what was gathered becomes the last fragment.
    pub fn flush(&mut self) {
        if self.parts.iter().any(|part| !part.units.is_empty()) {
            self.close(None);
        }
    }

    fn close(&mut self, next_lead_ticks: Option<i64>) {
        let mut parts = Vec::with_capacity(self.parts.len());
        let lead = self.lead;
        for (track, part) in self.parts.iter_mut().enumerate() {
            if part.units.is_empty() {
                continue;
            }
            let next = if track == lead { next_lead_ticks } else { None };
            let (start_ticks, samples) = part.samples(next);
            let expected = part.whole.max(part.previous_bytes);
            part.previous_bytes = part.whole;
            // Room for a little more than before, since a buffer that is too small grows to twice its size.
            let mut data = std::mem::replace(&mut part.buffer, self.pool.take_for(expected + expected / 8));
            part.buffer.extend_from_slice(data.get(part.whole..).unwrap_or_default());
            data.truncate(part.whole);
            part.whole = 0;
            part.units.clear();
            parts.push(TrackFragment { track, start_ticks, samples, data });
        }
        let Some(first) = parts.first() else { return };
        let Some(clock) = self.parts.get(first.track) else { return };
        let start_us = clock.ticks_to_us(first.start_ticks);
        let duration_us = clock.ticks_to_us(first.start_ticks + first.duration_ticks() as i64) - start_us;
        let random_access = first.track == lead && first.samples.first().is_some_and(|sample| sample.random_access);
        let discontinuity = self.discontinuity.take();
        // A picture that comes late, behind sound that went on without it, must not turn wall time back.
        let floor_us = if discontinuity == Some(Discontinuity::ClockStep) { i64::MIN } else { self.wall_start_us };
        let wall_us = self.wall_us(start_us, duration_us, discontinuity).max(floor_us);
        self.wall_start_us = wall_us;
        self.wall_end_us = wall_us + duration_us;
        self.finished.push_back(Fragment::new(
            self.next_sequence,
            Arc::clone(&self.tracks),
            parts,
            random_access,
            discontinuity,
            FragmentTimes { start_us, duration_us, start_utc_ms: wall_us.div_euclid(1000) },
            std::mem::take(&mut self.lost_packets),
            Some(Arc::clone(&self.pool)),
        ));
        self.next_sequence += 1;
        if let Some(tracks) = self.next_tracks.take() {
            self.tracks = tracks;
        }
    }

    /// UTC of a fragment's start, slewed; after a jump of the camera's clock anew, but not before the end of the fragment before. Where the
    /// host's wall clock was moved it is moved along, so that media goes on without a hole.
    fn wall_us(&mut self, start_us: i64, duration_us: i64, discontinuity: Option<Discontinuity>) -> i64 {
        let least = self.least_delay_us.take();
        let moved_us = std::mem::take(&mut self.moved_us);
        let anchor = match (self.anchor_us.map(|anchor| anchor.saturating_add(moved_us)), least) {
            (None, Some(least)) => least,
            // A jump that was joined where it belongs is nobody's business: its first fragment alone would tie it worse than all before.
            (Some(anchor), Some(least)) if discontinuity == Some(Discontinuity::TimeJump) && (least - anchor).abs() > GROSS_ERROR_US => {
                least.max(self.wall_end_us.saturating_sub(start_us))
            }
            (Some(anchor), Some(least)) => {
                let bound = duration_us.max(0) * self.slew_ppm(least - anchor) / 1_000_000;
                anchor + (least - anchor).clamp(-bound, bound)
            }
            (anchor, None) => anchor.unwrap_or(0),
        };
        self.anchor_us = Some(anchor);
        anchor + start_us
    }

    /// How fast an error of wall time is pulled in: as quartzes differ, or what is grossly wrong until it is right.
    fn slew_ppm(&mut self, error_us: i64) -> i64 {
        let gross = error_us.abs() > GROSS_ERROR_US;
        self.gross = if gross { self.gross.saturating_add(1) } else { 0 };
        self.pulling = if self.pulling { error_us.abs() > GROSS_ERROR_US / 10 } else { self.gross >= GROSS_FRAGMENTS };
        if self.pulling { GROSS_SLEW_PPM } else { SLEW_PPM }
    }
}
