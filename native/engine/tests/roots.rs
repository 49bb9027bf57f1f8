//! Roots that are recognised by their marker, and disks that go away from under them.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use easyrms_engine::{WRITER_STATS, files, roots};
use support::camera::{Act, Camera, GOP};
use support::disk::SmallDisk;
use support::{Bench, ROOT, adopted, options, pictures};

const OTHER: &str = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";

fn code<T>(result: Result<T, easyrms_engine::EngineError>) -> &'static str {
    result.err().map_or("none", |error| error.code())
}

/// Everything below a directory.
fn tree(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(tree(&path));
        }
        found.push(path);
    }
    found
}

#[test]
fn a_root_is_opened_with_its_own_marker_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let found = roots::inspect(path).unwrap();
    assert!(found.directory.is_some() && found.marker.is_none());
    assert_eq!(code(roots::open(path, ROOT)), "ROOT_UNAVAILABLE");
    assert_eq!(tree(path), [] as [PathBuf; 0], "looking changes nothing");
    roots::adopt(path, &found, ROOT, "RMS0000001").unwrap();
    assert_eq!(code(roots::adopt(path, &found, OTHER, "RMS0000001")), "CONFLICT");
    assert_eq!(code(roots::open(path, OTHER)), "ROOT_UNAVAILABLE");
    let root = roots::open(path, ROOT).unwrap();
    roots::check(root).unwrap();
    roots::test(root).unwrap();
    let marker = roots::inspect(path).unwrap().marker.unwrap();
    assert_eq!((marker.id.as_str(), marker.serial.as_str()), (ROOT, "RMS0000001"));
    assert_eq!(fs::metadata(path.join(".easyrms-lock")).unwrap().len(), 0);
    assert_eq!(tree(path).len(), 2, "marker and lock");

    fs::write(path.join(".easyrms-root"), [0; 80]).unwrap();
    assert_eq!(code(roots::check(root)), "ROOT_UNAVAILABLE");
    let damaged = roots::inspect(path).unwrap();
    assert!(damaged.marker.is_none());
    roots::adopt(path, &damaged, ROOT, "RMS0000001").unwrap();
    roots::check(root).unwrap();
}

#[test]
fn a_directory_that_was_swapped_between_looking_and_adopting_stays_as_it_is() {
    let disk = SmallDisk::new(1 << 20);
    let found = roots::inspect(disk.path()).unwrap();
    disk.vanish();
    assert_eq!(code(roots::adopt(disk.path(), &found, ROOT, "RMS0000001")), "ROOT_UNAVAILABLE");
    assert_eq!(tree(disk.path()), [] as [PathBuf; 0]);
}

