//! How packets become fragments: cuts, times, loss, changes of configuration.

mod camera;

use std::sync::Arc;

use camera::{
    Camera, FIRST_SEQUENCE, FRAME_TICKS, FRAME_US, IDR, OTHER_SPS, P, PPS, SECOND_SLICE, SOUND_EPOCH, SPS, UTC_MS, VIDEO_EPOCH, all_shown,
    now, shown, sound, video, write_packet,
};
use easyrms_media::assembler::Now;
use easyrms_media::fragment::Discontinuity;
use easyrms_media::track::CodecConfig;

#[test]
fn fragments_end_with_every_second_of_wall_time_and_begin_at_every_random_access_point() {
    let mut camera = Camera::new(vec![video(&[SPS])]);
    camera.pictures(0, 100, 30);
    let (fragments, counters) = camera.end();
    let lengths: Vec<usize> = fragments.iter().map(|fragment| fragment.parts[0].samples.len()).collect();
    assert_eq!(lengths, [25, 5, 20, 10, 15, 15, 10]);
    assert_eq!(
        fragments.iter().map(|fragment| fragment.sequence).collect::<Vec<_>>(),
        (FIRST_SEQUENCE..FIRST_SEQUENCE + 7).collect::<Vec<_>>()
    );
    assert_eq!(fragments.iter().map(|fragment| fragment.random_access).collect::<Vec<_>>(), [true, false, true, false, true, false, true]);
    assert_eq!(fragments[0].discontinuity, Some(Discontinuity::RunStart));
    assert!(fragments[1..].iter().all(|fragment| fragment.discontinuity.is_none()));
    assert_eq!(all_shown(&fragments), (0..100).collect::<Vec<_>>());
    assert_eq!((counters.video_units, counters.random_access_units, counters.discarded_units), (100, 4, 0));
    assert_eq!(counters.last_gop_ticks, 30 * u64::from(FRAME_TICKS));
}

#[test]
fn fragments_of_streams_that_began_at_different_times_end_together() {
    let ends = |began: u64, group: u64| {
        let mut camera = Camera::new(vec![video(&[SPS])]);
        for n in began..began + 200 {
            camera.picture(n, (n - began) as i64, if (n - began).is_multiple_of(group) { IDR } else { P });
        }
        let (fragments, _) = camera.end();
        // By UTC, also where the run begins in the middle of a second; between the seconds only random access points cut.
        assert_eq!(fragments[0].start_utc_ms, UTC_MS + began as i64 * 40);
        assert!(fragments.iter().all(|fragment| fragment.duration_us <= 1_000_000));
        // The first one has a second of its own.
        assert_eq!(fragments[0].duration_us, 1_000_000);
        let ends = fragments[1..].iter().map(|fragment| fragment.start_utc_ms + fragment.duration_us / 1000).collect::<Vec<_>>();
        let points = (0..200).step_by(group as usize).map(|n| UTC_MS + (began as i64 + n) * 40).collect::<Vec<_>>();
        ends.into_iter().filter(|end| !points.contains(end)).collect::<Vec<_>>()
    };
    let seconds = (2..=7).map(|second| UTC_MS + second * 1000).collect::<Vec<_>>();
    assert_eq!(ends(0, 210)[..6], seconds);
    assert_eq!(ends(7, 210)[..6], seconds);
    assert_eq!(ends(19, 60)[..6], seconds);
}

#[test]
fn a_second_that_ends_before_reordering_is_known_cuts_nothing() {
    let mut camera = Camera::new(vec![video(&[SPS])]);
    // Decoded before the two that are shown before it; the second picture comes in another second than the first.
    let shown = std::iter::once(0).chain((0..20).flat_map(|group| [3, 1, 2].map(|at| group * 3 + at)));
    for (n, shown) in shown.enumerate() {
        camera.picture(24 + n as u64, shown, if n == 0 { IDR } else { P });
    }
    let (fragments, _) = camera.end();
    assert!(fragments[0].parts[0].samples.len() > 20, "{}", fragments[0].parts[0].samples.len());
    for pair in fragments.windows(2) {
        assert_eq!(pair[1].start_us, pair[0].start_us + pair[0].duration_us);
    }
}

