//! File steps outside the running engine.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use easyrms_engine::{Root, files, scans};

#[test]
fn append_creates_what_is_missing_and_ends_torn_lines() {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::at(directory.path()).unwrap();
    let journal = directory.path().join("a/b/journal.ndjson");
    files::append_durable(&root, &journal, "{\"one\":1}").unwrap();
    files::append_durable(&root, &journal, "{\"two\":2}\n").unwrap();
    assert_eq!(fs::read_to_string(&journal).unwrap(), "{\"one\":1}\n{\"two\":2}\n");
    fs::write(&journal, "{\"one\":1}\n{\"tw").unwrap();
    files::append_durable(&root, &journal, "{\"three\":3}").unwrap();
    assert_eq!(fs::read_to_string(&journal).unwrap(), "{\"one\":1}\n{\"tw\n{\"three\":3}\n");
}

#[test]
fn rename_never_replaces() {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::at(directory.path()).unwrap();
    let (from, to) = (directory.path().join("from"), directory.path().join("new/to"));
    fs::write(&from, "1").unwrap();
    files::rename_durable(&root, &from, &to).unwrap();
    assert_eq!(fs::read_to_string(&to).unwrap(), "1");
    fs::write(&from, "2").unwrap();
    assert_eq!(files::rename_durable(&root, &from, &to).unwrap_err().code(), "CONFLICT");
    assert_eq!(fs::read_to_string(&to).unwrap(), "1");
    assert_eq!(
        files::rename_durable(&root, &directory.path().join("absent"), &directory.path().join("x")).unwrap_err().code(),
        "NOT_FOUND"
    );
}

#[test]
fn remove_prunes_only_what_is_empty_and_takes_absence_for_success() {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::at(directory.path()).unwrap();
    let day = directory.path().join("day");
    fs::create_dir(&day).unwrap();
    fs::write(day.join("a"), "").unwrap();
    fs::write(day.join("b"), "").unwrap();
    files::remove_durable(&root, &day.join("a"), true).unwrap();
    assert!(day.join("b").exists());
    files::remove_durable(&root, &day.join("b"), false).unwrap();
    assert!(day.exists());
    files::remove_durable(&root, &day.join("b"), true).unwrap();
    assert!(!day.exists());
    files::remove_durable(&root, &day.join("b"), true).unwrap();
}

#[test]
fn a_scan_goes_on_piece_by_piece_and_ends_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("big");
    fs::write(&path, vec![0; 1 << 20]).unwrap();
    let scan = scans::open(&path).unwrap();
    for _ in 0..4 {
        assert!(scans::step(scan, 256 << 10).unwrap().is_none());
    }
    let found = scans::step(scan, 256 << 10).unwrap().unwrap();
    assert_eq!(found.bytes, 1 << 20);
    assert_eq!(found.problems, files::scan_segment(&path).unwrap().problems);
    assert_eq!(scans::step(scan, 1).unwrap_err().code(), "ENGINE_MISUSE");
    scans::close(scan);
    let given_up = scans::open(&path).unwrap();
    scans::close(given_up);
    assert_eq!(scans::step(given_up, 1).unwrap_err().code(), "ENGINE_MISUSE");
    let directory = scans::open(directory.path()).unwrap();
    assert_eq!(scans::step(directory, 1).unwrap_err().code(), "INTERNAL");
    assert_eq!(scans::step(directory, 1).unwrap_err().code(), "ENGINE_MISUSE");
    // Nothing is mapped at its beginning: EIO.
    let unreadable = scans::open(Path::new("/proc/self/mem")).unwrap();
    assert_eq!(scans::step(unreadable, 1).unwrap_err().code(), "DISK_FAULT");
    assert_eq!(scans::open(&path.join("none")).unwrap_err().code(), "NOT_FOUND");
}

#[test]
fn a_scan_leaves_the_time_of_access() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, vec![0; 1 << 10]).unwrap();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::open(&path).unwrap().set_times(fs::FileTimes::new().set_accessed(long_ago)).unwrap();
    let scan = scans::open(&path).unwrap();
    assert!(scans::step(scan, 1 << 20).unwrap().is_some());
    assert_eq!(fs::metadata(&path).unwrap().accessed().unwrap(), long_ago);
}

#[test]
fn what_is_no_segment_is_named_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::at(directory.path()).unwrap();
    let path = directory.path().join("text");
    for content in [&b""[..], b"hello", &[0; 40]] {
        fs::write(&path, content).unwrap();
        assert_eq!(files::read_segment(&path).unwrap_err().code(), "SEGMENT_DAMAGED");
        assert!(files::recover_segment(&root, &path).unwrap().fragments.is_empty());
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    assert_eq!(files::read_segment(&directory.path().join("absent")).unwrap_err().code(), "NOT_FOUND");
    assert_eq!(files::scan_segment(directory.path()).unwrap_err().code(), "INTERNAL");
}

#[test]
fn free_space_is_told_for_the_file_system_of_a_root() {
    let directory = tempfile::tempdir().unwrap();
    let (available, total) = files::free_space(&Root::at(directory.path()).unwrap()).unwrap();
    assert!(available > 0 && available <= total);
}
