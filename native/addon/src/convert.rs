//! Plain objects of the boundary, named as in `src/engine/types.ts`, and their way into and out of the engine's types.

use std::path::PathBuf;

use easyrms_engine::files::SegmentEnds;
use easyrms_engine::{TrackOrder, format_uuid, hex, parse_uuid, roots};
use easyrms_media::assembler::AacLengths;
use easyrms_media::identity::{ClockTrust, StreamKind};
use easyrms_media::mp4::{Head, Scan, Seal};
use napi::bindgen_prelude::{ToNapiValue, TypeName, Uint8ArraySlice};
use napi::{Env, ValueType, sys};
use napi_derive::napi;

use crate::failure::{Result, misuse};

/// JavaScript numbers hold integers up to 2^53 exactly; more never means anything here.
const MAX_INTEGER: f64 = 9_007_199_254_740_991.0;

/// A JavaScript number that must be an integer in the range.
fn integer(value: f64, what: &str, min: f64, max: f64) -> Result<f64> {
    if value.fract() == 0.0 && (min..=max).contains(&value) {
        Ok(value)
    } else {
        Err(misuse(format!("{what} is {value}, an integer from {min} to {max} is needed")))
    }
}

pub fn to_u64(value: f64, what: &str) -> Result<u64> {
    integer(value, what, 0.0, MAX_INTEGER).map(|value| value as u64)
}

pub fn to_i64(value: f64, what: &str) -> Result<i64> {
    integer(value, what, -MAX_INTEGER, MAX_INTEGER).map(|value| value as i64)
}

pub fn to_u32(value: f64, what: &str) -> Result<u32> {
    integer(value, what, 0.0, f64::from(u32::MAX)).map(|value| value as u32)
}

pub fn to_u16(value: f64, what: &str) -> Result<u16> {
    integer(value, what, 0.0, f64::from(u16::MAX)).map(|value| value as u16)
}

pub fn to_uuid(text: &str) -> Result<[u8; 16]> {
    parse_uuid(text).ok_or_else(|| misuse(format!("run {text:?} is no UUID")))
}

#[napi(object)]
pub struct EngineOptions {
    pub tick_ms: f64,
}

#[napi(object)]
pub struct WriterOptions {
    pub sync_ms: f64,
}

#[napi(object)]
pub struct StreamOptions {
    pub fragment_ms: f64,
    pub ring_ms: f64,
    pub ring_bytes: f64,
    pub queue_bytes: f64,
}

impl StreamOptions {
    pub fn into_engine(self) -> Result<easyrms_engine::StreamOptions> {
        Ok(easyrms_engine::StreamOptions {
            fragment_ms: to_u32(self.fragment_ms, "fragmentMs")?,
            ring_ms: to_u32(self.ring_ms, "ringMs")?,
            ring_bytes: to_u64(self.ring_bytes, "ringBytes")?,
            queue_bytes: to_u64(self.queue_bytes, "queueBytes")?,
        })
    }
}

#[napi(object)]
#[allow(clippy::struct_field_names)] // The boundary's names.
pub struct AacSetup {
    pub size_length: f64,
    pub index_length: f64,
    pub index_delta_length: f64,
}

#[napi(object, use_nullable = true)]
pub struct TrackSetup {
    pub codec: String,
    pub clock_rate_hz: f64,
    pub channels: f64,
    pub payload_type: f64,
    pub rtp_channel: f64,
    pub rtcp_channel: f64,
    pub ssrc: Option<f64>,
    pub config: Vec<String>,
    pub aac: Option<AacSetup>,
}

impl TrackSetup {
    pub fn into_engine(self) -> Result<TrackOrder> {
        let bits = |value: f64, what: &str| integer(value, what, 0.0, 32.0).map(|value| value as u8);
        let lengths = |aac: AacSetup| -> Result<AacLengths> {
            Ok(AacLengths {
                size: bits(aac.size_length, "sizeLength")?,
                index: bits(aac.index_length, "indexLength")?,
                index_delta: bits(aac.index_delta_length, "indexDeltaLength")?,
            })
        };
        Ok(TrackOrder {
            codec: self.codec,
            clock_rate_hz: to_u32(self.clock_rate_hz, "clockRateHz")?,
            channels: to_u32(self.channels, "channels")?,
            payload_type: to_u32(self.payload_type, "payloadType")?,
            rtp_channel: to_u32(self.rtp_channel, "rtpChannel")?,
            rtcp_channel: to_u32(self.rtcp_channel, "rtcpChannel")?,
            ssrc: self.ssrc.map(|ssrc| to_u32(ssrc, "ssrc")).transpose()?,
            config: self.config,
            aac: self.aac.map(lengths).transpose()?,
        })
    }
}