#[test]
fn fragments_follow_each_other_without_a_hole() {
    let mut camera = Camera::new(vec![video(&[SPS])]);
    camera.pictures(0, 100, 50);
    let (fragments, _) = camera.end();
    for pair in fragments.windows(2) {
        assert_eq!(pair[0].start_us + pair[0].duration_us, pair[1].start_us);
        assert_eq!(pair[0].parts[0].start_ticks + pair[0].parts[0].duration_ticks() as i64, pair[1].parts[0].start_ticks);
    }
    assert_eq!(fragments[0].start_utc_ms, UTC_MS);
    assert_eq!(fragments[3].start_utc_ms, UTC_MS + 3000);
}

#[test]
fn what_comes_before_the_first_random_access_point_is_no_loss_but_the_point_itself_is_kept() {
    let mut camera = Camera::new(vec![video(&[SPS]), sound()]);
    for n in 3..100 {
        camera.picture(n, n as i64, if n % 25 == 0 { IDR } else { P });
        camera.sound(n);
    }
    let (fragments, counters) = camera.end();
    assert_eq!(shown(&fragments[0])[0], 0);
    assert_eq!(fragments[0].parts[0].data[4..8], *IDR);
    assert_eq!(counters.discarded_before_start, 22 + 22);
    assert_eq!(counters.video_units, 75);
    assert_eq!(counters.discarded_units, 0);
}

#[test]
fn waits_for_parameter_sets_that_come_in_band() {
    let mut camera = Camera::new(vec![video(&[])]);
    camera.picture(0, 0, IDR);
    camera.picture(1, 1, P);
    let at = VIDEO_EPOCH.wrapping_add(2 * FRAME_TICKS);
    for nal in [SPS, PPS, IDR] {
        camera.packet(0, at, nal == IDR, nal, now(2 * FRAME_US));
    }
    camera.picture(3, 3, P);
    let (fragments, counters) = camera.end();
    assert_eq!(fragments.len(), 1);
    assert_eq!(fragments[0].parts[0].samples.len(), 2);
    assert_eq!(fragments[0].tracks[0].config, CodecConfig::H264 { sps: vec![SPS.to_vec()], pps: vec![PPS.to_vec()] });
    assert_eq!(fragments[0].discontinuity, Some(Discontinuity::RunStart));
    assert_eq!(counters.discarded_before_start, 2);
}

#[test]
fn a_change_of_parameter_sets_ends_the_fragment_and_is_said() {
    let mut camera = Camera::new(vec![video(&[SPS])]);
    let before = camera.assembler.tracks();
    camera.pictures(0, 10, 50);
    // A change that comes with no random access point waits for one.
    camera.packet(0, VIDEO_EPOCH.wrapping_add(10 * FRAME_TICKS), false, OTHER_SPS, now(10 * FRAME_US));
    camera.picture(10, 10, P);
    camera.picture(11, 11, IDR);
    camera.picture(12, 12, P);
    let after = camera.assembler.tracks();
    let (fragments, _) = camera.end();
    assert!(Arc::ptr_eq(&fragments[0].tracks, &before) && Arc::ptr_eq(&fragments[1].tracks, &after));
    assert_eq!(fragments.iter().map(|fragment| fragment.parts[0].samples.len()).collect::<Vec<_>>(), [11, 2]);
    assert_eq!(fragments[0].tracks[0].config, CodecConfig::H264 { sps: vec![SPS.to_vec()], pps: vec![PPS.to_vec()] });
    assert_eq!(fragments[1].tracks[0].config, CodecConfig::H264 { sps: vec![OTHER_SPS.to_vec()], pps: vec![PPS.to_vec()] });
    assert_eq!(fragments[1].discontinuity, Some(Discontinuity::ParameterChange));
    assert!(fragments[1].random_access);
}

#[test]
fn repeated_parameter_sets_change_nothing() {
    let mut camera = Camera::new(vec![video(&[SPS])]);
    for n in 0..60_u32 {
        let at = VIDEO_EPOCH.wrapping_add(n * FRAME_TICKS);
        if n % 20 == 0 {
            camera.packet(0, at, false, SPS, now(u64::from(n) * FRAME_US));
            camera.packet(0, at, false, PPS, now(u64::from(n) * FRAME_US));
        }
        camera.packet(0, at, true, if n % 20 == 0 { IDR } else { P }, now(u64::from(n) * FRAME_US));
    }
    let (fragments, _) = camera.end();
    assert!(fragments[1..].iter().all(|fragment| fragment.discontinuity.is_none()));
}

