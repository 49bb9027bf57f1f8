//! `ftyp moov`: one track box per track, no samples, and the identity at the end.

use crate::identity::{ClockTrust, Identity};
use crate::track::{Codec, CodecConfig, Track};

use super::boxes::{patch, put_u16, put_u32, put_u32s, put_u64, write_box, write_full_box};
use super::crc::crc64;
use super::sps::{self, Sps};
use super::{MAX_INIT_BYTES, MAX_TRACKS, Mp4Error, identity};

/// `default-base-is-moof` and `tfdt` version 1 are of these brands; `mp41` lets older readers try.
pub(super) const MAJOR_BRAND: [u8; 4] = *b"iso6";
const COMPATIBLE_BRANDS: [[u8; 4]; 3] = [*b"iso6", *b"iso5", *b"mp41"];
/// Milliseconds; nothing is timed in it, since `mvhd` states no duration.
const MOVIE_TIMESCALE: u32 = 1000;
/// Seconds from 1904-01-01, where MP4 counts from, to 1970-01-01.
const EPOCH_1904_S: i64 = 2_082_844_800;
/// `und`, ISO 639-2/T in three 5-bit letters.
const LANGUAGE_UNDETERMINED: u16 = 0x55C4;
const LAYOUT_MONO: u32 = 100 << 16 | 1;
const LAYOUT_STEREO: u32 = 101 << 16 | 2;
const UNITY_MATRIX: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];
const MAX_SPS: usize = 31;
const MAX_PPS: usize = 255;
const MAX_AUDIO_CONFIG_BYTES: usize = 1024;

/// Appends `ftyp moov` for the tracks (video first) to `out`.
pub fn write_init(tracks: &[Track], identity: &Identity, out: &mut Vec<u8>) -> Result<(), Mp4Error> {
    write_init_with_crc64(tracks, identity, out).map(|_| ())
}

/// Gives the checksum that ends the header, too.
pub(super) fn write_init_with_crc64(tracks: &[Track], identity: &Identity, out: &mut Vec<u8>) -> Result<u64, Mp4Error> {
    validate(tracks)?;
    identity::validate(identity)?;
    let start = out.len();
    write_box(out, *b"ftyp", |out| {
        out.extend_from_slice(&MAJOR_BRAND);
        put_u32(out, 0);
        out.extend(COMPATIBLE_BRANDS.iter().flatten());
    });
    write_box(out, *b"moov", |out| {
        write_mvhd(out, tracks.len(), creation_time(identity));
        for (index, track) in tracks.iter().enumerate() {
            write_trak(out, index as u32 + 1, track, creation_time(identity));
        }
        write_box(out, *b"mvex", |out| {
            for id in 1..=tracks.len() as u32 {
                // Sample description 1; the other defaults are in each tfhd.
                write_full_box(out, *b"trex", 0, 0, |out| put_u32s(out, [id, 1, 0, 0, 0]));
            }
        });
        identity::write(out, identity);
    });
    let bytes = out.len() - start;
    if bytes > MAX_INIT_BYTES {
        out.truncate(start);
        return Err(Mp4Error::InitTooLarge { observed: bytes });
    }
    let checksum = crc64(out.get(start..start + bytes - 8).unwrap_or_default());
    patch(out, start + bytes - 8, &checksum.to_be_bytes());
    Ok(checksum)
}

fn validate(tracks: &[Track]) -> Result<(), Mp4Error> {
    if tracks.is_empty() || tracks.len() > MAX_TRACKS {
        return Err(Mp4Error::TrackCount { observed: tracks.len() });
    }
    for (index, track) in tracks.iter().enumerate() {
        validate_track(track).map_err(|what| Mp4Error::Track { track: index, codec: track.codec.name(), what })?;
    }
    match tracks.iter().enumerate().skip(1).find(|(_, track)| track.codec.is_video()) {
        Some((track, video)) => Err(Mp4Error::Track { track, codec: video.codec.name(), what: "video is stored as the first track only" }),
        None => Ok(()),
    }
}

fn validate_track(track: &Track) -> Result<(), &'static str> {
    if track.clock_rate == 0 {
        return Err("clock rate is 0");
    }
    match (track.codec, &track.config) {
        (Codec::H264, CodecConfig::H264 { sps, pps }) => {
            if sps.is_empty() || pps.is_empty() {
                Err("a parameter set is missing")
            } else if sps.len() > MAX_SPS || pps.len() > MAX_PPS {
                Err("more than 31 SPS or 255 PPS")
            } else if sps.iter().chain(pps).any(|unit| unit.is_empty() || unit.len() > usize::from(u16::MAX)) {
                Err("a parameter set is empty or over 65535 bytes")
            } else {
                Ok(())
            }
        }
        (Codec::Aac, CodecConfig::Aac { audio_specific_config: config }) => {
            if (2..=MAX_AUDIO_CONFIG_BYTES).contains(&config.len()) {
                Ok(())
            } else {
                Err("AudioSpecificConfig is not 2 to 1024 bytes long")
            }
        }
        (Codec::Pcma | Codec::Pcmu, CodecConfig::Pcm) => Ok(()),
        _ => Err("the configuration is of another codec"),
    }
}