#[napi(object)]
pub struct SegmentTicket {
    pub root: f64,
    pub path: String,
    pub serial: String,
    pub channel: f64,
    pub stream: String,
    pub run: String,
    pub sequence: f64,
    pub zone: String,
    pub clock_trusted: bool,
    pub max_duration_ms: f64,
    pub cut_at_utc_ms: Vec<f64>,
    pub preallocate_bytes: f64,
}

impl SegmentTicket {
    pub fn into_engine(self) -> Result<easyrms_engine::SegmentTicket> {
        let stream = match self.stream.as_str() {
            "main" => StreamKind::Main,
            "sub" => StreamKind::Sub,
            other => return Err(misuse(format!("stream {other:?}, main or sub is needed"))),
        };
        Ok(easyrms_engine::SegmentTicket {
            root: to_u32(self.root, "root")?,
            path: PathBuf::from(self.path),
            serial: self.serial,
            channel: to_u32(self.channel, "channel")?,
            stream,
            run: to_uuid(&self.run)?,
            sequence: to_u32(self.sequence, "sequence")?,
            zone: self.zone,
            clock: if self.clock_trusted { ClockTrust::Trusted } else { ClockTrust::Untrusted },
            max_duration_ms: to_u64(self.max_duration_ms, "maxDurationMs")?,
            cut_at_utc_ms: self.cut_at_utc_ms.into_iter().map(|cut| to_i64(cut, "cutAtUtcMs")).collect::<Result<_>>()?,
            preallocate_bytes: to_u64(self.preallocate_bytes, "preallocateBytes")?,
        })
    }
}

/// Bytes that reach JavaScript as a `Uint8Array` over memory of its own: memory of ours behind it has been freed too early by runtimes.
pub struct CopiedBytes(Vec<u8>);

impl TypeName for CopiedBytes {
    fn type_name() -> &'static str {
        "Uint8Array"
    }

    fn value_type() -> ValueType {
        ValueType::Object
    }
}

impl ToNapiValue for CopiedBytes {
    unsafe fn to_napi_value(env: sys::napi_env, value: Self) -> napi::Result<sys::napi_value> {
        let slice = Uint8ArraySlice::copy_from(&Env::from_raw(env), value.0)?;
        // SAFETY: `env` is the one this conversion was called with, on its thread.
        unsafe { ToNapiValue::to_napi_value(env, slice) }
    }
}

#[napi(object, object_from_js = false)]
pub struct TapFragment {
    pub sequence: f64,
    pub start_utc_ms: f64,
    pub duration_ms: f64,
    pub random_access: bool,
    pub data: CopiedBytes,
}

#[napi(object, object_from_js = false)]
pub struct TapResult {
    pub next_sequence: f64,
    pub lapped: bool,
    pub init: CopiedBytes,
    pub fragments: Vec<TapFragment>,
}

impl From<easyrms_engine::Tap> for TapResult {
    fn from(tap: easyrms_engine::Tap) -> Self {
        let fragment = |fragment: easyrms_engine::TapFragment| TapFragment {
            sequence: fragment.sequence as f64,
            start_utc_ms: fragment.start_utc_ms as f64,
            duration_ms: fragment.duration_ms as f64,
            random_access: fragment.random_access,
            data: CopiedBytes(fragment.data),
        };
        Self {
            next_sequence: tap.next_sequence as f64,
            lapped: tap.lapped,
            init: CopiedBytes(tap.init),
            fragments: tap.fragments.into_iter().map(fragment).collect(),
        }
    }
}

#[napi(object)]
pub struct RootMarker {
    pub id: String,
    pub serial: String,
}

#[napi(object, use_nullable = true)]
pub struct RootInspection {
    pub file_system: String,
    pub directory: Option<String>,
    pub mount_point: String,
    pub marker: Option<RootMarker>,
}

impl From<roots::Inspection> for RootInspection {
    fn from(found: roots::Inspection) -> Self {
        Self {
            file_system: found.file_system.to_string(),
            directory: found.directory.map(|directory| directory.to_string()),
            mount_point: found.mount_point.display().to_string(),
            marker: found.marker.map(|roots::Marker { id, serial, .. }| RootMarker { id, serial }),
        }
    }
}