#[test]
fn sets_that_the_pictures_do_not_use_are_left_out() {
    // The SDP has SPS 0; in band the camera uses SPS 1, and PPS 0 is of that.
    let sps_in_use: &[u8] = &[0x67, 66, 0, 30, 0x40];
    let pps_in_use: &[u8] = &[0x68, 0b1010_0000];
    let mut camera = Camera::new(vec![video(&[SPS])]);
    for nal in [sps_in_use, pps_in_use, IDR] {
        camera.packet(0, VIDEO_EPOCH, nal == IDR, nal, now(0));
    }
    camera.pictures(1, 3, 50);
    // And back, without the sets being sent again: both are known.
    camera.packet(0, VIDEO_EPOCH.wrapping_add(4 * FRAME_TICKS), false, &[0x68, 0b0101_0000], now(4 * FRAME_US));
    camera.packet(0, VIDEO_EPOCH.wrapping_add(4 * FRAME_TICKS), true, &[0x65, 0x88, 0b0100_0000], now(4 * FRAME_US));
    let (fragments, _) = camera.end();
    let config = |sps: &[u8], pps: &[u8]| CodecConfig::H264 { sps: vec![sps.to_vec()], pps: vec![pps.to_vec()] };
    assert_eq!(fragments[0].tracks[0].config, config(sps_in_use, pps_in_use));
    assert_eq!(fragments[0].discontinuity, Some(Discontinuity::RunStart));
    assert_eq!(fragments[1].tracks[0].config, config(SPS, &[0x68, 0b0101_0000]));
    assert_eq!(fragments[1].discontinuity, Some(Discontinuity::ParameterChange));
}

#[test]
fn an_sdp_with_sets_twice_or_in_disorder_is_no_change_of_them() {
    let mut setup = video(&[OTHER_SPS, SPS]);
    setup.track.config = CodecConfig::H264 { sps: vec![vec![0x67], OTHER_SPS.to_vec(), SPS.to_vec()], pps: vec![PPS.to_vec()] };
    let mut camera = Camera::new(vec![setup]);
    camera.pictures(0, 10, 5);
    let (fragments, _) = camera.end();
    assert_eq!(fragments[0].tracks[0].config, CodecConfig::H264 { sps: vec![SPS.to_vec()], pps: vec![PPS.to_vec()] });
    assert!(fragments[1..].iter().all(|fragment| fragment.discontinuity.is_none()));
}

#[test]
fn reordered_pictures_keep_their_times_and_decode_in_order() {
    let mut camera = Camera::new(vec![video(&[SPS])]);
    let order = (0..4_i64).flat_map(|group| {
        std::iter::once((group * 25, IDR)).chain((0..8).flat_map(move |mini| {
            let base = group * 25 + mini * 3;
            [(base + 3, P), (base + 1, P), (base + 2, P)]
        }))
    });
    for (n, (at, slice)) in order.enumerate() {
        camera.picture(n as u64, at, slice);
    }
    let (fragments, _) = camera.end();
    let mut times: Vec<i64> = fragments.iter().flat_map(shown).collect();
    times.sort_unstable();
    assert_eq!(times, (0..100).collect::<Vec<_>>());
    for pair in fragments.windows(2) {
        assert!(pair[1].parts[0].start_ticks >= pair[0].parts[0].start_ticks + pair[0].parts[0].duration_ticks() as i64);
    }
}

#[test]
fn a_lost_packet_costs_its_picture_alone() {
    let mut camera = Camera::new(vec![video(&[SPS])]);
    camera.pictures(0, 10, 50);
    camera.sequences[0] = camera.sequences[0].wrapping_add(1);
    camera.pictures(11, 10, 50);
    let (fragments, counters) = camera.end();
    assert_eq!(all_shown(&fragments), (0..10).chain(11..21).collect::<Vec<_>>());
    assert_eq!(counters.lost_packets, 1);
    assert_eq!(fragments[0].lost_packets, 1);
    assert_eq!(fragments[0].parts[0].samples[9].duration_ticks, 2 * FRAME_TICKS);
}

#[test]
fn repeated_packets_are_dropped_and_strangers_ignored() {
    let mut camera = Camera::new(vec![video(&[SPS])]);
    camera.picture(0, 0, IDR);
    camera.sequences[0] = camera.sequences[0].wrapping_sub(1);
    camera.picture(1, 0, IDR);
    camera.assembler.rtp(0, &[0x80, 50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1], now(0));
    camera.assembler.rtp(0, &[1, 2, 3], now(0));
    camera.assembler.rtp(9, &[0x80; 20], now(0));
    let (_, counters) = camera.end();
    assert_eq!((counters.video_units, counters.duplicate_packets, counters.ignored_packets, counters.malformed_packets), (1, 1, 1, 2));
}

