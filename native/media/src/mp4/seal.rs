//! The seal: the last box of a closed segment, with the table of its fragments and the hashes of all bytes before it.

use super::boxes::{BOX_HEADER_BYTES, Reader, UUID_HEADER_BYTES, put_i64, put_u32, put_u32s, put_u64, write_uuid_box};
use super::crc::{FileHashes, combine, crc64};
use super::{MAX_FRAGMENTS, MAX_TRACKS, Mp4Error};

/// User type of the seal's `uuid` box.
pub(super) const SEAL_UUID: [u8; 16] = *b"\xdb\xb9\x6b\x2c\x34\x84\x49\xa1\xb4\x50\x80\x28\xa6\x95\xbc\xd0";
const VERSION: u8 = 1;
const FLAG_PREVIOUS: u32 = 1;
const ENTRY_FLAG_RANDOM_ACCESS: u32 = 1;
/// An entry of the table without the bytes of its pairs, which are 4 more for each track.
const ENTRY_FIXED_BYTES: usize = 28;
const PAIR_BYTES: usize = 4;
/// The seal's own checksum, its length, the magic.
const TRAILER_BYTES: usize = 16;
/// Last bytes of every sealed file.
const MAGIC: [u8; 4] = *b"ERSL";
/// Header to counts, and hashes to magic: all but samples per track and table.
const FIXED_BYTES: usize = UUID_HEADER_BYTES + 28 + 32 + 8 + 32 + TRAILER_BYTES;
/// Bytes of a seal at most.
pub(super) const MAX_SEAL_BYTES: usize = FIXED_BYTES + 8 * MAX_TRACKS + (ENTRY_FIXED_BYTES + PAIR_BYTES * MAX_TRACKS) * MAX_FRAGMENTS;

/// One line of the fragment table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FragmentEntry {
    /// Of the fragment's first `moof`, from the start of the file.
    pub offset: u64,
    /// All pairs of the fragment.
    pub bytes: u32,
    /// The pair of each track, 0 where the track has none; they follow each other from `offset` on.
    pub pair_bytes: [u32; MAX_TRACKS],
    pub start_utc_ms: i64,
    pub duration_us: u64,
    pub random_access: bool,
}

/// What a seal says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// Of the seal box, which is the number of bytes both hashes cover.
    pub offset: u64,
    pub fragments: Vec<FragmentEntry>,
    /// Samples of each track.
    pub samples: Vec<u64>,
    /// Sum over the fragments.
    pub duration_us: u64,
    /// BLAKE3 of the run's segment before, as its seal tells it.
    pub previous_blake3: Option<[u8; 32]>,
    /// CRC-64/XZ of all bytes before the seal.
    pub crc64: u64,
    /// BLAKE3 of all bytes before the seal.
    pub blake3: [u8; 32],
    /// CRC-64/XZ of the whole file, seal included: what an object store reports for it.
    pub file_crc64: u64,
    /// Of the whole file, seal included.
    pub file_bytes: u64,
}

impl Seal {
    /// UTC of the end of the last fragment, milliseconds.
    pub fn end_utc_ms(&self) -> Option<i64> {
        let last = self.fragments.last()?;
        Some(last.start_utc_ms.saturating_add_unsigned(last.duration_us / 1000))
    }
}

/// What [`SealDraft::seal`] and [`super::SegmentState::seal`] wrote; fields as in [`Seal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedSummary {
    pub crc64: u64,
    pub blake3: [u8; 32],
    pub file_crc64: u64,
    /// Of the whole file, seal included.
    pub bytes: u64,
    pub duration_us: u64,
    pub fragments: usize,
}

/// All that a seal for the bytes so far needs.
#[derive(Debug, Clone)]
pub struct SealDraft {
    pub(super) hashes: FileHashes,
    pub(super) fragments: Vec<FragmentEntry>,
    pub(super) samples: Vec<u64>,
    pub(super) duration_us: u64,
}

