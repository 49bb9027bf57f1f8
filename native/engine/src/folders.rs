//! Whole folders at a time, answered as JSON text: what the index is compared with, and rebuilt from. Each call blocks and belongs on a worker thread.

use std::fs;
use std::io;
use std::path::Path;

use easyrms_media::identity::{ClockTrust, StreamKind};
use serde::Serialize;

use crate::error::EngineError;
use crate::files::{SegmentEnds, read_segment_once};
use crate::ticket::{format_uuid, hex};

/// What header and seal of one file tell, named as `SegmentBrief` in `src/engine/types.ts`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Brief<'a> {
    file: &'a str,
    serial: &'a str,
    channel: u32,
    stream: &'static str,
    run: String,
    sequence: u32,
    start_mono_ms: u64,
    start_utc_ms: i64,
    zone: &'a str,
    clock_trusted: bool,
    end_utc_ms: Option<i64>,
    duration_ms: Option<u64>,
    bytes: u64,
    crc64: Option<String>,
    blake3: Option<String>,
}

/// A file that tells nothing, and why.
#[derive(Debug, Serialize)]
struct Unread<'a> {
    file: &'a str,
    code: &'static str,
    problem: String,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer<'a> {
    Brief(Brief<'a>),
    Unread(Unread<'a>),
}

impl<'a> Answer<'a> {
    fn brief(file: &'a str, ends: &'a SegmentEnds) -> Self {
        let identity = &ends.head.identity;
        let seal = ends.seal.as_ref();
        Self::Brief(Brief {
            file,
            serial: &identity.serial,
            channel: identity.channel,
            stream: match identity.stream {
                StreamKind::Main => "main",
                StreamKind::Sub => "sub",
            },
            run: format_uuid(identity.run),
            sequence: identity.sequence,
            start_mono_ms: identity.start_mono_ms,
            start_utc_ms: identity.start_utc_ms,
            zone: &identity.zone,
            clock_trusted: identity.clock == ClockTrust::Trusted,
            end_utc_ms: ends.end_utc_ms(),
            duration_ms: seal.map(|seal| seal.duration_us / 1000),
            bytes: ends.bytes,
            crc64: seal.map(|seal| hex(&seal.crc64.to_be_bytes())),
            blake3: seal.map(|seal| hex(&seal.blake3)),
        })
    }
}

/// Reads header and seal of these files of a folder, in this order. A file that cannot be read is answered as such.
pub fn read_segments(directory: &Path, names: &[String]) -> Result<String, EngineError> {
    let mut text = String::from("[");
    for name in names {
        let line = match read_segment_once(&directory.join(name)) {
            Ok(ends) => to_json(&Answer::brief(name, &ends))?,
            Err(error) => to_json(&Answer::Unread(Unread { file: name, code: error.code(), problem: error.to_string() }))?,
        };
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&line);
    }
    text.push(']');
    Ok(text)
}

/// Name and bytes of every file in a folder, by name, as `[["name", bytes], …]`; folders in it are left out, an absent one is empty.
pub fn list_folder(directory: &Path) -> Result<String, EngineError> {
    let at = |error| EngineError::file("list", directory, error);
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok("[]".to_owned()),
        entries => entries.map_err(at)?,
    };
    let mut files: Vec<(String, u64)> = Vec::new();
    for entry in entries {
        let entry = entry.map_err(at)?;
        match entry.metadata() {
            Ok(found) if found.is_file() => files.push((entry.file_name().to_string_lossy().into_owned(), found.len())),
            Ok(_) => {}
            // Renamed or removed since the folder was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(at(error)),
        }
    }
    files.sort_unstable();
    to_json(&files)
}

fn to_json(value: &impl Serialize) -> Result<String, EngineError> {
    serde_json::to_string(value).map_err(|error| EngineError::Internal(error.to_string()))
}