#[test]
fn a_jump_of_the_cameras_clock_is_joined_and_said() {
    for hours in [3_i64, -3] {
        let mut camera = Camera::new(vec![video(&[SPS])]);
        camera.pictures(0, 10, 50);
        for n in 10..40_u64 {
            camera.picture(n, n as i64 + hours * 3600 * 25, if n == 20 { IDR } else { P });
        }
        let (fragments, counters) = camera.end();
        assert_eq!(all_shown(&fragments), (0..40).collect::<Vec<_>>());
        assert_eq!((counters.time_jumps, counters.outliers), (1, 2));
        let said: Vec<_> = fragments.iter().filter_map(|fragment| fragment.discontinuity).collect();
        assert_eq!(said, [Discontinuity::RunStart, Discontinuity::TimeJump]);
    }
}

#[test]
fn what_was_held_back_at_once_is_no_jump_even_if_some_of_it_is_missing() {
    let mut camera = Camera::new(vec![video(&[SPS])]);
    camera.pictures(0, 100, 50);
    // Nothing gets through for 20 s; then comes all that the camera kept: 3 s, and what it has made since it dropped 15 s.
    let after_us = 600 * FRAME_US;
    for n in (100..175).chain(550..600) {
        camera.picture_at(n, if n % 50 == 0 { IDR } else { P }, after_us);
    }
    camera.pictures(600, 50, 50);
    let (fragments, counters) = camera.end();
    assert_eq!((counters.time_jumps, counters.outliers), (0, 0));
    assert_eq!(all_shown(&fragments), (0..175).chain(550..650).collect::<Vec<_>>());
}

#[test]
fn a_source_that_starts_anew_goes_on_without_a_hole() {
    for (ssrc, sequence) in [(99, 65_535), (99, 40_000), (1, 40_000)] {
        let mut camera = Camera::new(vec![video(&[SPS])]);
        camera.pictures(0, 10, 50);
        (camera.ssrcs[0], camera.sequences[0]) = (ssrc, sequence);
        for n in 10..20_u32 {
            let timestamp = if ssrc == 1 { VIDEO_EPOCH } else { 123 }.wrapping_add(n * FRAME_TICKS);
            camera.packet(0, timestamp, true, if n == 10 { IDR } else { P }, now(u64::from(n) * FRAME_US));
        }
        let (fragments, counters) = camera.end();
        assert_eq!(all_shown(&fragments), (0..20).collect::<Vec<_>>(), "the first packet too, though only the second proves the source");
        let jumps = u64::from(ssrc != 1);
        assert_eq!(fragments[1].discontinuity, (jumps > 0).then_some(Discontinuity::TimeJump));
        assert_eq!((counters.time_jumps, counters.lost_packets, counters.ignored_packets), (jumps, 0, 0));
    }
}

#[test]
fn single_packets_of_a_stranger_change_nothing() {
    let mut camera = Camera::new(vec![video(&[SPS])]);
    let mut stranger = Vec::new();
    for n in 0..20 {
        camera.pictures(n, 1, 50);
        // Of another source, or of the same with a number out of nowhere; each follows the one before.
        write_packet(&mut stranger, 96, 40_000 + n as u16, 77, if n % 4 < 2 { 99 } else { 1 }, true, IDR);
        camera.assembler.rtp(0, &stranger, now(n * FRAME_US));
    }
    let (fragments, counters) = camera.end();
    assert_eq!(all_shown(&fragments), (0..20).collect::<Vec<_>>());
    assert_eq!(
        (counters.time_jumps, counters.outliers, counters.discarded_units, counters.ignored_packets),
        (0, 0, 0, 19),
        "the newest may still count"
    );
    assert_eq!(fragments.len(), 1);
}

#[test]
fn the_announced_source_is_known_from_its_first_packet_and_another_from_its_second() {
    for (announced, taken) in [(1, 1), (7, 1), (99, 99)] {
        let mut setup = video(&[SPS]);
        setup.ssrc = Some(announced);
        let mut camera = Camera::new(vec![setup]);
        if taken == announced {
            // What is left of the session before.
            camera.ssrcs[0] = 1234;
            camera.packet(0, 55, true, IDR, now(0));
        }
        camera.ssrcs[0] = taken;
        camera.pictures(0, 10, 50);
        let (fragments, counters) = camera.end();
        assert_eq!(all_shown(&fragments), (0..10).collect::<Vec<_>>());
        assert_eq!((counters.time_jumps, counters.lost_packets), (0, 0));
    }
}

