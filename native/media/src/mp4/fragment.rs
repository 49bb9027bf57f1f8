//! The `moof` of one track of a fragment with its mark, and the `mdat` header: all that goes before the samples.

use std::ops::Range;

use crate::fragment::{Fragment, Sample, TrackFragment};

use super::boxes::{
    BOX_HEADER_BYTES, Reader, UUID_HEADER_BYTES, child, patch, put_i64, put_u32, put_u32s, put_u64, uuid_child, write_box, write_full_box,
    write_uuid_box,
};
use super::crc::Crc64;
use super::{MAX_MOOF_BYTES, MAX_TRACKS, Mp4Error};

/// User type of the mark's `uuid` box.
const MARK_UUID: [u8; 16] = *b"\xa0\xe1\x83\xe2\x02\x14\x47\x19\x8d\xf6\xa9\xe7\xbe\x40\x0f\xab";
const VERSION: u8 = 1;
const FLAG_RANDOM_ACCESS: u32 = 1;
/// All of a `moof` but its samples, generously.
const MOOF_FIXED_BYTES: usize = 256;
const SAMPLE_BYTES: usize = 16;

/// ISO/IEC 14496-12 section 8.8.3.1: depends on no other sample / depends on others and is no sync sample.
const SAMPLE_FLAGS_SYNC: u32 = 0x0200_0000;
const SAMPLE_FLAGS_OTHER: u32 = 0x0101_0000;

const TFHD_DEFAULT_DURATION: u32 = 0x08;
const TFHD_DEFAULT_SIZE: u32 = 0x10;
const TFHD_DEFAULT_FLAGS: u32 = 0x20;
const TFHD_DEFAULT_BASE_IS_MOOF: u32 = 0x02_0000;
const TRUN_DATA_OFFSET: u32 = 0x001;
const TRUN_FIRST_SAMPLE_FLAGS: u32 = 0x004;
const TRUN_DURATION: u32 = 0x100;
const TRUN_SIZE: u32 = 0x200;
const TRUN_FLAGS: u32 = 0x400;
const TRUN_COMPOSITION_OFFSET: u32 = 0x800;

/// Where the headers of a fragment's pairs lie in the buffer they were appended to: pair i goes before `fragment.parts[i].data`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairRanges {
    start: usize,
    ends: [usize; MAX_TRACKS],
    pairs: usize,
}

impl PairRanges {
    pub(super) fn new(start: usize) -> Self {
        Self { start, ends: [start; MAX_TRACKS], pairs: 0 }
    }

    pub(super) fn push(&mut self, end: usize) {
        if let Some(slot) = self.ends.get_mut(self.pairs) {
            *slot = end;
            self.pairs += 1;
        }
    }

    /// One range for each part of the fragment, in order.
    pub fn iter(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let starts = std::iter::once(self.start).chain(self.ends.iter().copied());
        starts.zip(self.ends.iter().copied()).map(|(start, end)| start..end).take(self.pairs)
    }
}

/// What the mark of a pair says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Counts the fragments of the segment from 0.
    pub fragment: u32,
    /// Which of the fragment's pairs this is, from 0.
    pub pair: u8,
    /// Pairs of the fragment.
    pub pairs: u8,
    pub random_access: bool,
    pub start_utc_ms: i64,
    pub duration_us: u64,
    /// Of the samples.
    pub payload_crc64: u64,
}

/// A pair about to be written.
pub(super) struct Pair<'a> {
    /// `mfhd`, from 1.
    pub sequence: u32,
    pub part: &'a TrackFragment,
    /// `tfdt`.
    pub decode_ticks: u64,
    /// Taken off the durations of the first samples, none of which becomes shorter than a tick.
    pub overlap_ticks: u64,
    /// With the checksum of the segment's header. Live media has none.
    pub mark: Option<(Mark, u64)>,
}