/// The start by the wall clock, in the seconds of MP4; 0 (unknown) when that clock was not trusted.
fn creation_time(identity: &Identity) -> u64 {
    match identity.clock {
        ClockTrust::Trusted => u64::try_from(identity.start_utc_ms.div_euclid(1000) + EPOCH_1904_S).unwrap_or(0),
        ClockTrust::Untrusted => 0,
    }
}

/// ISO/IEC 14496-12 section 8.2.2. Version 1: version 0 ends in 2040. Duration 0 stands, since the file is never rewritten.
fn write_mvhd(out: &mut Vec<u8>, tracks: usize, creation_time: u64) {
    write_full_box(out, *b"mvhd", 1, 0, |out| {
        put_u64(out, creation_time);
        put_u64(out, creation_time);
        put_u32(out, MOVIE_TIMESCALE);
        put_u64(out, 0);
        put_u32(out, 0x1_0000); // rate 1.0
        put_u16(out, 0x100); // volume 1.0
        out.extend_from_slice(&[0; 10]);
        put_u32s(out, UNITY_MATRIX);
        out.extend_from_slice(&[0; 24]);
        put_u32(out, tracks as u32 + 1);
    });
}

fn write_trak(out: &mut Vec<u8>, id: u32, track: &Track, creation_time: u64) {
    let video = track.codec.is_video();
    let sps = match &track.config {
        CodecConfig::H264 { sps, .. } => sps.first().and_then(|unit| sps::parse(unit)),
        _ => None,
    };
    // Players take the size from the SPS itself; 0 says that we could not read it.
    let (width, height) = sps.map_or((0, 0), |sps| (sps.width, sps.height));
    write_box(out, *b"trak", |out| {
        // Enabled, in movie.
        write_full_box(out, *b"tkhd", 1, 3, |out| {
            put_u64(out, creation_time);
            put_u64(out, creation_time);
            put_u32(out, id);
            put_u32(out, 0);
            put_u64(out, 0);
            out.extend_from_slice(&[0; 12]);
            put_u16(out, if video { 0 } else { 0x100 });
            put_u16(out, 0);
            put_u32s(out, UNITY_MATRIX);
            put_u32(out, u32::from(width) << 16);
            put_u32(out, u32::from(height) << 16);
        });
        write_box(out, *b"mdia", |out| {
            write_full_box(out, *b"mdhd", 1, 0, |out| {
                put_u64(out, creation_time);
                put_u64(out, creation_time);
                put_u32(out, track.clock_rate);
                put_u64(out, 0);
                put_u16(out, LANGUAGE_UNDETERMINED);
                put_u16(out, 0);
            });
            write_full_box(out, *b"hdlr", 0, 0, |out| {
                put_u32(out, 0);
                out.extend_from_slice(if video { b"vide" } else { b"soun" });
                out.extend_from_slice(&[0; 12]);
                out.extend_from_slice(if video { b"video\0" } else { b"sound\0" });
            });
            write_box(out, *b"minf", |out| {
                if video {
                    write_full_box(out, *b"vmhd", 0, 1, |out| put_u64(out, 0));
                } else {
                    write_full_box(out, *b"smhd", 0, 0, |out| put_u32(out, 0));
                }
                write_box(out, *b"dinf", |out| {
                    write_full_box(out, *b"dref", 0, 0, |out| {
                        put_u32(out, 1);
                        // Flag 1: the media is in this file.
                        write_full_box(out, *b"url ", 0, 1, |_| ());
                    });
                });
                write_stbl(out, track, sps.as_ref());
            });
        });
    });
}

/// The sample description, and the mandatory tables with no entry.
fn write_stbl(out: &mut Vec<u8>, track: &Track, sps: Option<&Sps>) {
    write_box(out, *b"stbl", |out| {
        write_full_box(out, *b"stsd", 0, 0, |out| {
            put_u32(out, 1);
            match &track.config {
                CodecConfig::H264 { sps: sps_units, pps } => write_avc1(out, sps_units, pps, sps),
                CodecConfig::Aac { audio_specific_config } => {
                    write_audio_entry(out, *b"mp4a", track, |out| write_esds(out, audio_specific_config));
                }
                CodecConfig::Pcm => {
                    let kind = if track.codec == Codec::Pcma { *b"alaw" } else { *b"ulaw" };
                    write_audio_entry(out, kind, track, |out| write_chan(out, track.channels));
                }
            }
        });
        for table in [*b"stts", *b"stsc", *b"stco"] {
            write_full_box(out, table, 0, 0, |out| put_u32(out, 0));
        }
        write_full_box(out, *b"stsz", 0, 0, |out| put_u64(out, 0));
    });
}