#[test]
fn another_source_of_sound_is_no_break_in_the_picture() {
    let mut camera = Camera::new(vec![video(&[SPS]), sound()]);
    for n in 0..100 {
        camera.pictures(n, 1, 50);
        if n == 30 {
            camera.ssrcs[1] = 9;
        }
        camera.sound(n);
    }
    let (fragments, counters) = camera.end();
    assert!(fragments[1..].iter().all(|fragment| fragment.discontinuity.is_none()));
    assert_eq!((counters.time_jumps, counters.audio_units), (1, 100));
}

#[test]
fn sound_goes_with_the_pictures_of_its_second() {
    let mut camera = Camera::new(vec![video(&[SPS]), sound()]);
    for n in 0..100 {
        camera.picture(n, n as i64, if n % 50 == 0 { IDR } else { P });
        camera.sound(n);
    }
    let (fragments, counters) = camera.end();
    assert_eq!(fragments.len(), 4);
    for fragment in &fragments {
        assert_eq!(fragment.parts.iter().map(|part| part.track).collect::<Vec<_>>(), [0, 1]);
    }
    let samples: u64 = fragments.iter().map(|fragment| fragment.parts[1].duration_ticks()).sum();
    assert_eq!(samples, 100 * 320);
    assert_eq!(fragments[0].parts[1].start_ticks, 0);
    for pair in fragments.windows(2) {
        let [before, after] = [&pair[0].parts[1], &pair[1].parts[1]];
        assert_eq!(before.start_ticks + before.duration_ticks() as i64, after.start_ticks);
    }
    assert_eq!((counters.audio_units, counters.audio_bytes), (100, 32_000));
}

/// Sound that arrives together with the picture but belongs `late_us` before it, says the camera.
fn tied(late_us: u64, report_first: bool) -> i64 {
    let mut camera = Camera::new(vec![video(&[SPS]), sound()]);
    let ntp_us = 3_900_000_000_000_000;
    let reports = |camera: &mut Camera| {
        camera.sender_report(0, 1, ntp_us, VIDEO_EPOCH);
        camera.sender_report(1, 2, ntp_us - late_us, SOUND_EPOCH);
    };
    if report_first {
        reports(&mut camera);
    }
    for n in 0..60 {
        camera.picture(n, n as i64, if n % 50 == 0 { IDR } else { P });
        camera.sound(n);
        if n == 3 && !report_first {
            reports(&mut camera);
        }
    }
    let (fragments, _) = camera.end();
    fragments[0].parts[1].start_ticks
}

#[test]
fn sender_reports_tie_sound_to_pictures_if_they_are_sane() {
    for report_first in [false, true] {
        assert_eq!(tied(0, report_first), 0);
        assert_eq!(tied(500_000, report_first), -4000);
        assert_eq!(tied(3_000_000, report_first), 0);
    }
}

#[test]
fn sound_alone_makes_fragments_of_a_second_too() {
    let mut setup = sound();
    setup.payload_type = 96;
    let mut camera = Camera::new(vec![setup]);
    for n in 0..60_u32 {
        camera.packet(0, n * 320, false, &[1; 320], now(u64::from(n) * FRAME_US));
    }
    let (fragments, _) = camera.end();
    assert_eq!(fragments.iter().map(|fragment| fragment.parts[0].samples.len()).collect::<Vec<_>>(), [25, 25, 10]);
    assert!(fragments.iter().all(|fragment| fragment.random_access));
}

#[test]
fn wall_time_follows_the_least_delayed_picture_slowly() {
    let mut camera = Camera::new(vec![video(&[SPS])]);
    for n in 0..250_u64 {
        // The first second is delayed by 300 ms, the rest by nothing.
        let delay_us = if n < 25 { 300_000 } else { 0 };
        let timestamp = VIDEO_EPOCH.wrapping_add(n as u32 * FRAME_TICKS);
        camera.packet(0, timestamp, true, if n % 25 == 0 { IDR } else { P }, now(n * FRAME_US + delay_us));
    }
    let (fragments, _) = camera.end();
    assert_eq!(fragments[0].start_utc_ms, UTC_MS + 300);
    let late: Vec<i64> = fragments.iter().map(|fragment| fragment.start_utc_ms - UTC_MS - fragment.start_us / 1000).collect();
    // 9.2 s behind the first fragment, at 500 ppm.
    assert_eq!(late.last(), Some(&295));
    assert!(late.windows(2).all(|pair| (0..=1).contains(&(pair[0] - pair[1]))), "{late:?}");
}