/// What must hold of a fragment before its headers can be written. `tracks` is the number of the segment's tracks.
pub(super) fn check(fragment: &Fragment, tracks: usize) -> Result<(), &'static str> {
    if fragment.parts.is_empty() {
        return Err("has no parts");
    }
    let mut next_track = 0;
    let mut bytes = 0;
    for part in &fragment.parts {
        if part.track < next_track || part.track >= tracks {
            return Err("has a part of an unknown track, or parts out of order");
        }
        next_track = part.track + 1;
        if part.samples.is_empty() || part.samples.len() > (MAX_MOOF_BYTES - MOOF_FIXED_BYTES) / SAMPLE_BYTES {
            return Err("has a part with no samples or too many");
        }
        if part.samples.iter().map(|sample| u64::from(sample.size)).sum::<u64>() != part.data.len() as u64 {
            return Err("has a part whose sample sizes do not add up to its data");
        }
        bytes += part.data.len() as u64 + MAX_MOOF_BYTES as u64;
    }
    if bytes > u64::from(u32::MAX) { Err("is over 4 GiB") } else { Ok(()) }
}

/// Durations as they are written: shortened from the front until `overlap_ticks` are taken off.
pub(super) fn durations(samples: &[Sample], overlap_ticks: u64) -> impl Iterator<Item = u32> + Clone + '_ {
    samples.iter().scan(overlap_ticks, |left, sample| {
        let cut = u64::from(sample.duration_ticks.saturating_sub(1)).min(*left);
        *left -= cut;
        Some(sample.duration_ticks - cut as u32)
    })
}

/// Appends `moof` and the header of the `mdat` for `pair.part.data`, which [`check`] has passed.
pub(super) fn write_pair_header(out: &mut Vec<u8>, pair: &Pair<'_>) {
    let start = out.len();
    let mut data_offset_at = start;
    write_box(out, *b"moof", |out| {
        write_full_box(out, *b"mfhd", 0, 0, |out| put_u32(out, pair.sequence));
        write_box(out, *b"traf", |out| data_offset_at = write_traf(out, pair));
        if let Some((mark, _)) = &pair.mark {
            write_mark(out, mark);
        }
    });
    let moof_bytes = out.len() - start;
    patch(out, data_offset_at, &((moof_bytes + BOX_HEADER_BYTES) as u32).to_be_bytes());
    if let Some((_, init_crc64)) = pair.mark {
        let checksum = header_crc64(out.get(start..).unwrap_or_default(), init_crc64);
        patch(out, start + moof_bytes - 8, &checksum.to_be_bytes());
    }
    put_u32(out, mdat_bytes(pair.part.data.len() as u64));
    out.extend_from_slice(b"mdat");
}

/// Size field of an `mdat` with this payload.
pub(super) fn mdat_bytes(payload_bytes: u64) -> u32 {
    (payload_bytes + BOX_HEADER_BYTES as u64) as u32
}

/// Of the `moof` up to its last field, which is this checksum; starts from the segment header's, so that no other file's fragment passes.
fn header_crc64(moof: &[u8], init_crc64: u64) -> u64 {
    let mut digest = Crc64::default();
    digest.write(&init_crc64.to_be_bytes());
    digest.write(moof.get(..moof.len().saturating_sub(8)).unwrap_or_default());
    digest.sum64()
}

fn write_mark(out: &mut Vec<u8>, mark: &Mark) {
    let flags = if mark.random_access { FLAG_RANDOM_ACCESS } else { 0 };
    write_uuid_box(out, &MARK_UUID, VERSION, flags, |out| {
        put_u32(out, mark.fragment);
        out.extend_from_slice(&[mark.pair, mark.pairs, 0, 0]);
        put_i64(out, mark.start_utc_ms);
        put_u64(out, mark.duration_us);
        put_u64(out, mark.payload_crc64);
        put_u64(out, 0);
    });
}

/// The value all items share, if they do.
fn shared<T: PartialEq>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let first = items.next()?;
    items.all(|item| item == first).then_some(first)
}

fn sample_flags(sample: &Sample) -> u32 {
    if sample.random_access { SAMPLE_FLAGS_SYNC } else { SAMPLE_FLAGS_OTHER }
}

