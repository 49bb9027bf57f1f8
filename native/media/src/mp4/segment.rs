//! The writer's side of a segment: which bytes come next, and what the seal will say of them. No I/O.

use crate::fragment::{Fragment, TrackFragment};
use crate::identity::Identity;
use crate::track::Track;

use super::crc::{FileHashes, crc64};
use super::fragment::{Mark, Pair, PairRanges, check, durations, write_pair_header};
use super::init::write_init_with_crc64;
use super::seal::{FragmentEntry, SealDraft, SealedSummary};
use super::{MAX_FRAGMENTS, MAX_TRACKS, Mp4Error};

/// A segment being written. Every byte handed out counts as written, in that order; after a failed write the state is of no use.
#[derive(Debug, Clone)]
pub struct SegmentState {
    draft: SealDraft,
    init_crc64: u64,
    tracks: Vec<TrackClock>,
    next_sequence: u32,
}

/// The decode clock of a track in the segment.
#[derive(Debug, Clone, Copy)]
struct TrackClock {
    rate: u32,
    /// Run ticks of the segment's origin.
    origin_ticks: i64,
    /// Decode time of the next sample, at least.
    next_ticks: u64,
}

impl SegmentState {
    /// Appends the segment's first bytes (`ftyp moov`) to `init`.
    pub fn new(tracks: &[Track], identity: &Identity, init: &mut Vec<u8>) -> Result<Self, Mp4Error> {
        let start = init.len();
        let init_crc64 = write_init_with_crc64(tracks, identity, init)?;
        let mut hashes = FileHashes::new();
        hashes.update(init.get(start..).unwrap_or_default());
        Ok(Self {
            draft: SealDraft::new(hashes, tracks.len()),
            init_crc64,
            tracks: tracks.iter().map(|track| TrackClock { rate: track.clock_rate, origin_ticks: 0, next_ticks: 0 }).collect(),
            next_sequence: 1,
        })
    }

    /// Appends the headers of the fragment's pairs to `headers`. To be written is header 0, `parts[0].data`, header 1, ...
    /// A refused fragment changes nothing.
    pub fn append(&mut self, fragment: &Fragment, headers: &mut Vec<u8>) -> Result<PairRanges, Mp4Error> {
        let number = self.draft.fragments.len();
        let refused = |what| Mp4Error::Fragment { fragment: number, what };
        check(fragment, self.tracks.len()).map_err(refused)?;
        if number >= MAX_FRAGMENTS {
            return Err(refused("is one more than a segment can hold"));
        }
        if number == 0 {
            if !fragment.random_access {
                return Err(refused("begins a segment, but at no random access point"));
            }
            self.set_origin(&fragment.parts);
        }
        let offset = self.draft.bytes();
        let duration_us = u64::try_from(fragment.duration_us).unwrap_or(0);
        let mut ranges = PairRanges::new(headers.len());
        let mut pair_bytes = [0; MAX_TRACKS];
        for (index, part) in fragment.parts.iter().enumerate() {
            let payload_crc64 = crc64(&part.data);
            let mark = Mark {
                fragment: number as u32,
                pair: index as u8,
                pairs: fragment.parts.len() as u8,
                random_access: fragment.random_access,
                start_utc_ms: fragment.start_utc_ms,
                duration_us,
                payload_crc64,
            };
            let (decode_ticks, overlap_ticks) = self.place(part);
            let start = headers.len();
            let pair = Pair { sequence: self.next_sequence, part, decode_ticks, overlap_ticks, mark: Some((mark, self.init_crc64)) };
            write_pair_header(headers, &pair);
            ranges.push(headers.len());
            self.next_sequence += 1;
            self.draft.hashes.update(headers.get(start..).unwrap_or_default());
            self.draft.hashes.update_with_crc64(&part.data, payload_crc64);
            if let Some(bytes) = pair_bytes.get_mut(part.track) {
                *bytes = (headers.len() - start + part.data.len()) as u32;
            }
            if let Some(samples) = self.draft.samples.get_mut(part.track) {
                *samples += part.samples.len() as u64;
            }
        }
        let bytes = (self.draft.bytes() - offset) as u32;
        let random_access = fragment.random_access;
        self.draft.fragments.push(FragmentEntry {
            offset,
            bytes,
            pair_bytes,
            start_utc_ms: fragment.start_utc_ms,
            duration_us,
            random_access,
        });
        self.draft.duration_us = self.draft.duration_us.saturating_add(duration_us);
        Ok(ranges)
    }

    /// The origin is where the earliest part of the first fragment begins; every track's clock is set to it, rounded down to a tick,
    /// so that no part begins before it and the tracks keep their relation.
    fn set_origin(&mut self, parts: &[TrackFragment]) {
        let start = |part: &TrackFragment| (part.start_ticks, self.tracks.get(part.track).map_or(1, |clock| clock.rate));
        // a / rate_a < b / rate_b, without division; 95 bits at most.
        let earlier = |a: (i64, u32), b: (i64, u32)| i128::from(a.0) * i128::from(b.1) < i128::from(b.0) * i128::from(a.1);
        let earliest = parts.iter().map(start).reduce(|a, b| if earlier(b, a) { b } else { a });
        let Some((ticks, rate)) = earliest else { return };
        for clock in &mut self.tracks {
            let origin = (i128::from(ticks) * i128::from(clock.rate)).div_euclid(i128::from(rate));
            clock.origin_ticks = i64::try_from(origin).unwrap_or(ticks);
        }
    }

    /// Decode time of a part in the segment, and by how much it overlaps what comes before it: the end of the track's part before, or
    /// the origin. The overlap is taken off the first durations, so that the rest of the part is again where it belongs beside the other tracks.
    fn place(&mut self, part: &TrackFragment) -> (u64, u64) {
        let Some(clock) = self.tracks.get_mut(part.track) else { return (0, 0) };
        let wanted_ticks = i128::from(part.start_ticks) - i128::from(clock.origin_ticks);
        let decode_ticks = u64::try_from(wanted_ticks).unwrap_or(0).max(clock.next_ticks);
        let overlap_ticks = u64::try_from(i128::from(decode_ticks) - wanted_ticks).unwrap_or(0);
        let duration_ticks: u64 = durations(&part.samples, overlap_ticks).map(u64::from).sum();
        clock.next_ticks = decode_ticks.saturating_add(duration_ticks);
        (decode_ticks, overlap_ticks)
    }

    /// Bytes so far, from the file's first.
    pub fn bytes(&self) -> u64 {
        self.draft.bytes()
    }

    /// Fragments so far.
    pub fn fragments(&self) -> usize {
        self.draft.fragments.len()
    }

    /// Sum over the fragments so far.
    pub fn duration_us(&self) -> u64 {
        self.draft.duration_us
    }

    /// Appends the seal to `out`; see [`SealDraft::seal`].
    pub fn seal(self, previous: Option<[u8; 32]>, out: &mut Vec<u8>) -> SealedSummary {
        self.draft.seal(previous, out)
    }
}