#[test]
fn reports_what_it_received() {
    let mut camera = Camera::new(vec![video(&[SPS]), sound()]);
    camera.pictures(0, 10, 50);
    camera.sender_report(0, 1, 5_000_000, VIDEO_EPOCH);
    let mut out = Vec::new();
    assert!(camera.assembler.receiver_report(0, now(2_000_000), &mut out));
    assert_eq!(out[8..12], 1_u32.to_be_bytes());
    // Ten packets from 65530 on: the cycle count is 1, nothing is lost.
    assert_eq!(out[12..20], [0, 0, 0, 0, 0, 1, 0, 3]);
    assert_eq!(out[24..28], [0, 5, 0, 0]);
    assert_eq!(out[28..32], (2 * 65_536_u32).to_be_bytes());
    assert!(!camera.assembler.receiver_report(1, now(0), &mut out));
}

#[test]
fn slices_behind_a_marker_stay_in_their_picture() {
    let mut camera = Camera::new(vec![video(&[SPS])]);
    for n in 0..3 {
        camera.packet(0, n * FRAME_TICKS, true, if n == 0 { IDR } else { P }, now(u64::from(n) * FRAME_US));
        camera.packet(0, n * FRAME_TICKS, true, SECOND_SLICE, now(u64::from(n) * FRAME_US));
    }
    let counters = camera.counters();
    assert_eq!((counters.video_units, counters.discarded_units), (2, 0), "the third waits for its end");
    assert_eq!(counters.video_bytes, (IDR.len() + P.len() + 2 * SECOND_SLICE.len() + 16) as u64);
    let (fragments, _) = camera.end_at(200_000);
    let sizes: Vec<_> = fragments[0].parts[0].samples.iter().map(|sample| sample.size as usize).collect();
    assert_eq!(sizes, [IDR, P, P].map(|slice| slice.len() + SECOND_SLICE.len() + 8));
    assert_eq!(fragments[0].parts[0].data[4..8], *IDR);
}

#[test]
fn sound_goes_on_while_the_picture_is_silent_and_memory_stays_bounded() {
    let mut camera = Camera::new(vec![video(&[SPS]), sound()]);
    camera.pictures(0, 10, 50);
    // Half a picture is under way, and stays so for a minute.
    let at = VIDEO_EPOCH.wrapping_add(10 * FRAME_TICKS);
    camera.packet(0, at, false, &[0x7c, 0x81, 0x9a, 1], now(400_000));
    for n in 0..3000_u32 {
        camera.packet(1, n * 160, false, &[0xd5; 160], now(u64::from(n) * 20_000));
    }
    assert!(camera.fragments.len() >= 10, "{} fragments", camera.fragments.len());
    let waiting: usize = 3000 * 160
        - camera
            .fragments
            .iter()
            .flat_map(|fragment| &fragment.parts)
            .filter(|part| part.track == 1)
            .map(|part| part.data.len())
            .sum::<usize>();
    assert!(waiting <= 5 * 8000, "{waiting} bytes wait");
    camera.packet(0, at, true, &[0x7c, 0x41, 2, 3], now(60_000_000));
    let (fragments, _) = camera.end_at(60_000_000);
    assert_eq!(fragments[0].discontinuity, Some(Discontinuity::RunStart));
    assert!(fragments[1..].iter().all(|fragment| fragment.discontinuity.is_none() && !fragment.random_access));
    // Though the picture comes with a time long past.
    assert!(fragments.is_sorted_by_key(|fragment| fragment.start_utc_ms));
    // The picture that went on in another buffer is whole.
    let last = fragments.last().unwrap().parts.iter().find(|part| part.track == 0).unwrap();
    assert_eq!(last.data, [0, 0, 0, 5, 0x61, 0x9a, 1, 2, 3]);
}

