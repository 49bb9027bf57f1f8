//! From a socket to a sealed file, through all threads.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use easyrms_engine::files;
use support::camera::{Act, Camera, GOP};
use support::{Bench, options, pictures};

fn whole(path: &std::path::Path) -> easyrms_media::mp4::Scan {
    let scan = files::scan_segment(path).unwrap();
    assert_eq!(scan.problems, Vec::<String>::new(), "{}", path.display());
    assert!(scan.seal.is_some());
    scan
}

#[test]
fn every_picture_from_the_first_to_the_last_is_in_the_files() {
    let camera = Camera::start(vec![vec![Act::Frames(6 * GOP), Act::Hold]]);
    let bench = Bench::new();
    bench.ticket(0, 4000);
    let connection = bench.play(camera.port);
    let media = bench.wait_kind("media");
    assert_eq!(media["tracks"][0]["codec"], "h264");
    let opened = bench.wait_kind("segmentOpened");
    assert_eq!(opened["sequence"], 0);
    bench.ticket(1, 4000);
    bench.wait(|fact| fact["kind"] == "segmentOpened" && fact["sequence"] == 1);
    bench.ticket(2, 4000);
    bench.wait(|fact| fact["kind"] == "segmentOpened" && fact["sequence"] == 2);
    while bench.stat("packets") < 6.0 * (f64::from(GOP) + 6.0) {
        std::thread::sleep(Duration::from_millis(10));
    }
    bench.engine.disconnect(connection, Some("TEARDOWN rtsp://camera/ RTSP/1.0\r\nCSeq: 2\r\n\r\n".to_owned())).unwrap();
    let gone = bench.wait_kind("disconnected");
    assert_eq!(gone["cause"], "requested");
    assert!(camera.requests.iter().take(2).any(|request| request.starts_with("TEARDOWN")));

    let paths: Vec<_> = (0..3).map(|sequence| bench.finish(sequence)).collect();
    let scans: Vec<_> = paths.iter().map(|path| whole(path)).collect();
    assert!(scans.iter().all(|scan| scan.fragments.first().is_some_and(|fragment| fragment.random_access)));
    let found: Vec<u32> = paths.iter().flat_map(|path| pictures(path)).collect();
    assert_eq!(found, (0..6 * GOP).collect::<Vec<_>>());
    let seals: Vec<_> = scans.iter().map(|scan| scan.seal.as_ref().unwrap()).collect();
    assert_eq!(seals[0].previous_blake3, None);
    assert_eq!(seals[1].previous_blake3, Some(seals[0].blake3));
    assert_eq!(seals[2].previous_blake3, Some(seals[1].blake3));
    for window in scans.windows(2) {
        assert_eq!(window[0].duration_us, 4_000_000);
        let (last, next) = (window[0].fragments.last().unwrap(), &window[1].fragments[0]);
        let gap = next.start_utc_ms - last.start_utc_ms - (last.duration_us / 1000) as i64;
        // This camera is done sooner than its media lasts: wall time is pulled back, by at most 3 % of a fragment.
        assert!((-30..=1).contains(&gap), "segments follow each other without a gap: {gap} ms");
    }
    assert!(!bench.path("camera/20260101/0.mp4.open").exists());
    assert_eq!(bench.stat("lost_packets") as u64, 0);
    bench.stop();
}

#[test]
fn a_parameter_change_begins_a_new_segment() {
    let camera = Camera::start(vec![vec![Act::Frames(GOP), Act::ChangeParameters, Act::Frames(GOP), Act::Hold]]);
    let bench = Bench::new();
    bench.ticket(0, 60_000);
    let connection = bench.play(camera.port);
    bench.wait_kind("segmentOpened");
    bench.ticket(1, 60_000);
    let ended = bench.wait_kind("segmentEnded");
    assert_eq!(ended["reason"], "parameter-change");
    bench.wait(|fact| fact["kind"] == "segmentOpened" && fact["sequence"] == 1);
    bench.wait_kind("media");
    bench.wait_kind("media");
    bench.engine.disconnect(connection, None).unwrap();
    let ended = bench.wait_kind("segmentEnded");
    assert_eq!(ended["reason"], "disconnected");
    bench.stop();
}

#[test]
fn what_the_camera_sent_before_it_went_is_stored() {
    let camera = Camera::start(vec![vec![Act::Frames(GOP + 10), Act::Close], vec![Act::Frames(GOP), Act::Hold]]);
    let bench = Bench::new();
    bench.ticket(0, 60_000);
    bench.play(camera.port);
    let gone = bench.wait_kind("disconnected");
    assert_eq!(gone["cause"], "closed-by-peer");
    assert_eq!(pictures(&bench.finish(0)), (0..GOP + 10).collect::<Vec<_>>());
    bench.ticket(1, 60_000);
    let connection = bench.play(camera.port);
    bench.wait(|fact| fact["kind"] == "durable" && fact["sequence"] == 1);
    bench.engine.stop_recording(bench.stream).unwrap();
    let ended = bench.wait(|fact| fact["kind"] == "segmentEnded" && fact["sequence"] == 1);
    assert_eq!(ended["reason"], "requested");
    bench.engine.disconnect(connection, None).unwrap();
    bench.stop();
}

