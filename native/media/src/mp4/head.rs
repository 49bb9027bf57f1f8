//! Reading `ftyp moov` back: identity and tracks.

use crate::identity::Identity;
use crate::track::{Codec, CodecConfig, Track};

use super::boxes::{BOX_HEADER_BYTES, Reader, child, children, uuid_child};
use super::crc::crc64;
use super::init::MAJOR_BRAND;
use super::{MAX_INIT_BYTES, MAX_TRACKS, Mp4Error, identity};

/// What the header of a segment says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub identity: Identity,
    pub tracks: Vec<HeadTrack>,
    /// Length of the header; the first fragment begins there.
    pub bytes: usize,
    /// CRC-64/XZ that ends the header, of all of it before.
    pub crc64: u64,
}

/// One track as the header describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadTrack {
    pub track: Track,
    /// Luma samples; 0 for sound, and for video whose SPS could not be read.
    pub width: u16,
    pub height: u16,
}

/// Answer of [`read_head`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeadRead {
    Whole(Head),
    /// The header is longer than what was given: ask again with the first so many bytes of the file. At most [`MAX_INIT_BYTES`].
    NeedMore(usize),
}

/// Reads the header from the first bytes of a file, as many as one likes to read at once.
pub fn read_head(prefix: &[u8]) -> Result<HeadRead, Mp4Error> {
    let mut reader = Reader::new(prefix);
    let Some(ftyp_bytes) = expect_box(&mut reader, *b"ftyp", 0)? else { return Ok(HeadRead::NeedMore(BOX_HEADER_BYTES)) };
    let Some(brand) = reader.take(ftyp_bytes - BOX_HEADER_BYTES) else { return Ok(HeadRead::NeedMore(ftyp_bytes + BOX_HEADER_BYTES)) };
    if !brand.starts_with(&MAJOR_BRAND) {
        return Err(Mp4Error::Foreign { what: "another major brand" });
    }
    let Some(moov_bytes) = expect_box(&mut reader, *b"moov", ftyp_bytes)? else {
        return Ok(HeadRead::NeedMore(ftyp_bytes + BOX_HEADER_BYTES));
    };
    let bytes = ftyp_bytes + moov_bytes;
    let Some(header) = prefix.get(..bytes) else { return Ok(HeadRead::NeedMore(bytes)) };
    parse(header, ftyp_bytes).map(HeadRead::Whole)
}

/// The size of the box that must be next; `None` if its header is not there yet.
fn expect_box(reader: &mut Reader<'_>, kind: [u8; 4], offset: usize) -> Result<Option<usize>, Mp4Error> {
    let (Some(size), Some(found)) = (reader.u32(), reader.array::<4>()) else { return Ok(None) };
    let size = size as usize;
    if found != kind {
        return Err(Mp4Error::Foreign { what: "does not begin with ftyp and moov" });
    }
    if !(BOX_HEADER_BYTES..=MAX_INIT_BYTES - offset).contains(&size) {
        return Err(Mp4Error::Foreign { what: "ftyp and moov have impossible sizes" });
    }
    Ok(Some(size))
}

/// `header` is `ftyp moov`, `ftyp` that long.
fn parse(header: &[u8], ftyp_bytes: usize) -> Result<Head, Mp4Error> {
    let moov = header.get(ftyp_bytes + BOX_HEADER_BYTES..).unwrap_or_default();
    let identity = uuid_child(moov, &identity::IDENTITY_UUID).ok_or(Mp4Error::Foreign { what: "has no identity" })?;
    let stored_crc64 = stored_crc64(header);
    if crc64(header.get(..header.len().saturating_sub(8)).unwrap_or_default()) != stored_crc64 {
        return Err(Mp4Error::Damaged { offset: 0, what: "header does not match its checksum" });
    }
    let identity = identity::parse(identity)?;
    let tracks: Option<Vec<_>> = children(moov).filter(|(kind, _)| kind == b"trak").map(|(_, trak)| parse_trak(trak)).collect();
    let tracks = tracks.ok_or(Mp4Error::Foreign { what: "has a track of an unknown kind" })?;
    if tracks.is_empty() || tracks.len() > MAX_TRACKS {
        return Err(Mp4Error::TrackCount { observed: tracks.len() });
    }
    Ok(Head { identity, tracks, bytes: header.len(), crc64: stored_crc64 })
}