#[test]
fn wall_time_is_found_again_at_once_behind_a_jump() {
    let mut camera = Camera::new(vec![video(&[SPS])]);
    camera.pictures(0, 50, 50);
    // The camera was gone for ten seconds, and its clock started anew.
    for n in 300..450 {
        camera.picture(n, n as i64 + 100_000, if n % 50 == 0 { IDR } else { P });
    }
    let counters = camera.counters();
    assert_eq!(counters.time_jumps, 1);
    let (fragments, _) = camera.end_at(450 * FRAME_US);
    let jumped = fragments.iter().find(|fragment| fragment.discontinuity == Some(Discontinuity::TimeJump)).unwrap();
    assert!(jumped.random_access);
    let late_ms = UTC_MS + 350 * 40 - jumped.start_utc_ms;
    assert!(late_ms.abs() <= 1, "off by {late_ms} ms");
    for pair in fragments.windows(2) {
        assert!(pair[1].start_utc_ms >= pair[0].start_utc_ms + pair[0].duration_us / 1000 - 1);
    }
}

#[test]
fn a_jump_whose_first_pictures_come_late_leaves_no_hole_in_wall_time() {
    let mut camera = Camera::new(vec![video(&[SPS])]);
    for n in 0..250_u64 {
        let shown = n as i64 * i64::from(FRAME_TICKS) - if n < 100 { 0 } else { 3 * 90_000 };
        let delay_us = if (100..176).contains(&n) { 100_000 } else { 0 };
        let timestamp = VIDEO_EPOCH.wrapping_add(shown as u32);
        camera.packet(0, timestamp, true, if n % 50 == 0 { IDR } else { P }, now(n * FRAME_US + delay_us));
    }
    assert_eq!(camera.counters().time_jumps, 1);
    let (fragments, _) = camera.end();
    for pair in fragments.windows(2) {
        let hole_ms = pair[1].start_utc_ms - pair[0].start_utc_ms - pair[0].duration_us / 1000;
        assert!(hole_ms.abs() <= 1, "{hole_ms} ms between fragments");
    }
}

#[test]
fn a_step_of_the_wall_clock_waits_for_a_random_access_point_and_counts_from_there() {
    const STEPPED: u64 = 60;
    for by_ms in [3_600_000, -3_600_000, 20_000] {
        let mut camera = Camera::new(vec![video(&[SPS])]);
        for n in 0..150_u64 {
            let before = now(n * FRAME_US);
            // Behind the step, pictures are late: the run before has known better.
            let late = if n < STEPPED { before } else { now(n * FRAME_US + 30_000) };
            let moved = Now { utc_ms: late.utc_ms + by_ms, offset_us: late.offset_us + by_ms * 1000, steps: 1, ..late };
            let at = if n < STEPPED { before } else { moved };
            let timestamp = VIDEO_EPOCH.wrapping_add(n as u32 * FRAME_TICKS);
            camera.packet(0, timestamp, true, if n % 50 == 0 { IDR } else { P }, at);
        }
        let (fragments, _) = camera.end();
        let said: Vec<_> = fragments.iter().filter_map(|fragment| fragment.discontinuity).collect();
        assert_eq!(said, [Discontinuity::RunStart, Discontinuity::ClockStep]);
        for fragment in &fragments {
            let old_clock = fragment.start_us < 100 * FRAME_US as i64;
            let expected = UTC_MS + fragment.start_us / 1000 + if old_clock { 0 } else { by_ms };
            let off_ms = fragment.start_utc_ms - expected;
            assert!((0..=2).contains(&off_ms), "fragment at {} us is {off_ms} ms off", fragment.start_us);
        }
        let stepped = fragments.iter().find(|fragment| fragment.discontinuity == Some(Discontinuity::ClockStep)).unwrap();
        assert!(stepped.random_access);
        assert_eq!(all_shown(&fragments), (0..150).collect::<Vec<_>>(), "nothing is lost over it");
    }
}

/// Furthest that wall time of a fragment is from the arrival of its first picture, milliseconds, by when; `ppm`: how much too fast the
/// camera's clock is.
fn wall_errors(ppm: i64, seconds: u64, delay_us: impl Fn(u64) -> u64) -> Vec<(i64, i64)> {
    let mut camera = Camera::new(vec![video(&[SPS])]);
    let ticks = i64::from(FRAME_TICKS);
    for n in 0..seconds * 25 {
        let timestamp = VIDEO_EPOCH.wrapping_add((n as i64 * ticks + n as i64 * ticks * ppm / 1_000_000) as u32);
        camera.packet(0, timestamp, true, if n % 25 == 0 { IDR } else { P }, now(n * FRAME_US + delay_us(n)));
    }
    let (fragments, _) = camera.end();
    assert!(fragments.is_sorted_by_key(|fragment| fragment.start_utc_ms));
    let arrival = |start_us: i64| start_us * 1_000_000 / (1_000_000 + ppm) / 1000;
    fragments.iter().map(|fragment| (arrival(fragment.start_us), fragment.start_utc_ms - UTC_MS - arrival(fragment.start_us))).collect()
}

