//! Disks that fail, fill up or go away under a recording.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use easyrms_engine::files;
use support::camera::{Act, Camera, GOP};
use support::disk::SmallDisk;
use support::{Bench, RUN, adopted, options, pictures};

fn whole(path: &Path) {
    assert_eq!(files::scan_segment(path).unwrap().problems, Vec::<String>::new());
}

#[test]
fn a_path_that_cannot_be_opened_fails_and_the_next_ticket_takes_it_all() {
    let camera = Camera::start(vec![vec![Act::Frames(2 * GOP), Act::Hold]]);
    let bench = Bench::new();
    std::fs::write(bench.path("blocked"), "a file where a directory should be").unwrap();
    bench.ticket_at(0, 60_000, &bench.path("blocked/0.mp4.open"));
    let connection = bench.play(camera.port);
    let failed = bench.wait_kind("segmentFailed");
    assert_eq!((failed["step"].as_str(), failed["errno"].as_i64()), (Some("open"), Some(i64::from(libc::ENOTDIR))));
    bench.ticket(1, 60_000);
    while bench.stat("packets") < 2.0 * (f64::from(GOP) + 6.0) {
        std::thread::sleep(Duration::from_millis(10));
    }
    bench.engine.disconnect(connection, None).unwrap();
    assert_eq!(pictures(&bench.finish(1)), (0..2 * GOP).collect::<Vec<_>>());
    bench.stop();
}

#[test]
fn a_full_disk_loses_nothing_once_there_is_room_again() {
    let disk = SmallDisk::new(256 << 10);
    std::fs::create_dir(disk.path().join("root")).unwrap();
    let camera = Camera::start(vec![vec![Act::Frames(12 * GOP), Act::Hold]]);
    let directory = tempfile::tempdir_in(disk.path()).unwrap();
    let bench = Bench::on(options(), directory);
    bench.ticket(0, 60_000);
    let connection = bench.play(camera.port);
    let failed = bench.wait_kind("segmentFailed");
    assert_eq!((failed["step"].as_str(), failed["errno"].as_i64()), (Some("append"), Some(i64::from(libc::ENOSPC))));
    let durable = bench.wait_kind("durable");
    let open = bench.path("camera/20260101/0.mp4.open");
    let scan = files::scan_segment(&open).unwrap();
    assert!(scan.seal.is_none());
    assert!(scan.fragments.len() as u64 >= durable["fragments"].as_u64().unwrap());
    assert_eq!(scan.whole_bytes, open.metadata().unwrap().len(), "the torn tail is gone");
    let elsewhere = tempfile::tempdir().unwrap();
    let roomy = adopted(elsewhere.path());
    bench.engine.open_writer(roomy, 50).unwrap();
    let stored = pictures(&open);
    bench.ticket_on(roomy, 1, 60_000, &elsewhere.path().join("1.mp4.open"));
    while bench.stat("packets") < 12.0 * (f64::from(GOP) + 6.0) {
        std::thread::sleep(Duration::from_millis(10));
    }
    bench.engine.disconnect(connection, None).unwrap();
    bench.wait(|fact| fact["kind"] == "segmentEnded" && fact["sequence"] == 1);
    bench.engine.finish_segment(roomy, RUN, 1, elsewhere.path().join("1.mp4")).unwrap();
    bench.wait(|fact| fact["kind"] == "segmentSealed");
    let next = pictures(&elsewhere.path().join("1.mp4"));
    whole(&elsewhere.path().join("1.mp4"));
    assert_eq!(bench.pending("dropped").len(), 0);
    assert!(next[0] <= stored.last().unwrap() + 1, "{} then {}", stored.last().unwrap(), next[0]);
    assert_eq!(next.last(), Some(&(12 * GOP - 1)));
    bench.stop();
}