impl SealDraft {
    pub(super) fn new(hashes: FileHashes, tracks: usize) -> Self {
        Self { hashes, fragments: Vec::new(), samples: vec![0; tracks], duration_us: 0 }
    }

    /// Where the seal belongs: the number of bytes it speaks of.
    pub fn bytes(&self) -> u64 {
        self.hashes.bytes()
    }

    /// Appends the seal box to `out`. `previous` is the BLAKE3 told by the seal of the run's segment before; `None` for the first, or when unknown.
    pub fn seal(self, previous: Option<[u8; 32]>, out: &mut Vec<u8>) -> SealedSummary {
        let start = out.len();
        let blake3 = self.hashes.blake3();
        let flags = if previous.is_some() { FLAG_PREVIOUS } else { 0 };
        let tracks = self.samples.len();
        let seal_bytes = FIXED_BYTES + 8 * tracks + (ENTRY_FIXED_BYTES + PAIR_BYTES * tracks) * self.fragments.len();
        out.reserve(seal_bytes);
        write_uuid_box(out, &SEAL_UUID, VERSION, flags, |out| {
            put_u32(out, self.fragments.len() as u32);
            put_u32(out, tracks as u32);
            put_u64(out, self.hashes.bytes());
            put_u64(out, self.duration_us);
            for samples in &self.samples {
                put_u64(out, *samples);
            }
            for entry in &self.fragments {
                put_u64(out, entry.offset);
                put_i64(out, entry.start_utc_ms);
                put_u64(out, entry.duration_us);
                put_u32(out, if entry.random_access { ENTRY_FLAG_RANDOM_ACCESS } else { 0 });
                put_u32s(out, entry.pair_bytes.into_iter().take(tracks));
            }
            out.extend_from_slice(&previous.unwrap_or_default());
            put_u64(out, self.hashes.crc64());
            out.extend_from_slice(&blake3);
            // The box size is written when the body is complete, so it goes into the checksum from here.
            let mut checked = (seal_bytes as u32).to_be_bytes().to_vec();
            checked.extend_from_slice(out.get(start + 4..).unwrap_or_default());
            put_u64(out, crc64(&checked));
            put_u32(out, seal_bytes as u32);
            out.extend_from_slice(&MAGIC);
        });
        let box_crc64 = crc64(out.get(start..).unwrap_or_default());
        SealedSummary {
            crc64: self.hashes.crc64(),
            blake3,
            file_crc64: combine(self.hashes.crc64(), box_crc64, seal_bytes as u64),
            bytes: self.hashes.bytes() + seal_bytes as u64,
            duration_us: self.duration_us,
            fragments: self.fragments.len(),
        }
    }
}

/// Answer of [`read_seal`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealRead {
    Whole(Seal),
    /// The seal is longer than what was given: ask again with the last so many bytes of the file.
    NeedMore(usize),
    /// The file does not end with a seal.
    Absent,
}

/// Reads the seal off the end of a file. `tail` is its last bytes, as many as one likes to read at once; `file_bytes` is its length.
/// Checks the seal itself and its place, not the bytes it speaks of: that is [`super::SegmentScanner`]'s work.
pub fn read_seal(tail: &[u8], file_bytes: u64) -> Result<SealRead, Mp4Error> {
    let Some((_, trailer)) = tail.split_last_chunk::<8>() else { return Ok(SealRead::Absent) };
    let [l0, l1, l2, l3, magic @ ..] = *trailer;
    if magic != MAGIC {
        return Ok(SealRead::Absent);
    }
    let seal_bytes = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
    if !(FIXED_BYTES..=MAX_SEAL_BYTES).contains(&seal_bytes) || seal_bytes as u64 > file_bytes {
        return Ok(SealRead::Absent);
    }
    match tail.len().checked_sub(seal_bytes).and_then(|start| tail.get(start..)) {
        Some(seal) => parse(seal, file_bytes - seal_bytes as u64).map(SealRead::Whole),
        None => Ok(SealRead::NeedMore(seal_bytes)),
    }
}

