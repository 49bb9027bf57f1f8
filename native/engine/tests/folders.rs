//! Folders answered as a whole.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use easyrms_engine::{files, folders};
use easyrms_media::fragment::{Fragment, FragmentTimes, Sample, TrackFragment};
use easyrms_media::identity::{ClockTrust, Identity, StreamKind};
use easyrms_media::mp4::SegmentState;
use easyrms_media::track::{Codec, CodecConfig, Track};
use serde_json::{Value, json};

const START_UTC_MS: i64 = 1_790_000_000_250;

/// A segment of two fragments of sound, the second of which begins a little later than the first ends.
fn segment(sequence: u32, sealed: bool) -> Vec<u8> {
    let tracks: Arc<[Track]> = Arc::from([Track { codec: Codec::Pcma, clock_rate: 8000, channels: 1, config: CodecConfig::Pcm }]);
    let identity = Identity {
        serial: "EDGE-0001".to_owned(),
        channel: 3,
        stream: StreamKind::Sub,
        run: [7; 16],
        sequence,
        start_mono_ms: 42,
        start_utc_ms: START_UTC_MS,
        clock: ClockTrust::Untrusted,
        zone: "Asia/Shanghai".to_owned(),
    };
    let mut file = Vec::new();
    let mut state = SegmentState::new(&tracks, &identity, &mut file).unwrap();
    for second in 0..2 {
        let samples = vec![Sample { size: 100, duration_ticks: 8000, composition_offset_ticks: 0, random_access: true }];
        let part = TrackFragment { track: 0, start_ticks: second * 8000, samples, data: vec![5; 100] };
        let times = FragmentTimes { start_us: second * 1_000_000, duration_us: 1_000_900, start_utc_ms: START_UTC_MS + second * 1003 };
        let fragment = Fragment::new(second as u64, Arc::clone(&tracks), vec![part], true, None, times, 0, None);
        let mut headers = Vec::new();
        state.append(&fragment, &mut headers).unwrap();
        file.extend_from_slice(&headers);
        file.extend_from_slice(&fragment.parts[0].data);
    }
    if sealed {
        state.seal(None, &mut file);
    }
    file
}

fn read(directory: &Path, names: &[&str]) -> Vec<Value> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    serde_json::from_str(&folders::read_segments(directory, &names).unwrap()).unwrap()
}

#[test]
fn a_folder_is_read_in_one_call_and_what_cannot_be_read_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let sealed = segment(0, true);
    fs::write(directory.path().join("a.mp4"), &sealed).unwrap();
    fs::write(directory.path().join("open.mp4"), segment(1, false)).unwrap();
    fs::write(directory.path().join("text.mp4"), "no segment at all, but of some length").unwrap();
    fs::create_dir(directory.path().join("folder.mp4")).unwrap();
    let found = read(directory.path(), &["text.mp4", "a.mp4", "absent.mp4", "open.mp4", "folder.mp4"]);
    let [text, whole, absent, open, folder] = &found[..] else { panic!("{found:?}") };
    let head = files::read_segment(&directory.path().join("a.mp4")).unwrap();
    let seal = head.seal.unwrap();
    assert_eq!(
        *whole,
        json!({
            "file": "a.mp4",
            "serial": "EDGE-0001",
            "channel": 3,
            "stream": "sub",
            "run": "07070707-0707-0707-0707-070707070707",
            "sequence": 0,
            "startMonoMs": 42,
            "startUtcMs": START_UTC_MS,
            "zone": "Asia/Shanghai",
            "clockTrusted": false,
            "endUtcMs": START_UTC_MS + 1003 + 1000,
            "durationMs": 2001,
            "bytes": sealed.len(),
            "crc64": easyrms_engine::hex(&seal.crc64.to_be_bytes()),
            "blake3": easyrms_engine::hex(&seal.blake3),
        })
    );
    assert_eq!((&open["sequence"], &open["endUtcMs"], &open["crc64"]), (&json!(1), &Value::Null, &Value::Null));
    assert_eq!((&text["file"], &text["code"]), (&json!("text.mp4"), &json!("SEGMENT_DAMAGED")));
    assert_eq!(absent["code"], "NOT_FOUND");
    assert!(folder["problem"].is_string(), "{folder}");
    assert_eq!(read(directory.path(), &[]), Vec::<Value>::new());
}

#[test]
fn a_listing_has_the_files_of_a_folder_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("day");
    assert_eq!(folders::list_folder(&folder).unwrap(), "[]");
    fs::create_dir_all(folder.join("below")).unwrap();
    fs::write(folder.join("b"), "12345").unwrap();
    fs::write(folder.join("a"), "").unwrap();
    assert_eq!(folders::list_folder(&folder).unwrap(), r#"[["a",0],["b",5]]"#);
    assert_eq!(folders::list_folder(&folder.join("a")).unwrap_err().code(), "NOT_FOUND");
}