/// Appends `tfhd tfdt trun`; gives the place of the data offset. What all samples share is written once.
fn write_traf(out: &mut Vec<u8>, pair: &Pair<'_>) -> usize {
    let samples = &pair.part.samples;
    let duration = shared(durations(samples, pair.overlap_ticks));
    let size = shared(samples.iter().map(|sample| sample.size));
    let later_flags = shared(samples.iter().skip(1).map(sample_flags)).or_else(|| shared(samples.iter().map(sample_flags)));
    let first_flags = samples.first().map(sample_flags).filter(|flags| later_flags.is_some_and(|later| later != *flags));
    let reorders = samples.iter().any(|sample| sample.composition_offset_ticks != 0);

    let mut flags = TFHD_DEFAULT_BASE_IS_MOOF;
    let mut optional = |value: Option<u32>, flag: u32| value.inspect(|_| flags |= flag);
    let defaults =
        [optional(duration, TFHD_DEFAULT_DURATION), optional(size, TFHD_DEFAULT_SIZE), optional(later_flags, TFHD_DEFAULT_FLAGS)];
    write_full_box(out, *b"tfhd", 0, flags, |out| {
        put_u32(out, pair.part.track as u32 + 1);
        put_u32s(out, defaults.into_iter().flatten());
    });
    write_full_box(out, *b"tfdt", 1, 0, |out| put_u64(out, pair.decode_ticks));

    let mut flags = TRUN_DATA_OFFSET;
    let mut per_sample = |wanted: bool, flag: u32| {
        flags |= if wanted { flag } else { 0 };
        wanted
    };
    let has_duration = per_sample(duration.is_none(), TRUN_DURATION);
    let has_size = per_sample(size.is_none(), TRUN_SIZE);
    let has_flags = per_sample(later_flags.is_none(), TRUN_FLAGS);
    let has_offset = per_sample(reorders, TRUN_COMPOSITION_OFFSET);
    per_sample(first_flags.is_some(), TRUN_FIRST_SAMPLE_FLAGS);
    let mut data_offset_at = 0;
    write_full_box(out, *b"trun", 1, flags, |out| {
        put_u32(out, samples.len() as u32);
        data_offset_at = out.len();
        put_u32(out, 0);
        if let Some(flags) = first_flags {
            put_u32(out, flags);
        }
        for (sample, duration) in samples.iter().zip(durations(samples, pair.overlap_ticks)) {
            if has_duration {
                put_u32(out, duration);
            }
            if has_size {
                put_u32(out, sample.size);
            }
            if has_flags {
                put_u32(out, sample_flags(sample));
            }
            if has_offset {
                out.extend_from_slice(&sample.composition_offset_ticks.to_be_bytes());
            }
        }
    });
    data_offset_at
}

/// Appends the fragment as media segments for a live view: pairs without marks, decode times since the start of the run,
/// so that the fragments of a run follow each other under one `ftyp moov`.
pub fn write_live(fragment: &Fragment, out: &mut Vec<u8>) -> Result<(), Mp4Error> {
    check(fragment, fragment.tracks.len()).map_err(|what| Mp4Error::Fragment { fragment: fragment.sequence as usize, what })?;
    for (index, part) in fragment.parts.iter().enumerate() {
        let sequence = fragment.sequence.wrapping_mul(MAX_TRACKS as u64).wrapping_add(index as u64 + 1) as u32;
        let decode_ticks = u64::try_from(part.start_ticks).unwrap_or(0);
        write_pair_header(out, &Pair { sequence, part, decode_ticks, overlap_ticks: 0, mark: None });
        out.extend_from_slice(&part.data);
    }
    Ok(())
}

/// What a `moof` of ours says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moof {
    pub sequence: u32,
    /// From 0.
    pub track: usize,
    pub decode_ticks: u64,
    pub duration_ticks: u64,
    pub samples: u32,
    pub payload_bytes: u64,
    pub mark: Mark,
}

