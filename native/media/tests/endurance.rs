//! The assembler over long runs, and against cameras that send anything.

mod camera;

use camera::{Camera, FRAME_TICKS, FRAME_US, IDR, P, PPS, SECOND_SLICE, SPS, UTC_MS, aac, all_shown, now, sound, video, write_packet};
use easyrms_media::assembler::{Assembler, AssemblerConfig};
use easyrms_media::fragment::{BufferPool, Discontinuity};
use proptest::prelude::*;

#[test]
fn fourteen_hours_pass_the_wraps_without_a_hole() {
    let mut camera = Camera::new(vec![video(&[SPS]), sound()]);
    // 90 kHz wrap after 13.25 hours.
    let count = 25 * 14 * 3600_u64;
    let mut end_ticks = [0_i64; 2];
    let mut seen = 0;
    for n in 0..count {
        camera.picture(n, n as i64, if n % 50 == 0 { IDR } else { P });
        camera.sound(n);
        for fragment in camera.fragments.drain(..) {
            let elapsed_ms = (fragment.start_us / 1000) + UTC_MS;
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
    let (rest, counters) = camera.end_at(count * FRAME_US);
    assert_eq!(seen + all_shown(&rest).len(), count as usize);
    assert_eq!((counters.lost_packets, counters.duplicate_packets, counters.time_jumps, counters.outliers), (0, 0, 0, 0));
    assert_eq!(counters.last_gop_ticks, 50 * u64::from(FRAME_TICKS));
}

proptest! {
    /// Bytes that are nothing at all.
    #[test]
    fn noise_is_survived(
        packets in proptest::collection::vec((0_usize..3, any::<bool>(), proptest::collection::vec(any::<u8>(), 0..60)), 0..200)
    ) {
        let mut camera = Camera::new(vec![video(&[SPS]), sound()]);
        for (n, (track, report, bytes)) in packets.into_iter().enumerate() {
            let at = now(n as u64 * 10_000);
            if report { camera.assembler.rtcp(track, &bytes, at) } else { camera.assembler.rtp(track, &bytes, at) }
        }
        camera.end();
    }
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
            write_packet(&mut bytes, payload_type & 0x7f, sequence, timestamp, u32::from(payload_type & 1), marker, &payload);
            (track, bytes, wait_us)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Whatever comes: nothing panics, and what comes out is well-formed.
    #[test]
    fn fragments_are_well_formed(packets in proptest::collection::vec((packet(), any::<bool>()), 0..120), lead_is_video: bool) {
        let setups = if lead_is_video { vec![video(&[SPS]), sound(), aac()] } else { vec![sound(), aac()] };
        let count = setups.len();
        let config = AssemblerConfig { fragment_ms: 1000, first_sequence: 0 };
        let mut assembler = Assembler::new(config, setups, BufferPool::new(4, 1 << 20));
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