/// The checksum at the end of a header even if that is damaged, so that what follows can still be told from another file's.
pub(super) fn stored_crc64(header: &[u8]) -> u64 {
    header.split_last_chunk().map_or(0, |(_, stored)| u64::from_be_bytes(*stored))
}

fn parse_trak(trak: &[u8]) -> Option<HeadTrack> {
    let mdia = child(trak, *b"mdia")?;
    let mut mdhd = Reader::new(child(mdia, *b"mdhd")?);
    mdhd.skip(4 + 8 + 8)?;
    let clock_rate = mdhd.u32()?;
    let stbl = child(child(mdia, *b"minf")?, *b"stbl")?;
    let mut stsd = Reader::new(child(stbl, *b"stsd")?);
    stsd.skip(8)?;
    let (kind, entry) = children(stsd.remaining()).next()?;
    match &kind {
        b"avc1" => parse_avc1(entry, clock_rate),
        b"mp4a" => parse_audio(entry, clock_rate, Codec::Aac),
        b"alaw" => parse_audio(entry, clock_rate, Codec::Pcma),
        b"ulaw" => parse_audio(entry, clock_rate, Codec::Pcmu),
        _ => None,
    }
}

fn parse_avc1(entry: &[u8], clock_rate: u32) -> Option<HeadTrack> {
    let mut reader = Reader::new(entry);
    reader.skip(24)?;
    let (width, height) = (reader.u16()?, reader.u16()?);
    reader.skip(50)?;
    let mut avcc = Reader::new(child(reader.remaining(), *b"avcC")?);
    avcc.skip(5)?;
    let sps = parameter_sets(&mut avcc, 0x1F)?;
    let pps = parameter_sets(&mut avcc, 0xFF)?;
    Some(HeadTrack { track: Track { codec: Codec::H264, clock_rate, channels: 0, config: CodecConfig::H264 { sps, pps } }, width, height })
}

fn parameter_sets(avcc: &mut Reader<'_>, count_mask: u8) -> Option<Vec<Vec<u8>>> {
    let count = avcc.u8()? & count_mask;
    (0..count)
        .map(|_| {
            let bytes = avcc.u16()?;
            avcc.take(usize::from(bytes)).map(<[u8]>::to_vec)
        })
        .collect()
}

fn parse_audio(entry: &[u8], clock_rate: u32, codec: Codec) -> Option<HeadTrack> {
    let mut reader = Reader::new(entry);
    reader.skip(16)?;
    let channels = u8::try_from(reader.u16()?).ok()?;
    reader.skip(10)?;
    let config = if codec == Codec::Aac {
        CodecConfig::Aac { audio_specific_config: parse_esds(child(reader.remaining(), *b"esds")?)? }
    } else {
        CodecConfig::Pcm
    };
    Some(HeadTrack { track: Track { codec, clock_rate, channels, config }, width: 0, height: 0 })
}

/// The decoder's specific configuration out of the nested descriptors.
fn parse_esds(esds: &[u8]) -> Option<Vec<u8>> {
    let mut stream = descriptor(esds.get(4..)?, 3)?;
    stream = stream.get(3..)?;
    let decoder = descriptor(stream, 4)?.get(13..)?;
    descriptor(decoder, 5).map(<[u8]>::to_vec)
}

/// Body of the descriptor that begins here, which must have this tag.
fn descriptor(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    let mut reader = Reader::new(bytes);
    if reader.u8()? != tag {
        return None;
    }
    let mut length = 0;
    for _ in 0..4 {
        let byte = reader.u8()?;
        length = length << 7 | usize::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            return reader.take(length);
        }
    }
    None
}