#[test]
fn a_taken_final_name_is_not_replaced() {
    let camera = Camera::start(vec![vec![Act::Frames(GOP), Act::Hold]]);
    let bench = Bench::new();
    bench.ticket(0, 60_000);
    let connection = bench.play(camera.port);
    bench.wait_kind("segmentOpened");
    bench.engine.finish_segment(bench.root, RUN, 0, bench.path("early.mp4")).unwrap();
    assert_eq!(bench.wait_kind("segmentFailed")["errno"], libc::EBUSY, "a segment that grows is not finished, and goes on");
    bench.engine.disconnect(connection, None).unwrap();
    bench.wait_kind("segmentEnded");
    std::fs::write(bench.path("taken.mp4"), "somebody else's").unwrap();
    bench.engine.finish_segment(bench.root, RUN, 0, bench.path("taken.mp4")).unwrap();
    let failed = bench.wait_kind("segmentFailed");
    assert_eq!((failed["step"].as_str(), failed["errno"].as_i64()), (Some("rename"), Some(i64::from(libc::EEXIST))));
    assert_eq!(std::fs::read(bench.path("taken.mp4")).unwrap(), b"somebody else's");
    whole(&bench.path("camera/20260101/0.mp4.open"));
    assert!(files::read_segment(&bench.path("camera/20260101/0.mp4.open")).unwrap().seal.is_some());
    bench.engine.finish_segment(bench.root, RUN, 0, bench.path("again.mp4")).unwrap();
    assert_eq!(bench.wait_kind("segmentFailed")["step"], "seal", "a segment that was given up is not known any more");
    bench.stop();
}

#[test]
fn a_directory_that_is_removed_while_open_fails_at_the_rename() {
    let camera = Camera::start(vec![vec![Act::Frames(GOP), Act::Hold]]);
    let bench = Bench::new();
    bench.ticket(0, 60_000);
    let connection = bench.play(camera.port);
    bench.wait_kind("durable");
    std::fs::remove_dir_all(bench.path("camera")).unwrap();
    bench.engine.disconnect(connection, None).unwrap();
    bench.wait_kind("segmentEnded");
    bench.engine.finish_segment(bench.root, RUN, 0, bench.path("camera/x.mp4")).unwrap();
    let failed = bench.wait_kind("segmentFailed");
    assert_eq!((failed["step"].as_str(), failed["errno"].as_i64()), (Some("rename"), Some(i64::from(libc::ENOENT))));
    bench.stop();
}

#[test]
fn closing_a_writer_gives_its_segments_up_and_they_go_on_where_the_next_ticket_says() {
    let camera = Camera::start(vec![vec![Act::Frames(2 * GOP), Act::Hold]]);
    let bench = Bench::new();
    bench.ticket(0, 60_000);
    let connection = bench.play(camera.port);
    bench.wait_kind("segmentOpened");
    while bench.stat("packets") < 2.0 * (f64::from(GOP) + 6.0) {
        std::thread::sleep(Duration::from_millis(10));
    }
    bench.ticket(1, 60_000);
    bench.engine.close_writer(bench.root).unwrap().join();
    let failed = bench.wait_kind("segmentFailed");
    assert_eq!((failed["step"].as_str(), failed["errno"].as_i64()), (Some("close"), Some(i64::from(libc::ENODEV))));
    let open = bench.path("camera/20260101/0.mp4.open");
    let scan = files::scan_segment(&open).unwrap();
    assert_eq!(scan.whole_bytes, open.metadata().unwrap().len());
    let elsewhere = tempfile::tempdir().unwrap();
    let other = adopted(elsewhere.path());
    bench.engine.open_writer(other, 50).unwrap();
    let path = elsewhere.path().join("camera/20260101/1.mp4.open");
    bench.ticket_on(other, 1, 60_000, &path);
    bench.engine.disconnect(connection, None).unwrap();
    bench.wait_kind("segmentEnded");
    bench.wait(|fact| fact["kind"] == "durable" && fact["sequence"] == 1);
    assert_eq!(bench.pending("dropped").len(), 0);
    let (stored, next) = (pictures(&open), pictures(&path));
    assert_eq!(next, (next[0]..2 * GOP).collect::<Vec<_>>());
    assert!(next[0] <= stored.last().unwrap() + 1, "{} then {}", stored.last().unwrap(), next[0]);
    bench.stop();
}

/// Runs a test of this file under strace (which must be installed) with a system call made to fail.
fn under_strace(call: &str, injection: &str, test: &str) {
    let mut strace = Command::new("strace");
    let trace = [format!("trace={call}"), format!("inject={call}:{injection}")];
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &trace[0], "-e", &trace[1]]);
    strace.arg(std::env::current_exe().unwrap()).args([test, "--exact", "--ignored", "--nocapture"]);
    let output = strace.output().unwrap_or_else(|error| panic!("strace: {error}"));
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn after_a_failed_sync_a_new_file_takes_what_was_not_durable() {
    under_strace("fdatasync", "error=EIO:when=3", "second_half_of_the_failed_sync");
}

#[test]
fn an_error_of_the_write_out_is_a_failed_sync() {
    // For each group the first call starts the write-out, the second waits for it and is told what the device refused, once: the sync then succeeds.
    under_strace("sync_file_range", "error=EIO:when=4", "second_half_of_the_failed_sync");
}

