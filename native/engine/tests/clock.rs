//! A wall clock that is moved. Of the whole process: alone in this one.

#![allow(clippy::unwrap_used)]

mod support;

use easyrms_engine::{SegmentTicket, clock, files, format_uuid};
use easyrms_media::identity::{ClockTrust, StreamKind};
use support::Bench;
use support::camera::{Act, Camera, GOP};

const HOUR_US: i64 = 3_600_000_000;

#[test]
fn each_stream_begins_another_run_at_its_next_random_access_point() {
    let host = clock::host();
    let offset_us = host.utc_us - i64::try_from(host.mono_us).unwrap();
    let before = clock::now();
    assert!((before.utc_ms - host.utc_us / 1000).abs() < 60_000, "until it is set it is the host's");
    clock::set(offset_us - 7 * HOUR_US, false);
    assert_eq!(clock::now().steps, before.steps, "drift is no step");

    let camera = Camera::start(vec![vec![Act::Frames(40 * GOP), Act::Hold]]);
    let bench = Bench::new();
    bench.ticket(0, 600_000);
    let connection = bench.play(camera.port);
    let opened = bench.wait_kind("segmentOpened");
    bench.ticket(1, 600_000);

    clock::set(offset_us, true);
    bench.wait_kind("clockStepped");
    let ended = bench.wait_kind("segmentEnded");
    assert_eq!((&ended["reason"], &ended["sequence"]), (&"clock-step".into(), &0.into()));
    let run = *b"another run here";
    let path = bench.path("camera/20260102/0.mp4.open");
    let ticket = SegmentTicket {
        root: bench.root,
        path: path.clone(),
        serial: "RMS0000001".to_owned(),
        channel: 1,
        stream: StreamKind::Main,
        run,
        sequence: 0,
        zone: "UTC".to_owned(),
        clock: ClockTrust::Trusted,
        max_duration_ms: 600_000,
        cut_at_utc_ms: Vec::new(),
        preallocate_bytes: 1 << 20,
    };
    bench.engine.ticket(bench.stream, ticket).unwrap();
    let next = bench.wait_kind("segmentOpened");
    assert_eq!(next["run"], format_uuid(run), "the ticket of the run before is void");
    let utc_ms = |fact: &serde_json::Value, field: &str| fact[field].as_i64().unwrap();
    let moved_ms = utc_ms(&next, "startUtcMs") - utc_ms(&opened, "startUtcMs");
    assert!((7 * HOUR_US / 1000..8 * HOUR_US / 1000).contains(&moved_ms), "moved by {moved_ms} ms");
    assert!(utc_ms(&ended, "endUtcMs") < utc_ms(&opened, "startUtcMs") + HOUR_US / 1000, "the old run ends by the old clock");

    bench.engine.disconnect(connection, None).unwrap();
    bench.wait_kind("segmentEnded");
    bench.engine.stop().join();
    let first = files::read_segment(&path).unwrap();
    assert_eq!(first.head.identity.start_utc_ms, utc_ms(&next, "startUtcMs"));
    assert!(first.head.identity.start_mono_ms < u64::MAX / 2);
}