#[test]
fn stop_closes_what_is_open_and_recovery_seals_it() {
    let camera = Camera::start(vec![vec![Act::Frames(2 * GOP), Act::Hold]]);
    let bench = Bench::new();
    bench.ticket(0, 60_000);
    bench.play(camera.port);
    let durable = bench.wait_kind("durable");
    assert!(durable["bytes"].as_u64().unwrap() > 1000);
    let path = bench.path("camera/20260101/0.mp4.open");
    bench.engine.stop().join();
    let ended = bench.wait_kind("segmentEnded");
    assert_eq!(ended["reason"], "requested");
    assert_eq!(bench.pending("disconnected").len(), 1);
    assert_eq!(ended["bytes"].as_u64().unwrap(), path.metadata().unwrap().len());
    let before = files::scan_segment(&path).unwrap();
    assert!(before.seal.is_none());
    let recovered = files::recover_segment(&easyrms_engine::Root::at(bench.directory.path()).unwrap(), &path).unwrap();
    assert_eq!(recovered.problems, Vec::<String>::new());
    assert_eq!(recovered.fragments.len(), before.fragments.len());
    let ends = files::read_segment(&path).unwrap();
    assert_eq!(ends.seal.unwrap().blake3, recovered.seal.unwrap().blake3);
}

#[test]
fn a_late_ticket_finds_the_media_in_ring_and_queue() {
    let camera = Camera::start(vec![vec![Act::Frames(3 * GOP), Act::Hold]]);
    let bench = Bench::new();
    let connection = bench.play(camera.port);
    bench.wait_kind("media");
    while bench.stat("packets") < 2.5 * (f64::from(GOP) + 6.0) {
        std::thread::sleep(Duration::from_millis(10));
    }
    bench.ticket(0, 60_000);
    bench.engine.disconnect(connection, None).unwrap();
    let found = pictures(&bench.finish(0));
    assert_eq!(found.first(), Some(&0));
    assert!(found.len() as u32 >= 2 * GOP);
    bench.stop();
}

#[test]
fn without_a_ticket_the_queue_stays_bounded_and_tells_what_it_dropped() {
    let camera = Camera::start(vec![vec![Act::Frames(GOP), Act::ChangeParameters, Act::Frames(12 * GOP), Act::Hold]]);
    let queue_bytes = 300_000;
    let bench = Bench::with(easyrms_engine::StreamOptions { queue_bytes, ..options() });
    bench.ticket(0, 60_000);
    let connection = bench.play(camera.port);
    let first = bench.wait_kind("dropped")["fragments"].as_u64().unwrap();
    assert!((2..=3).contains(&first), "{first} fragments are not one GOP of two seconds");
    while bench.stat("packets") < 12.0 * (f64::from(GOP) + 6.0) {
        assert!(bench.stat("queue_bytes") <= queue_bytes as f64 + 60_000.0);
        std::thread::sleep(Duration::from_millis(10));
    }
    bench.ticket(1, 60_000);
    bench.wait(|fact| fact["kind"] == "segmentOpened" && fact["sequence"] == 1);
    bench.engine.disconnect(connection, None).unwrap();
    let found = pictures(&bench.finish(1));
    assert_eq!(found[0] % GOP, 0);
    assert!(found.is_sorted());
    let told: u64 = bench.pending("dropped").iter().map(|fact| fact["fragments"].as_u64().unwrap()).sum();
    assert_eq!(told + first, bench.stat("dropped_fragments") as u64);
    bench.stop();
}

#[test]
fn a_tap_follows_the_ring() {
    let camera = Camera::start(vec![vec![Act::Frames(3 * GOP), Act::Hold]]);
    let bench = Bench::with(easyrms_engine::StreamOptions { ring_ms: 2000, ..options() });
    assert_eq!(bench.engine.tap(bench.stream, 0).unwrap().fragments.len(), 0);
    let connection = bench.play(camera.port);
    while bench.stat("packets") < 2.5 * (f64::from(GOP) + 6.0) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let tap = bench.engine.tap(bench.stream, 0).unwrap();
    assert!(tap.lapped);
    assert!(tap.fragments[0].random_access);
    assert_eq!(&tap.init[4..8], b"ftyp");
    assert_eq!(&tap.fragments[0].data[4..8], b"moof");
    let next = bench.engine.tap(bench.stream, tap.next_sequence).unwrap();
    assert!(!next.lapped);
    assert!(next.fragments.iter().all(|fragment| fragment.sequence >= tap.next_sequence));
    bench.engine.disconnect(connection, None).unwrap();
    bench.engine.close_stream(bench.stream).unwrap();
    assert!(bench.engine.tap(bench.stream, 0).unwrap().fragments.is_empty());
    bench.stop();
}