#[test]
fn a_disk_that_is_full_at_the_seal_costs_the_seal_only() {
    // The first one writes the only fragment.
    under_strace("pwritev", "error=ENOSPC:when=2", "second_half_of_the_failed_seal");
}

#[test]
#[ignore = "fails without the injection: run by a_disk_that_is_full_at_the_seal_costs_the_seal_only"]
fn second_half_of_the_failed_seal() {
    let camera = Camera::start(vec![vec![Act::Frames(1), Act::Hold]]);
    // No sync comes before the seal.
    let bench = Bench::synced(options(), tempfile::tempdir().unwrap(), 60_000);
    bench.ticket(0, 60_000);
    let connection = bench.play(camera.port);
    // Those of a random access point: its parameter sets and five of the picture.
    while bench.stat("packets") < 7.0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    bench.engine.disconnect(connection, None).unwrap();
    bench.wait_kind("segmentEnded");
    bench.engine.finish_segment(bench.root, RUN, 0, bench.path("final.mp4")).unwrap();
    let failed = bench.wait_kind("segmentFailed");
    assert_eq!((failed["step"].as_str(), failed["errno"].as_i64()), (Some("seal"), Some(i64::from(libc::ENOSPC))));
    assert_eq!(bench.pending("durable").last().unwrap()["fragments"], 1, "a disk without room for a seal can sync all the same");
    bench.stop();
}

#[test]
fn a_directory_that_cannot_be_synced_fails_behind_the_rename() {
    // Two for the new directories, one for the new entry, one for the rename.
    under_strace("fsync", "error=EIO:when=4", "second_half_of_the_failed_directory");
}

#[test]
#[ignore = "fails without the injection: run by a_directory_that_cannot_be_synced_fails_behind_the_rename"]
fn second_half_of_the_failed_directory() {
    let camera = Camera::start(vec![vec![Act::Frames(GOP), Act::Hold]]);
    let bench = Bench::new();
    bench.ticket(0, 60_000);
    let connection = bench.play(camera.port);
    bench.wait_kind("durable");
    bench.engine.disconnect(connection, None).unwrap();
    bench.wait_kind("segmentEnded");
    let last = bench.path("camera/20260101/final.mp4");
    bench.engine.finish_segment(bench.root, RUN, 0, last.clone()).unwrap();
    let failed = bench.wait_kind("segmentFailed");
    assert_eq!(failed["step"], "sync-directory");
    assert_eq!(failed["path"], last.to_str().unwrap(), "where the file is now");
    whole(&last);
    bench.stop();
}

#[test]
#[ignore = "fails without the injection: run by after_a_failed_sync_a_new_file_takes_what_was_not_durable"]
fn second_half_of_the_failed_sync() {
    let camera = Camera::start(vec![vec![Act::Frames(8 * GOP), Act::Hold]]);
    let bench = Bench::new();
    bench.ticket(0, 60_000);
    let connection = bench.play(camera.port);
    bench.wait_kind("segmentOpened");
    bench.ticket(1, 60_000);
    let failed = bench.wait_kind("segmentFailed");
    assert_eq!((failed["step"].as_str(), failed["errno"].as_i64()), (Some("sync"), Some(i64::from(libc::EIO))));
    let durable: Vec<_> = bench.pending("durable").iter().filter(|fact| fact["sequence"] == 0).cloned().collect();
    let durable = durable.last().unwrap()["fragments"].as_u64().unwrap() as usize;
    bench.wait(|fact| fact["kind"] == "segmentOpened" && fact["sequence"] == 1);
    while bench.stat("packets") < 8.0 * (f64::from(GOP) + 6.0) {
        std::thread::sleep(Duration::from_millis(10));
    }
    bench.engine.disconnect(connection, None).unwrap();
    let path = bench.finish(1);
    whole(&path);
    let found = pictures(&path);
    assert_eq!(bench.pending("dropped").len(), 0);
    let failed = bench.path("camera/20260101/0.mp4.open");
    let scan = files::scan_segment(&failed).unwrap();
    let last = &scan.fragments[durable - 1];
    std::fs::File::options().write(true).open(&failed).unwrap().set_len(last.offset + u64::from(last.bytes)).unwrap();
    let stored = pictures(&failed).len() as u32;
    assert_eq!(found[0], stored / GOP * GOP, "goes on with the GOP in which the durable part ends");
    assert_eq!(found, (found[0]..8 * GOP).collect::<Vec<_>>());
    bench.stop();
}
