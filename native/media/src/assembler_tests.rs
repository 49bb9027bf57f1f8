use super::*;
use crate::fragment::{Discontinuity, Fragment};
use proptest::prelude::*;

const SPS: &[u8] = &[0x67, 66, 0, 30, 0x80];
const OTHER_SPS: &[u8] = &[0x67, 77, 0, 30, 0x80];
const PPS: &[u8] = &[0x68, 0x80];
const IDR: &[u8] = &[0x65, 0x88, 1, 2];
const P: &[u8] = &[0x41, 0x9a, 3];
const FRAME_TICKS: u32 = 3600;
const FRAME_US: u64 = 40_000;
/// Where the camera's clocks begin; any value.
const VIDEO_EPOCH: u32 = 4_000_000_000;
const SOUND_EPOCH: u32 = 77;
/// UTC of monotonic 0.
const UTC_MS: i64 = 1_700_000_000_000;

fn video(sps: &[&[u8]]) -> TrackSetup {
    let sps = sps.iter().map(|set| set.to_vec()).collect::<Vec<_>>();
    let pps = if sps.is_empty() { vec![] } else { vec![PPS.to_vec()] };
    let track = Track { codec: Codec::H264, clock_rate: 90_000, channels: 0, config: CodecConfig::H264 { sps, pps } };
    TrackSetup { track, payload_type: 96, ssrc: None, aac: None }
}

fn sound() -> TrackSetup {
    let track = Track { codec: Codec::Pcma, clock_rate: 8000, channels: 1, config: CodecConfig::Pcm };
    TrackSetup { track, payload_type: 8, ssrc: None, aac: None }
}

fn now(mono_us: u64) -> Now {
    Now { mono_us, utc_ms: UTC_MS + (mono_us / 1000) as i64 }
}

/// A camera that numbers and stamps for itself.
struct Camera {
    assembler: Assembler,
    sequences: [u16; 2],
    fragments: Vec<Fragment>,
}

impl Camera {
    fn new(setups: Vec<TrackSetup>) -> Self {
        let config = AssemblerConfig { fragment_ms: 1000, first_sequence: 5 };
        let pool = BufferPool::new(8);
        Self { assembler: Assembler::new(config, setups, pool), sequences: [65_530, 9], fragments: vec![] }
    }

    fn packet(&mut self, track: usize, timestamp: u32, marker: bool, payload: &[u8], at: Now) {
        let (kind, ssrc) = if track == 0 { (96, 1_u32) } else { (8, 2) };
        let mut bytes = vec![0x80, kind | if marker { 0x80 } else { 0 }];
        bytes.extend(self.sequences[track].to_be_bytes());
        bytes.extend(timestamp.to_be_bytes());
        bytes.extend(ssrc.to_be_bytes());
        bytes.extend(payload);
        self.sequences[track] = self.sequences[track].wrapping_add(1);
        self.assembler.rtp(track, &bytes, at);
        self.fragments.extend(std::iter::from_fn(|| self.assembler.next_fragment()));
    }

    /// A picture shown as number `shown`, arriving as number `n`.
    fn picture(&mut self, n: u64, shown: i64, slice: &[u8]) {
        let timestamp = VIDEO_EPOCH.wrapping_add((shown * i64::from(FRAME_TICKS)) as u32);
        self.packet(0, timestamp, true, slice, now(n * FRAME_US));
    }

    /// `count` pictures in order, a random access point each `group`.
    fn pictures(&mut self, from: u64, count: u64, group: u64) {
        for n in from..from + count {
            self.picture(n, n as i64, if n % group == 0 { IDR } else { P });
        }
    }

    /// 40 ms of sound, numbered like pictures.
    fn sound(&mut self, n: u64) {
        let timestamp = SOUND_EPOCH + n as u32 * 320;
        self.packet(1, timestamp, false, &[n as u8; 320], now(n * FRAME_US));
    }

    fn sender_report(&mut self, track: usize, ssrc: u32, ntp_us: u64, rtp: u32) {
        let mut bytes = vec![0x80, 200, 0, 6];
        bytes.extend(ssrc.to_be_bytes());
        bytes.extend(((ntp_us / 1_000_000) as u32).to_be_bytes());
        bytes.extend((((ntp_us % 1_000_000) << 32) / 1_000_000).to_be_bytes()[4..].iter());
        bytes.extend(rtp.to_be_bytes());
        bytes.extend([0; 8]);
        self.assembler.rtcp(track, &bytes, now(0));
    }

    fn end(mut self) -> (Vec<Fragment>, Counters) {
        self.assembler.flush(now(0));
        self.fragments.extend(std::iter::from_fn(|| self.assembler.next_fragment()));
        (self.fragments, *self.assembler.counters())
    }
}

/// Presentation times of a fragment's video, in frames.
fn shown(fragment: &Fragment) -> Vec<i64> {
    let part = &fragment.parts[0];
    let mut decode = part.start_ticks;
    part.samples
        .iter()
        .map(|sample| {
            let at = decode + i64::from(sample.composition_offset_ticks);
            decode += i64::from(sample.duration_ticks);
            at / i64::from(FRAME_TICKS)
        })
        .collect()
}