/// `VisualSampleEntry` (ISO/IEC 14496-12 section 12.1.3) with `avcC` (ISO/IEC 14496-15 section 5.3.3).
fn write_avc1(out: &mut Vec<u8>, sps_units: &[Vec<u8>], pps_units: &[Vec<u8>], sps: Option<&Sps>) {
    write_box(out, *b"avc1", |out| {
        out.extend_from_slice(&[0; 6]);
        put_u16(out, 1); // data reference
        out.extend_from_slice(&[0; 16]);
        put_u16(out, sps.map_or(0, |sps| sps.width));
        put_u16(out, sps.map_or(0, |sps| sps.height));
        put_u32(out, 0x48_0000); // 72 dpi
        put_u32(out, 0x48_0000);
        put_u32(out, 0);
        put_u16(out, 1); // frames per sample
        out.extend_from_slice(&[0; 32]); // no compressor name
        put_u16(out, 24); // colour depth
        put_u16(out, u16::MAX); // no colour table
        write_box(out, *b"avcC", |out| {
            let mut profile = sps_units.iter().flatten().skip(1).copied();
            let profile: [u8; 3] = std::array::from_fn(|_| profile.next().unwrap_or(0));
            out.push(1);
            out.extend_from_slice(&profile);
            out.push(0xFF); // 6 reserved bits, lengths of 4 bytes
            out.push(0xE0 | sps_units.len() as u8);
            write_parameter_sets(out, sps_units);
            out.push(pps_units.len() as u8);
            write_parameter_sets(out, pps_units);
            if sps::has_chroma_format(profile[0]) {
                let (chroma_format, luma, chroma) =
                    sps.map_or((1, 0, 0), |sps| (sps.chroma_format, sps.luma_depth_minus_8, sps.chroma_depth_minus_8));
                out.extend_from_slice(&[0xFC | chroma_format, 0xF8 | luma, 0xF8 | chroma, 0]);
            }
        });
    });
}

fn write_parameter_sets(out: &mut Vec<u8>, units: &[Vec<u8>]) {
    for unit in units {
        put_u16(out, unit.len() as u16);
        out.extend_from_slice(unit);
    }
}

/// `AudioSampleEntry`, ISO/IEC 14496-12 section 12.2.3.
fn write_audio_entry(out: &mut Vec<u8>, kind: [u8; 4], track: &Track, config: impl FnOnce(&mut Vec<u8>)) {
    write_box(out, kind, |out| {
        out.extend_from_slice(&[0; 6]);
        put_u16(out, 1); // data reference
        out.extend_from_slice(&[0; 8]);
        put_u16(out, u16::from(track.channels.max(1)));
        put_u16(out, 16); // of the decoded sound
        put_u32(out, 0);
        // 16.16; rates that do not fit are 0, the timescale has them anyway.
        put_u32(out, u16::try_from(track.clock_rate).map_or(0, |rate| u32::from(rate) << 16));
        config(out);
    });
}

/// Channel layout in the words of Apple's Core Audio (`AudioChannelLayoutTag`). G.711 has no configuration that would tell it, and ffmpeg
/// then warns that it guesses; versions before 6.1 do not know `chnl`, the box of ISO/IEC 14496-12 for this.
fn write_chan(out: &mut Vec<u8>, channels: u8) {
    let layout = match channels {
        0 | 1 => LAYOUT_MONO,
        2 => LAYOUT_STEREO,
        _ => return,
    };
    write_full_box(out, *b"chan", 0, 0, |out| put_u32s(out, [layout, 0, 0]));
}

/// ISO/IEC 14496-14 section 5.6 around the descriptors of ISO/IEC 14496-1 section 7.2.6.
fn write_esds(out: &mut Vec<u8>, audio_specific_config: &[u8]) {
    let mut decoder = vec![0x40, 0x15]; // MPEG-4 audio; audio stream, upStream 0, reserved 1
    decoder.extend_from_slice(&[0; 11]); // buffer size and bit rates unknown
    write_descriptor(&mut decoder, 5, audio_specific_config);
    let mut stream = vec![0, 0, 0]; // ES_ID 0 as stored files have it, no flags
    write_descriptor(&mut stream, 4, &decoder);
    write_descriptor(&mut stream, 6, &[2]); // SLConfig: MP4
    write_full_box(out, *b"esds", 0, 0, |out| write_descriptor(out, 3, &stream));
}

/// A descriptor with its length in four 7-bit bytes.
fn write_descriptor(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    out.push(tag);
    let length = body.len() as u32;
    out.extend([21, 14, 7].map(|shift| 0x80 | (length >> shift) as u8));
    out.push(length as u8 & 0x7F);
    out.extend_from_slice(body);
}