#[test]
fn a_camera_whose_clock_is_grossly_wrong_is_followed_and_a_quartz_gently() {
    for ppm in [-20_000, -2000, -400, 400, 2000, 20_000] {
        let errors = wall_errors(ppm, 600, |_| 0);
        let worst = errors.iter().map(|(_, error)| error.abs()).max().unwrap();
        assert!(worst <= if ppm.abs() <= 500 { 2 } else { 450 }, "{ppm} ppm: {worst} ms");
        for pair in errors.windows(2) {
            // Never so far back that a picture would be shown before the one that came before it.
            let step_ms = (pair[1].1 - pair[0].1).abs();
            assert!(step_ms <= 30, "{ppm} ppm: {step_ms} ms at once");
        }
    }
}

#[test]
fn an_anchor_that_came_late_is_pulled_in_and_a_stall_of_the_network_is_not_followed() {
    let late = wall_errors(0, 60, |n| if n < 25 { 2_000_000 } else { 0 });
    assert_eq!(late[0].1, 2000);
    assert!(late[5..].iter().all(|(at_ms, error)| *at_ms < 70_000 && *error >= 0));
    assert!(late.last().unwrap().1 <= 1000 && late.is_sorted_by_key(|(_, error)| -error));
    let stall = wall_errors(0, 60, |n| if (250..350).contains(&n) { 1_000_000 } else { 0 });
    assert!(stall.iter().all(|(_, error)| error.abs() <= 3), "{stall:?}");
}

#[test]
fn a_camera_clock_that_is_set_back_by_seconds_costs_no_second_and_says_so() {
    let mut camera = Camera::new(vec![video(&[SPS])]);
    for n in 0..500_u64 {
        let shown = if n < 260 { n as i64 } else { n as i64 - 75 };
        camera.picture(n, shown, if n % 25 == 0 { IDR } else { P });
    }
    let counters = camera.counters();
    assert_eq!((counters.time_jumps, counters.outliers), (1, 2));
    let (fragments, _) = camera.end_at(500 * FRAME_US);
    let samples: Vec<_> = fragments.iter().flat_map(|fragment| &fragment.parts[0].samples).collect();
    assert_eq!(samples.len(), 500);
    assert!(samples.iter().all(|sample| sample.duration_ticks == FRAME_TICKS), "no picture is shorter than the others");
    assert_eq!(fragments.iter().filter(|fragment| fragment.discontinuity == Some(Discontinuity::TimeJump)).count(), 1);
    for fragment in &fragments {
        let off_ms = fragment.start_utc_ms - UTC_MS - fragment.start_us / 1000;
        assert!(off_ms.abs() <= 1, "fragment at {} us is {off_ms} ms off", fragment.start_us);
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 48, ..Default::default() })]

    /// Wall time never turns back, and what a camera's clock and a network do wrong stays within what is pulled in.
    #[test]
    fn wall_time_is_monotonic_and_near_arrival(
        ppm in proptest::prop_oneof![-500_i64..=500, -20_000_i64..=20_000],
        jitter in proptest::collection::vec(0_u64..120_000, 25),
        stall in (50_u64..1500, 1_u64..3_000_000),
    ) {
        // What a stall held back arrives at once behind it; the first picture is on time.
        let (at, held_us) = stall;
        let errors = wall_errors(ppm, 120, |n| {
            let late = if n == 0 { 0 } else { jitter[n as usize % jitter.len()] };
            let released = at * FRAME_US + held_us;
            if (at..).contains(&n) { late.max(released.saturating_sub(n * FRAME_US)) } else { late }
        });
        // An error is gross from 300 ms on, for five fragments, in which the clock goes on running wrong; jitter comes on top.
        let bound = if ppm.abs() <= 500 { 180 } else { 300 + 6 * ppm.abs() / 1000 + 130 };
        for (at_ms, error) in &errors {
            proptest::prop_assert!(error.abs() <= bound, "{} ppm: {} ms off at {} ms", ppm, error, at_ms);
        }
    }
}
