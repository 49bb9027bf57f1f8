//! An engine with its facts at hand.

// Each test binary uses its part.
#![allow(dead_code)]

pub mod camera;
pub mod disk;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use easyrms_engine::{ENGINE_STATS, Engine, STREAM_STATS, SegmentTicket, StreamOptions, TrackOrder, format_uuid, roots};
use easyrms_media::identity::{ClockTrust, StreamKind};
use serde_json::Value;

pub const RUN: [u8; 16] = *b"0123456789abcdef";
pub const ROOT: &str = "0f0e0d0c-0b0a-4908-8706-050403020100";
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Bench {
    pub engine: Engine,
    pub root: u32,
    pub stream: u32,
    pub directory: tempfile::TempDir,
    batches: Receiver<String>,
    facts: Mutex<Vec<Value>>,
}

/// Makes a directory a root and opens it.
pub fn adopted(path: &Path) -> u32 {
    roots::adopt(path, &roots::inspect(path).unwrap(), ROOT, "RMS0000001").unwrap();
    roots::open(path, ROOT).unwrap()
}

pub fn options() -> StreamOptions {
    StreamOptions { fragment_ms: 1000, ring_ms: 10_000, ring_bytes: 16 << 20, queue_bytes: 16 << 20 }
}

impl Bench {
    pub fn new() -> Self {
        Self::with(options())
    }

    pub fn with(options: StreamOptions) -> Self {
        Self::on(options, tempfile::tempdir().unwrap())
    }

    pub fn on(options: StreamOptions, directory: tempfile::TempDir) -> Self {
        Self::synced(options, directory, 50)
    }

    /// With a group sync so long after a fragment.
    pub fn synced(options: StreamOptions, directory: tempfile::TempDir, sync_ms: u32) -> Self {
        let engine = Engine::new(20).unwrap();
        let (sender, batches) = channel();
        engine.start(Box::new(move |batch| sender.send(batch).is_ok())).unwrap();
        let root = adopted(directory.path());
        engine.open_writer(root, sync_ms).unwrap();
        let stream = engine.open_stream(options).unwrap();
        Self { engine, root, stream, directory, batches, facts: Mutex::new(Vec::new()) }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn ticket(&self, sequence: u32, max_duration_ms: u64) {
        self.ticket_at(sequence, max_duration_ms, &self.path(&format!("camera/20260101/{sequence}.mp4.open")));
    }

    pub fn ticket_at(&self, sequence: u32, max_duration_ms: u64, path: &Path) {
        self.ticket_on(self.root, sequence, max_duration_ms, path);
    }

    pub fn ticket_on(&self, root: u32, sequence: u32, max_duration_ms: u64, path: &Path) {
        let ticket = SegmentTicket {
            root,
            path: path.to_owned(),
            serial: "RMS0000001".to_owned(),
            channel: 1,
            stream: StreamKind::Main,
            run: RUN,
            sequence,
            zone: "UTC".to_owned(),
            clock: ClockTrust::Trusted,
            max_duration_ms,
            cut_at_utc_ms: Vec::new(),
            preallocate_bytes: 1 << 20,
        };
        self.engine.ticket(self.stream, ticket).unwrap();
    }

    /// Connects, announces H.264 on channels 0 and 1, and asks for media.
    pub fn play(&self, port: u16) -> u32 {
        let connection = self.engine.connect(self.stream, "127.0.0.1", port, 2000).unwrap();
        self.wait(|fact| fact["kind"] == "connected" && fact["connection"] == connection);
        let track = TrackOrder {
            codec: "h264".to_owned(),
            clock_rate_hz: 90_000,
            channels: 0,
            payload_type: 96,
            rtp_channel: 0,
            rtcp_channel: 1,
            ssrc: None,
            config: Vec::new(),
            aac: None,
        };
        self.engine.play(connection, &[track]).unwrap();
        self.engine.send(connection, "PLAY rtsp://camera/ RTSP/1.0\r\nCSeq: 1\r\n\r\n".to_owned()).unwrap();
        connection
    }

    /// Waits for a fact that was not waited for yet, and takes it.
    pub fn wait(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut facts = self.facts.lock().unwrap();
        loop {
            if let Some(index) = facts.iter().position(&wanted) {
                return facts.remove(index);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let batch = self.batches.recv_timeout(left).ok();
            let batch = batch.unwrap_or_else(|| panic!("the fact did not come; there are {facts:#?}"));
            facts.extend(serde_json::from_str::<Vec<Value>>(&batch).unwrap());
        }
    }

    pub fn wait_kind(&self, kind: &str) -> Value {
        self.wait(|fact| fact["kind"] == kind)
    }

    /// The facts of a kind that came so far and were not taken.
    pub fn pending(&self, kind: &str) -> Vec<Value> {
        let mut facts = self.facts.lock().unwrap();
        while let Ok(batch) = self.batches.try_recv() {
            facts.extend(serde_json::from_str::<Vec<Value>>(&batch).unwrap());
        }
        facts.iter().filter(|fact| fact["kind"] == kind).cloned().collect()
    }

    /// Close procedure of a segment; the path of the finished file.
    pub fn finish(&self, sequence: u32) -> PathBuf {
        self.wait(|fact| fact["kind"] == "segmentEnded" && fact["sequence"] == sequence);
        let path = self.path(&format!("camera/20260101/final-{sequence}.mp4"));
        self.engine.finish_segment(self.root, RUN, sequence, path.clone()).unwrap();
        let sealed = self.wait(|fact| fact["kind"] == "segmentSealed" && fact["sequence"] == sequence);
        assert_eq!(sealed["run"], format_uuid(RUN));
        assert_eq!(sealed["bytes"], path.metadata().unwrap().len());
        path
    }

    pub fn stat(&self, name: &str) -> f64 {
        let mut page = vec![0.0; STREAM_STATS.len()];
        assert!(self.engine.read_stream_stats(self.stream, &mut page).unwrap());
        page[STREAM_STATS.iter().position(|known| *known == name).unwrap()]
    }

    pub fn engine_stat(&self, name: &str) -> f64 {
        let mut page = vec![0.0; ENGINE_STATS.len()];
        self.engine.read_engine_stats(&mut page);
        page[ENGINE_STATS.iter().position(|known| *known == name).unwrap()]
    }

    pub fn stop(self) {
        self.engine.stop().join();
    }
}

/// Numbers of the pictures in a file, in the order they are there.
pub fn pictures(path: &Path) -> Vec<u32> {
    let bytes = std::fs::read(path).unwrap();
    let mut found = Vec::new();
    for window in bytes.windows(17) {
        if window.starts_with(b"picture ") && window[16] == b';' {
            let number = std::str::from_utf8(&window[8..16]).unwrap().parse().unwrap();
            found.push(number);
        }
    }
    found
}