/// Parses a whole seal box found at `offset`.
pub(super) fn parse(seal: &[u8], offset: u64) -> Result<Seal, Mp4Error> {
    let damaged = |what| Mp4Error::Damaged { offset, what };
    let (checked, trailer) = seal.split_at_checked(seal.len().saturating_sub(TRAILER_BYTES)).ok_or(damaged("seal is too short"))?;
    let mut trailer = Reader::new(trailer);
    let own = (trailer.u64(), trailer.u32(), trailer.array::<4>());
    let intact = own == (Some(crc64(checked)), Some(seal.len() as u32), Some(MAGIC));
    let head = (checked.get(..4), checked.get(4..BOX_HEADER_BYTES), checked.get(BOX_HEADER_BYTES..UUID_HEADER_BYTES));
    let size = (seal.len() as u32).to_be_bytes();
    if !intact || head != (Some(size.as_slice()), Some(b"uuid".as_slice()), Some(SEAL_UUID.as_slice())) {
        return Err(damaged("seal does not match its own checksum"));
    }
    let mut reader = Reader::new(checked.get(UUID_HEADER_BYTES..).unwrap_or_default());
    let (version, flags) = reader.version_and_flags().ok_or(damaged("seal is too short"))?;
    if version != VERSION {
        return Err(Mp4Error::Version { what: "seal", observed: version, known: VERSION });
    }
    let mut parsed =
        parse_body(&mut reader, flags).filter(|_| reader.remaining().is_empty()).ok_or(damaged("seal contradicts its own counts"))?;
    if parsed.offset != offset {
        return Err(damaged("seal was written for another offset"));
    }
    parsed.file_crc64 = combine(parsed.crc64, crc64(seal), seal.len() as u64);
    parsed.file_bytes = offset + seal.len() as u64;
    Ok(parsed)
}

/// The fields behind version and flags; those that follow from the place of the seal are left 0.
fn parse_body(reader: &mut Reader<'_>, flags: u32) -> Option<Seal> {
    let fragments = reader.u32()? as usize;
    let tracks = reader.u32()? as usize;
    let offset = reader.u64()?;
    let duration_us = reader.u64()?;
    // The counts are compared with the bytes at hand before anything is allocated by them.
    let table_bytes = reader.remaining().len();
    if tracks > MAX_TRACKS || fragments > table_bytes / ENTRY_FIXED_BYTES {
        return None;
    }
    let samples = (0..tracks).map(|_| reader.u64()).collect::<Option<Vec<_>>>()?;
    let fragments = (0..fragments).map(|_| parse_entry(reader, tracks)).collect::<Option<Vec<_>>>()?;
    let previous = reader.array()?;
    Some(Seal {
        offset,
        fragments,
        samples,
        duration_us,
        previous_blake3: (flags & FLAG_PREVIOUS != 0).then_some(previous),
        crc64: reader.u64()?,
        blake3: reader.array()?,
        file_crc64: 0,
        file_bytes: 0,
    })
}

fn parse_entry(reader: &mut Reader<'_>, tracks: usize) -> Option<FragmentEntry> {
    let offset = reader.u64()?;
    let start_utc_ms = reader.i64()?;
    let duration_us = reader.u64()?;
    let random_access = reader.u32()? & ENTRY_FLAG_RANDOM_ACCESS != 0;
    let mut pair_bytes = [0; MAX_TRACKS];
    let mut bytes = 0_u32;
    for pair in pair_bytes.iter_mut().take(tracks) {
        *pair = reader.u32()?;
        bytes = bytes.checked_add(*pair)?;
    }
    Some(FragmentEntry { offset, bytes, pair_bytes, start_utc_ms, duration_us, random_access })
}