/// Parses a whole `moof` box. `None` unless it is one of the segment whose header has this checksum, unharmed.
pub(super) fn parse(moof: &[u8], init_crc64: u64) -> Option<Moof> {
    let (_, stored) = moof.split_last_chunk::<8>()?;
    if header_crc64(moof, init_crc64) != u64::from_be_bytes(*stored) {
        return None;
    }
    let body = moof.get(BOX_HEADER_BYTES..)?;
    let mut mfhd = Reader::new(child(body, *b"mfhd")?);
    mfhd.skip(4)?;
    let traf = child(body, *b"traf")?;
    let mut tfdt = Reader::new(child(traf, *b"tfdt")?);
    tfdt.skip(4)?;
    let decode_ticks = tfdt.u64()?;
    let (track, duration_ticks, samples, payload_bytes) = parse_run(child(traf, *b"tfhd")?, child(traf, *b"trun")?)?;
    let mark = parse_mark(uuid_child(body, &MARK_UUID)?)?;
    Some(Moof { sequence: mfhd.u32()?, track, decode_ticks, duration_ticks, samples, payload_bytes, mark })
}

fn parse_mark(body: &[u8]) -> Option<Mark> {
    let mut reader = Reader::new(body);
    let (version, flags) = reader.version_and_flags()?;
    if version != VERSION || body.len() != MARK_BODY_BYTES {
        return None;
    }
    let fragment = reader.u32()?;
    let [pair, pairs, _, _] = reader.array()?;
    Some(Mark {
        fragment,
        pair,
        pairs,
        random_access: flags & FLAG_RANDOM_ACCESS != 0,
        start_utc_ms: reader.i64()?,
        duration_us: reader.u64()?,
        payload_crc64: reader.u64()?,
    })
}

/// Version and flags, number and pair, times, two checksums.
const MARK_BODY_BYTES: usize = 44;
/// A `moof` shorter than its mark is none of ours.
pub(super) const MIN_MOOF_BYTES: usize = BOX_HEADER_BYTES + UUID_HEADER_BYTES + MARK_BODY_BYTES;

/// Track, duration, samples and bytes of a `trun` with its `tfhd`.
fn parse_run(tfhd: &[u8], trun: &[u8]) -> Option<(usize, u64, u32, u64)> {
    let mut header = Reader::new(tfhd);
    let (_, header_flags) = header.version_and_flags()?;
    let track = (header.u32()? as usize).checked_sub(1)?;
    let default = |flag: u32, header: &mut Reader<'_>| if header_flags & flag == 0 { Some(0) } else { header.u32() };
    let default_duration = default(TFHD_DEFAULT_DURATION, &mut header)?;
    let default_size = default(TFHD_DEFAULT_SIZE, &mut header)?;

    let mut run = Reader::new(trun);
    let (_, flags) = run.version_and_flags()?;
    let samples = run.u32()?;
    run.skip(4)?;
    if flags & TRUN_FIRST_SAMPLE_FLAGS != 0 {
        run.skip(4)?;
    }
    let (mut duration_ticks, mut bytes) = (0, 0);
    let per_sample = flags & (TRUN_DURATION | TRUN_SIZE | TRUN_FLAGS | TRUN_COMPOSITION_OFFSET);
    if per_sample == 0 {
        duration_ticks = u64::from(default_duration) * u64::from(samples);
        bytes = u64::from(default_size) * u64::from(samples);
    } else {
        // Each turn takes at least 4 bytes off the box, so an absurd count ends soon.
        for _ in 0..samples {
            duration_ticks += u64::from(if flags & TRUN_DURATION == 0 { default_duration } else { run.u32()? });
            bytes += u64::from(if flags & TRUN_SIZE == 0 { default_size } else { run.u32()? });
            run.skip(4 * (flags & (TRUN_FLAGS | TRUN_COMPOSITION_OFFSET)).count_ones() as usize)?;
        }
    }
    Some((track, duration_ticks, samples, bytes))
}
