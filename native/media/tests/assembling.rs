//! The assembler from outside: long runs, hostile cameras, and the price of a packet.

use std::sync::Arc;
use std::time::Instant;

use easyrms_media::assembler::{Assembler, AssemblerConfig, Now, TrackSetup};
use easyrms_media::fragment::{BufferPool, Discontinuity, Fragment};
use easyrms_media::track::{Codec, CodecConfig, Track};
use proptest::prelude::*;

const SPS: &[u8] = &[0x67, 66, 0, 30, 0x80];
const PPS: &[u8] = &[0x68, 0x80];
const IDR: &[u8] = &[0x65, 0x88, 1, 2];
const P: &[u8] = &[0x41, 0x9a, 3];
const SECOND_SLICE: &[u8] = &[0x41, 0x20, 4];
const FRAME_TICKS: u32 = 3600;
const FRAME_US: u64 = 40_000;
const START_UTC_MS: i64 = 1_700_000_000_000;

fn video() -> TrackSetup {
    let config = CodecConfig::H264 { sps: vec![SPS.to_vec()], pps: vec![PPS.to_vec()] };
    TrackSetup { track: Track { codec: Codec::H264, clock_rate: 90_000, channels: 0, config }, payload_type: 96, ssrc: None, aac: None }
}

fn sound() -> TrackSetup {
    let track = Track { codec: Codec::Pcma, clock_rate: 8000, channels: 1, config: CodecConfig::Pcm };
    TrackSetup { track, payload_type: 8, ssrc: None, aac: None }
}

fn aac() -> TrackSetup {
    let config = CodecConfig::Aac { audio_specific_config: vec![0x14, 0x08] };
    TrackSetup { track: Track { codec: Codec::Aac, clock_rate: 16_000, channels: 1, config }, payload_type: 97, ssrc: None, aac: None }
}

