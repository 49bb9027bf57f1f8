//! Fragments and tickets for tests.

use std::path::Path;
use std::sync::Arc;

use easyrms_media::fragment::{Discontinuity, Fragment, FragmentTimes, Sample, TrackFragment};
use easyrms_media::identity::{ClockTrust, StreamKind};
use easyrms_media::track::{Codec, CodecConfig, Track};

use crate::ring::Item;
use crate::stream::{StreamOptions, StreamShared};
use crate::ticket::SegmentTicket;

pub const START_UTC_MS: i64 = 1_790_000_000_000;
pub const RUN: [u8; 16] = [7; 16];

pub fn tracks() -> Arc<[Track]> {
    let config =
        CodecConfig::H264 { sps: vec![vec![0x67, 0x42, 0xc0, 0x1e, 0xda, 0x05, 0x82, 0x59]], pps: vec![vec![0x68, 0xce, 0x3c, 0x80]] };
    Arc::new([Track { codec: Codec::H264, clock_rate: 90_000, channels: 0, config }])
}

/// Fragment `sequence` of one second and `bytes`; every second one is a random access point, as with a GOP of 2 s.
pub fn item(sequence: u64, bytes: usize) -> Item {
    item_of(sequence, bytes, sequence.is_multiple_of(2), None)
}

pub fn item_of(sequence: u64, bytes: usize, random_access: bool, discontinuity: Option<Discontinuity>) -> Item {
    let sample = |index: u32| Sample {
        size: if index == 0 { bytes as u32 - 24 * 8 } else { 8 },
        duration_ticks: 3600,
        composition_offset_ticks: 0,
        random_access: random_access && index == 0,
    };
    let part = TrackFragment {
        track: 0,
        start_ticks: sequence as i64 * 90_000,
        samples: (0..25).map(sample).collect(),
        data: (0..bytes).map(|at| (at as u64 * 31 + sequence) as u8).collect(),
    };
    let times = FragmentTimes {
        start_us: sequence as i64 * 1_000_000,
        duration_us: 1_000_000,
        start_utc_ms: START_UTC_MS + sequence as i64 * 1000,
    };
    let fragment = Fragment::new(sequence, tracks(), vec![part], random_access, discontinuity, times, 0, None);
    Item { fragment: Arc::new(fragment), start_mono_ms: 5000 + sequence * 1000, run: 0, discontinuity }
}

pub fn stream(queue_bytes: u64) -> Arc<StreamShared> {
    Arc::new(StreamShared::new(3, StreamOptions { fragment_ms: 1000, ring_ms: 10_000, ring_bytes: 1 << 20, queue_bytes }))
}

pub fn ticket(directory: &Path, sequence: u32) -> SegmentTicket {
    SegmentTicket {
        root: 1,
        path: directory.join(format!("{sequence}.mp4.open")),
        serial: "RMS0000001".to_owned(),
        channel: 1,
        stream: StreamKind::Main,
        run: RUN,
        sequence,
        zone: "Asia/Shanghai".to_owned(),
        clock: ClockTrust::Trusted,
        max_duration_ms: 4000,
        cut_at_utc_ms: Vec::new(),
        preallocate_bytes: 1 << 20,
    }
}