#[test]
fn links_do_not_lead_out_of_a_root() {
    let (directory, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let root = roots::get(adopted(directory.path())).unwrap();
    let inside = directory.path().join("camera/20260101");
    fs::create_dir_all(&inside).unwrap();
    fs::write(inside.join("a"), "a").unwrap();
    fs::write(outside.path().join("kept"), "kept").unwrap();
    symlink(outside.path(), directory.path().join("link")).unwrap();
    let beyond = |name: &str| directory.path().join("link").join(name);
    assert!(files::append_durable(&root, &beyond("journal.ndjson"), "{}").is_err());
    assert!(files::rename_durable(&root, &inside.join("a"), &beyond("a")).is_err());
    assert!(files::rename_durable(&root, &inside.join("a"), &beyond("new/a")).is_err());
    assert!(files::remove_durable(&root, &beyond("kept"), true).is_err());
    assert!(files::recover_segment(&root, &beyond("kept")).is_err());
    assert!(root.create_new(&beyond("0.mp4.open")).is_err());
    assert_eq!(tree(outside.path()), [outside.path().join("kept")]);
    for path in [outside.path().join("x"), directory.path().join("../x"), directory.path().to_owned()] {
        assert_eq!(code(files::append_durable(&root, &path, "{}")), "INPUT_INVALID", "{}", path.display());
    }
}

#[test]
fn nothing_is_written_below_a_mount_point_whose_disk_has_gone() {
    let disk = SmallDisk::new(64 << 20);
    let camera = Camera::start(vec![vec![Act::Frames(6 * GOP), Act::Hold]]);
    let bench = Bench::on(options(), tempfile::tempdir_in(disk.path()).unwrap());
    let below = bench.directory.path().to_owned();
    bench.ticket(0, 4000);
    let connection = bench.play(camera.port);
    bench.wait_kind("durable");
    let root = roots::get(bench.root).unwrap();
    disk.vanish();
    assert_eq!(code(roots::check(bench.root)), "ROOT_UNAVAILABLE");
    // Whatever is on its way goes to the right disk, however many directories and files that takes.
    bench.ticket(1, 4000);
    bench.wait(|fact| fact["kind"] == "segmentOpened" && fact["sequence"] == 1);
    bench.wait(|fact| fact["kind"] == "segmentEnded" && fact["sequence"] == 0);
    bench.engine.finish_segment(bench.root, support::RUN, 0, bench.path("camera/20260102/0.mp4")).unwrap();
    bench.wait_kind("segmentSealed");
    files::append_durable(&root, &bench.path("camera/20260103/journal.ndjson"), "{}").unwrap();
    assert_eq!(tree(disk.path()), [] as [PathBuf; 0]);
    let found = roots::inspect(&below).unwrap();
    assert!(found.directory.is_none());
    assert!(disk.path().starts_with(&found.mount_point) && found.mount_point != disk.path());
    assert_eq!(code(roots::open(&below, ROOT)), "NOT_FOUND");

    // Another file system in its place is another root, or none.
    disk.mount(1 << 20);
    fs::create_dir(&below).unwrap();
    assert_eq!(code(roots::check(bench.root)), "ROOT_UNAVAILABLE");
    assert_eq!(code(roots::open(&below, ROOT)), "ROOT_UNAVAILABLE");
    assert_eq!(roots::inspect(&below).unwrap().mount_point, disk.path());
    bench.engine.close_writer(bench.root).unwrap().join();
    assert_eq!(tree(&below), [] as [PathBuf; 0]);

    let other = adopted(&below);
    bench.engine.open_writer(other, 50).unwrap();
    bench.ticket_on(other, 2, 60_000, &bench.path("camera/20260101/2.mp4.open"));
    bench.wait(|fact| fact["kind"] == "segmentOpened" && fact["sequence"] == 2);
    while bench.stat("packets") < 6.0 * (f64::from(GOP) + 6.0) {
        std::thread::sleep(Duration::from_millis(10));
    }
    bench.engine.disconnect(connection, None).unwrap();
    bench.wait(|fact| fact["kind"] == "segmentEnded" && fact["sequence"] == 2);
    assert_eq!(bench.pending("dropped").len(), 0);
    assert_eq!(pictures(&bench.path("camera/20260101/2.mp4.open")).last(), Some(&(6 * GOP - 1)));
    bench.stop();
}

#[test]
fn a_disk_that_takes_no_writes_is_opened_and_fails_its_test() {
    let disk = SmallDisk::new(1 << 20);
    roots::adopt(disk.path(), &roots::inspect(disk.path()).unwrap(), ROOT, "RMS0000001").unwrap();
    disk.remount_read_only();
    let root = roots::open(disk.path(), ROOT).unwrap();
    roots::check(root).unwrap();
    assert_eq!(code(roots::test(root)), "DISK_FAULT");
}

#[test]
fn a_full_disk_passes_its_test() {
    let disk = SmallDisk::new(64 << 10);
    let root = adopted(disk.path());
    fs::write(disk.path().join("stranger"), vec![1; 128 << 10]).unwrap_err();
    roots::test(root).unwrap();
}

#[test]
fn a_writer_tells_what_it_is_busy_with() {
    let camera = Camera::start(vec![vec![Act::Frames(GOP), Act::Hold]]);
    let bench = Bench::new();
    let mut page = vec![0.0; WRITER_STATS.len()];
    let at = |page: &[f64], name: &str| page[WRITER_STATS.iter().position(|known| *known == name).unwrap()];
    bench.ticket(0, 60_000);
    bench.play(camera.port);
    bench.wait_kind("durable");
    while !(bench.engine.read_writer_stats(bench.root, &mut page).unwrap() && at(&page, "syncs") >= 1.0 && at(&page, "sync_us") == 0.0) {}
    assert!(at(&page, "sync_peak_us") > 0.0);
    while at(&page, "step_us") > 0.0 || at(&page, "sync_peak_us") > 0.0 {
        bench.engine.read_writer_stats(bench.root, &mut page).unwrap();
    }
    bench.stop();
}