fn write_packet(packet: &mut Vec<u8>, payload_type: u8, sequence: u16, timestamp: u32, marker: bool, payload: &[u8]) {
    packet.clear();
    packet.extend([0x80, payload_type | if marker { 0x80 } else { 0 }]);
    packet.extend(sequence.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend([1, 2, 3, payload_type]);
    packet.extend_from_slice(payload);
}

fn now(mono_us: u64) -> Now {
    Now { mono_us, utc_ms: START_UTC_MS + (mono_us / 1000) as i64 }
}

/// An assembler with the camera that feeds it.
struct Bench {
    assembler: Assembler,
    sequences: [u16; 2],
    packet: Vec<u8>,
    fragments: Vec<Fragment>,
}

impl Bench {
    fn new(setups: Vec<TrackSetup>) -> Self {
        let config = AssemblerConfig { fragment_ms: 1000, first_sequence: 7 };
        let assembler = Assembler::new(config, setups, BufferPool::new(16));
        Self { assembler, sequences: [65_530, 100], packet: Vec::new(), fragments: Vec::new() }
    }

    fn send(&mut self, track: usize, timestamp: u32, marker: bool, payload: &[u8], mono_us: u64) {
        let payload_type = [96, 8][track];
        write_packet(&mut self.packet, payload_type, self.sequences[track], timestamp, marker, payload);
        self.sequences[track] = self.sequences[track].wrapping_add(1);
        self.assembler.rtp(track, &self.packet, now(mono_us));
        self.fragments.extend(std::iter::from_fn(|| self.assembler.next_fragment()));
    }

    /// Picture `n` of a group of 50.
    fn picture(&mut self, n: u32, timestamp: u32) {
        let slice = if n.is_multiple_of(50) { IDR } else { P };
        self.send(0, timestamp, true, slice, u64::from(n) * FRAME_US);
    }

    fn end(mut self, mono_us: u64) -> Vec<Fragment> {
        self.assembler.flush(now(mono_us));
        self.fragments.extend(std::iter::from_fn(|| self.assembler.next_fragment()));
        self.fragments
    }
}

fn pictures(fragments: &[Fragment]) -> usize {
    fragments.iter().flat_map(|fragment| &fragment.parts).filter(|part| part.track == 0).map(|part| part.samples.len()).sum()
}

#[test]
fn fourteen_hours_pass_the_wraps_without_a_hole() {
    let mut bench = Bench::new(vec![video(), sound()]);
    // 90 kHz wrap after 13.25 hours.
    let count = 25 * 14 * 3600;
    let mut end_ticks = [0_i64; 2];
    let mut seen = 0;
    for n in 0..count {
        bench.picture(n, n.wrapping_mul(FRAME_TICKS).wrapping_add(0xffff_0000));
        bench.send(1, n.wrapping_mul(320).wrapping_add(0xffff_ff00), false, &[0xd5; 320], u64::from(n) * FRAME_US);
        for fragment in bench.fragments.drain(..) {
            let elapsed_ms = (fragment.start_us / 1000) + START_UTC_MS;
            assert!((fragment.start_utc_ms - elapsed_ms).abs() <= 1, "{} for {elapsed_ms}", fragment.start_utc_ms);
            for part in &fragment.parts {
                assert_eq!(part.start_ticks, end_ticks[part.track]);
                end_ticks[part.track] += part.duration_ticks() as i64;
                if part.track == 0 {
                    seen += part.samples.len();
                }
            }
        }
    }
    let counters = *bench.assembler.counters();
    let rest = bench.end(u64::from(count) * FRAME_US);
    assert_eq!(seen + pictures(&rest), count as usize);
    assert_eq!((counters.lost_packets, counters.duplicate_packets, counters.time_jumps, counters.outliers), (0, 0, 0, 0));
    assert_eq!(counters.last_gop_ticks, 50 * u64::from(FRAME_TICKS));
}

#[test]
fn slices_behind_a_marker_stay_in_their_picture() {
    let mut bench = Bench::new(vec![video()]);
    for n in 0..3 {
        bench.send(0, n * FRAME_TICKS, true, if n == 0 { IDR } else { P }, u64::from(n) * FRAME_US);
        bench.send(0, n * FRAME_TICKS, true, SECOND_SLICE, u64::from(n) * FRAME_US);
    }
    let counters = *bench.assembler.counters();
    assert_eq!((counters.video_units, counters.discarded_units), (2, 0), "the third waits for its end");
    assert_eq!(counters.video_bytes, (IDR.len() + P.len() + 2 * SECOND_SLICE.len() + 16) as u64);
    let fragments = bench.end(200_000);
    let sizes: Vec<_> = fragments[0].parts[0].samples.iter().map(|sample| sample.size as usize).collect();
    assert_eq!(sizes, [IDR, P, P].map(|slice| slice.len() + SECOND_SLICE.len() + 8));
    assert_eq!(fragments[0].parts[0].data[4..8], *IDR);
}

#[test]
fn sound_goes_on_while_the_picture_is_silent_and_memory_stays_bounded() {
    let mut bench = Bench::new(vec![video(), sound()]);
    for n in 0..10 {
        bench.picture(n, n * FRAME_TICKS);
    }
    // Half a picture is under way, and stays so for a minute.
    bench.send(0, 10 * FRAME_TICKS, false, &[0x7c, 0x81, 0x9a, 1], 400_000);
    for n in 0..3000_u32 {
        bench.send(1, n * 160, false, &[0xd5; 160], u64::from(n) * 20_000);
    }
    assert!(bench.fragments.len() >= 10, "{} fragments", bench.fragments.len());
    let waiting: usize = 3000 * 160
        - bench
            .fragments
            .iter()
            .flat_map(|fragment| &fragment.parts)
            .filter(|part| part.track == 1)
            .map(|part| part.data.len())
            .sum::<usize>();
    assert!(waiting <= 5 * 8000, "{waiting} bytes wait");
    bench.send(0, 10 * FRAME_TICKS, true, &[0x7c, 0x41, 2, 3], 60_000_000);
    let fragments = bench.end(60_000_000);
    assert_eq!(fragments[0].discontinuity, Some(Discontinuity::RunStart));
    assert!(fragments[1..].iter().all(|fragment| fragment.discontinuity.is_none() && !fragment.random_access));
    // The picture that went on in another buffer is whole.
    let last = fragments.last().unwrap().parts.iter().find(|part| part.track == 0).unwrap();
    assert_eq!(last.data, [0, 0, 0, 5, 0x61, 0x9a, 1, 2, 3]);
}

#[test]
fn wall_time_is_found_again_at_once_behind_a_jump() {
    let mut bench = Bench::new(vec![video()]);
    for n in 0..50 {
        bench.picture(n, n * FRAME_TICKS);
    }
    // The camera was gone for ten seconds, and its clock started anew.
    for n in 300..450_u32 {
        bench.picture(n, 0x4000_0000 + n * FRAME_TICKS);
    }
    let counters = *bench.assembler.counters();
    assert_eq!(counters.time_jumps, 1);
    let fragments = bench.end(450 * FRAME_US);
    let jumped = fragments.iter().find(|fragment| fragment.discontinuity == Some(Discontinuity::TimeJump)).unwrap();
    assert!(jumped.random_access);
    let late_ms = START_UTC_MS + 350 * 40 - jumped.start_utc_ms;
    assert!(late_ms.abs() <= 1, "off by {late_ms} ms");
    for pair in fragments.windows(2) {
        assert!(pair[1].start_utc_ms >= pair[0].start_utc_ms + pair[0].duration_us / 1000 - 1);
    }
}

#[test]
fn a_change_of_sets_comes_with_other_tracks() {
    let mut bench = Bench::new(vec![video()]);
    let before = bench.assembler.tracks();
    bench.picture(0, 0);
    bench.picture(1, FRAME_TICKS);
    let changed = [0x67, 77, 0, 30, 0x80];
    bench.send(0, 2 * FRAME_TICKS, false, &changed, 2 * FRAME_US);
    bench.send(0, 2 * FRAME_TICKS, true, IDR, 2 * FRAME_US);
    let after = bench.assembler.tracks();
    let fragments = bench.end(3 * FRAME_US);
    assert_eq!(
        fragments.iter().map(|fragment| fragment.discontinuity).collect::<Vec<_>>(),
        [Some(Discontinuity::RunStart), Some(Discontinuity::ParameterChange)]
    );
    assert!(Arc::ptr_eq(&fragments[0].tracks, &before) && Arc::ptr_eq(&fragments[1].tracks, &after));
    assert_eq!(after[0].config, CodecConfig::H264 { sps: vec![changed.to_vec()], pps: vec![PPS.to_vec()] });
    // The sets stay in the picture they came with.
    assert_eq!(fragments[1].parts[0].data[4..9], changed);
}

/// A packet that gets past the header checks more often than chance would have it.
fn packet() -> impl Strategy<Value = (usize, Vec<u8>, u64)> {
    let payload = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        (0_u8..32, any::<u8>(), proptest::collection::vec(any::<u8>(), 0..20)).prop_map(|(kind, second, rest)| [
            &[0x60 | kind, second][..],
            &rest
        ]
        .concat()),
        Just(IDR.to_vec()),
        Just(SECOND_SLICE.to_vec()),
        Just([&[0x7c, 0x87][..], &SPS[1..], &[0, 0, 0, 1], PPS, &[0, 0, 1], IDR].concat()),
        Just(vec![0x7c, 0x47, 9]),
    ];
    let timestamp = prop_oneof![any::<u32>(), (0_u32..40).prop_map(|n| n * FRAME_TICKS)];
    let sequence = prop_oneof![any::<u16>(), 0_u16..30];
    (0_usize..4, prop_oneof![Just(96_u8), Just(8), Just(97), any::<u8>()], sequence, timestamp, any::<bool>(), payload, 0_u64..3_000_000)
        .prop_map(|(track, payload_type, sequence, timestamp, marker, payload, wait_us)| {
            let mut bytes = Vec::new();
            write_packet(&mut bytes, payload_type & 0x7f, sequence, timestamp, marker, &payload);
            (track, bytes, wait_us)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Whatever comes: nothing panics, and what comes out is well-formed.
    #[test]
    fn fragments_are_well_formed(packets in proptest::collection::vec((packet(), any::<bool>()), 0..120), lead_is_video: bool) {
        let setups = if lead_is_video { vec![video(), sound(), aac()] } else { vec![sound(), aac()] };
        let count = setups.len();
        let config = AssemblerConfig { fragment_ms: 1000, first_sequence: 0 };
        let mut assembler = Assembler::new(config, setups, BufferPool::new(4));
        let mut mono_us = 0;
        let mut fragments = Vec::new();
        for ((track, bytes, wait_us), in_order) in packets {
            mono_us += if in_order { 10_000 } else { wait_us };
            assembler.rtp(track, &bytes, now(mono_us));
            assembler.rtcp(track, &bytes, now(mono_us));
            assembler.receiver_report(track, now(mono_us), &mut Vec::new());
            fragments.extend(std::iter::from_fn(|| assembler.next_fragment()));
        }
        assembler.flush(now(mono_us));
        fragments.extend(std::iter::from_fn(|| assembler.next_fragment()));
        let mut ends = vec![i64::MIN; count];
        let mut last_utc_ms = i64::MIN;
        for (sequence, fragment) in fragments.iter().enumerate() {
            prop_assert_eq!(fragment.sequence, sequence as u64);
            prop_assert!(!fragment.parts.is_empty());
            prop_assert!(fragment.start_utc_ms >= last_utc_ms);
            last_utc_ms = fragment.start_utc_ms;
            if sequence == 0 {
                prop_assert!(fragment.random_access);
                prop_assert_eq!(fragment.discontinuity, Some(Discontinuity::RunStart));
            }
            prop_assert!(fragment.discontinuity.is_none() || fragment.random_access);
            for part in &fragment.parts {
                prop_assert_eq!(part.samples.iter().map(|sample| sample.size as usize).sum::<usize>(), part.data.len());
                prop_assert!(part.samples.iter().all(|sample| sample.size > 0 && sample.duration_ticks > 0));
                prop_assert!(part.start_ticks >= ends[part.track]);
                ends[part.track] = part.start_ticks + part.duration_ticks() as i64;
                if lead_is_video && part.track == 0 {
                    prop_assert!(nal_lengths_add_up(&part.data));
                }
            }
        }
        let counters = assembler.counters();
        let kept: usize = fragments.iter().flat_map(|fragment| &fragment.parts).map(|part| part.data.len()).sum();
        prop_assert_eq!(kept as u64, counters.video_bytes + counters.audio_bytes);
    }
}

fn nal_lengths_add_up(mut data: &[u8]) -> bool {
    while let Some((length, rest)) = data.split_first_chunk::<4>() {
        let Some(rest) = rest.get(u32::from_be_bytes(*length) as usize..) else { return false };
        data = rest;
    }
    data.is_empty()
}

/// Not a benchmark, which others are for: catches a cost per packet that is off by an order of magnitude.
#[test]
fn a_packet_costs_well_under_a_microsecond() {
    // 4 Mbit/s: 25 pictures a second of 14 pieces each.
    const SECONDS: u32 = 120;
    let mut bench = Bench::new(vec![video()]);
    let piece = vec![0x55; 1400];
    let mut payload = Vec::new();
    let started = Instant::now();
    for n in 0..25 * SECONDS {
        let kind = if n.is_multiple_of(50) { 5 } else { 1 };
        for part in 0..14 {
            payload.clear();
            payload.extend([0x7c, kind | if part == 0 { 0x80 } else { 0 } | if part == 13 { 0x40 } else { 0 }]);
            payload.extend_from_slice(&piece);
            // first_mb_in_slice 0
            payload[2] = 0x88;
            bench.send(0, n * FRAME_TICKS, part == 13, &payload, u64::from(n) * FRAME_US);
        }
        bench.fragments.clear();
    }
    let per_packet = started.elapsed() / (25 * SECONDS * 14);
    assert_eq!(bench.assembler.counters().video_units, 25 * u64::from(SECONDS));
    println!("{} ns a packet", per_packet.as_nanos());
    assert!(per_packet.as_nanos() < 20_000, "{per_packet:?}");
}