#[test]
fn fragments_of_a_second_that_begin_at_every_random_access_point() {
    let mut camera = Camera::new(vec![video(&[SPS])]);
    camera.pictures(0, 100, 30);
    let (fragments, counters) = camera.end();
    let lengths: Vec<usize> = fragments.iter().map(|fragment| fragment.parts[0].samples.len()).collect();
    assert_eq!(lengths, [25, 5, 25, 5, 25, 5, 10]);
    assert_eq!(fragments.iter().map(|fragment| fragment.sequence).collect::<Vec<_>>(), (5..12).collect::<Vec<_>>());
    assert_eq!(fragments.iter().map(|fragment| fragment.random_access).collect::<Vec<_>>(), [true, false, true, false, true, false, true]);
    assert_eq!(fragments[0].discontinuity, Some(Discontinuity::RunStart));
    assert!(fragments[1..].iter().all(|fragment| fragment.discontinuity.is_none()));
    assert_eq!(fragments.iter().flat_map(shown).collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
    assert_eq!((counters.video_units, counters.random_access_units, counters.discarded_units), (100, 4, 0));
    assert_eq!(counters.last_gop_ticks, 30 * u64::from(FRAME_TICKS));
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
    camera.pictures(0, 10, 50);
    // A change that comes with no random access point waits for one.
    camera.packet(0, VIDEO_EPOCH.wrapping_add(10 * FRAME_TICKS), false, OTHER_SPS, now(10 * FRAME_US));
    camera.picture(10, 10, P);
    camera.picture(11, 11, IDR);
    camera.picture(12, 12, P);
    let (fragments, _) = camera.end();
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
    assert_eq!(fragments.iter().flat_map(shown).collect::<Vec<_>>(), (0..10).chain(11..21).collect::<Vec<_>>());
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
        assert_eq!(fragments.iter().flat_map(shown).collect::<Vec<_>>(), (0..40).collect::<Vec<_>>());
        assert_eq!((counters.time_jumps, counters.outliers), (1, 2));
        let said: Vec<_> = fragments.iter().filter_map(|fragment| fragment.discontinuity).collect();
        assert_eq!(said, [Discontinuity::RunStart, Discontinuity::TimeJump]);
    }
}

#[test]
fn a_source_that_starts_anew_goes_on_without_a_hole() {
    let mut camera = Camera::new(vec![video(&[SPS])]);
    camera.pictures(0, 10, 50);
    for n in 0..10_u16 {
        let mut bytes = vec![0x80, 0xe0];
        bytes.extend((40_000 + n).to_be_bytes());
        bytes.extend((123 + u32::from(n) * FRAME_TICKS).to_be_bytes());
        bytes.extend(99_u32.to_be_bytes());
        bytes.extend(if n == 0 { IDR } else { P });
        camera.assembler.rtp(0, &bytes, now((10 + u64::from(n)) * FRAME_US));
    }
    let (fragments, counters) = camera.end();
    assert_eq!(fragments.iter().flat_map(shown).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
    assert_eq!(fragments[1].discontinuity, Some(Discontinuity::TimeJump));
    assert_eq!((counters.time_jumps, counters.lost_packets), (1, 0));
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
    assert_eq!(late[9], 295);
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
fn steady_state_takes_its_buffers_from_the_pool() {
    let pool = BufferPool::new(8);
    let config = AssemblerConfig { fragment_ms: 1000, first_sequence: 0 };
    let mut camera = Camera::new(vec![]);
    camera.assembler = Assembler::new(config, vec![video(&[SPS])], Arc::clone(&pool));
    camera.pictures(0, 200, 25);
    camera.fragments.clear();
    let buffer = pool.take();
    assert!(buffer.capacity() >= IDR.len() + 4);
    camera.pictures(200, 200, 25);
    assert_eq!(camera.fragments.len(), 8);
}

proptest! {
    #[test]
    fn any_packets_are_survived(
        packets in proptest::collection::vec((0_usize..3, any::<bool>(), proptest::collection::vec(any::<u8>(), 0..60)), 0..200)
    ) {
        let mut camera = Camera::new(vec![video(&[SPS]), sound()]);
        for (n, (track, report, bytes)) in packets.into_iter().enumerate() {
            let at = now(n as u64 * 10_000);
            if report { camera.assembler.rtcp(track, &bytes, at) } else { camera.assembler.rtp(track, &bytes, at) }
        }
        camera.end();
    }

    /// Well-formed packets with any payload, order and time get deeper than noise does.
    #[test]
    fn any_payloads_are_survived(
        packets in proptest::collection::vec(
            (any::<bool>(), any::<u32>(), any::<bool>(), 0_u16..4, 0_u64..10_000_000, proptest::collection::vec(any::<u8>(), 0..40)), 0..200)
    ) {
        let mut camera = Camera::new(vec![video(&[SPS]), sound()]);
        for (sound, timestamp, marker, skip, mono_us, payload) in packets {
            let track = usize::from(sound);
            camera.sequences[track] = camera.sequences[track].wrapping_add(skip).wrapping_sub(1);
            camera.packet(track, timestamp, marker, &payload, now(mono_us));
        }
        let (fragments, _) = camera.end();
        for fragment in &fragments {
            for part in &fragment.parts {
                prop_assert_eq!(part.samples.iter().map(|sample| sample.size as usize).sum::<usize>(), part.data.len());
            }
        }
    }
}