impl RootInspection {
    pub fn into_engine(self) -> Result<roots::Inspection> {
        let number = |text: String, what: &str| text.parse().map_err(|_| misuse(format!("{what} {text:?} is no number")));
        Ok(roots::Inspection {
            file_system: number(self.file_system, "fileSystem")?,
            directory: self.directory.map(|directory| number(directory, "directory")).transpose()?,
            mount_point: PathBuf::from(self.mount_point),
            marker: None,
        })
    }
}

#[napi(object)]
pub struct FreeSpace {
    pub available_bytes: f64,
    pub total_bytes: f64,
}

#[napi(object, use_nullable = true)]
pub struct TrackDescription {
    pub kind: String,
    pub codec: String,
    pub clock_rate_hz: f64,
    pub channels: f64,
    pub width: Option<f64>,
    pub height: Option<f64>,
}

#[napi(object, use_nullable = true)]
pub struct SegmentHead {
    pub serial: String,
    pub channel: f64,
    pub stream: String,
    pub run: String,
    pub sequence: f64,
    pub start_mono_ms: f64,
    pub start_utc_ms: f64,
    pub zone: String,
    pub clock_trusted: bool,
    pub sealed: bool,
    pub end_utc_ms: Option<f64>,
    pub duration_ms: Option<f64>,
    pub bytes: f64,
    pub crc64: Option<String>,
    pub blake3: Option<String>,
    pub previous_blake3: Option<String>,
    pub tracks: Vec<TrackDescription>,
}

impl SegmentHead {
    fn new(head: Head, seal: Option<&Seal>, bytes: u64) -> Self {
        let identity = head.identity;
        let describe = |track: &easyrms_media::mp4::HeadTrack| {
            let description = easyrms_engine::TrackDescription::of(&track.track);
            TrackDescription {
                kind: description.kind.to_owned(),
                codec: description.codec.to_owned(),
                clock_rate_hz: f64::from(description.clock_rate_hz),
                channels: f64::from(description.channels),
                width: description.width.map(f64::from),
                height: description.height.map(f64::from),
            }
        };
        Self {
            serial: identity.serial,
            channel: f64::from(identity.channel),
            stream: match identity.stream {
                StreamKind::Main => "main".to_owned(),
                StreamKind::Sub => "sub".to_owned(),
            },
            run: format_uuid(identity.run),
            sequence: f64::from(identity.sequence),
            start_mono_ms: identity.start_mono_ms as f64,
            start_utc_ms: identity.start_utc_ms as f64,
            zone: identity.zone,
            clock_trusted: identity.clock == ClockTrust::Trusted,
            sealed: seal.is_some(),
            end_utc_ms: seal.and_then(Seal::end_utc_ms).map(|end| end as f64),
            duration_ms: seal.map(|seal| (seal.duration_us / 1000) as f64),
            bytes: bytes as f64,
            crc64: seal.map(|seal| hex(&seal.crc64.to_be_bytes())),
            blake3: seal.map(|seal| hex(&seal.blake3)),
            previous_blake3: seal.and_then(|seal| seal.previous_blake3).map(|hash| hex(&hash)),
            tracks: head.tracks.iter().map(describe).collect(),
        }
    }
}

impl From<SegmentEnds> for SegmentHead {
    fn from(ends: SegmentEnds) -> Self {
        Self::new(ends.head, ends.seal.as_ref(), ends.bytes)
    }
}

#[napi(object)]
pub struct FragmentEntry {
    pub offset: f64,
    pub bytes: f64,
    pub start_utc_ms: f64,
    pub duration_ms: f64,
    pub random_access: bool,
}

#[napi(object, use_nullable = true)]
pub struct SegmentScan {
    pub head: Option<SegmentHead>,
    pub fragments: Vec<FragmentEntry>,
    pub whole_bytes: f64,
    pub duration_ms: f64,
    pub sealed: bool,
    pub problems: Vec<String>,
}

impl From<Scan> for SegmentScan {
    fn from(scan: Scan) -> Self {
        let entry = |entry: &easyrms_media::mp4::FragmentEntry| FragmentEntry {
            offset: entry.offset as f64,
            bytes: f64::from(entry.bytes),
            start_utc_ms: entry.start_utc_ms as f64,
            duration_ms: (entry.duration_us / 1000) as f64,
            random_access: entry.random_access,
        };
        Self {
            fragments: scan.fragments.iter().map(entry).collect(),
            whole_bytes: scan.whole_bytes as f64,
            duration_ms: (scan.duration_us / 1000) as f64,
            sealed: scan.seal.is_some(),
            head: scan.head.map(|head| SegmentHead::new(head, scan.seal.as_ref(), scan.bytes)),
            problems: scan.problems,
        }
    }
}
