//! File steps that TypeScript orders one by one, outside the running engine. Each blocks and belongs on a worker thread.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use easyrms_media::mp4::{Head, HeadRead, Scan, Seal, SealRead, SegmentScanner, read_head, read_seal};

use crate::error::EngineError;
use crate::writer::steps;

/// What a scan reads at a time.
const CHUNK_BYTES: usize = 256 << 10;
/// First guess for header and seal; both tell when they are longer.
const HEAD_BYTES: u64 = 8 << 10;
const SEAL_BYTES: u64 = 8 << 10;

/// Header and seal of a file.
#[derive(Debug)]
pub struct SegmentEnds {
    pub head: Head,
    pub seal: Option<Seal>,
    pub bytes: u64,
}

impl SegmentEnds {
    /// UTC of the end of the last fragment, milliseconds; `None` without a seal.
    pub fn end_utc_ms(&self) -> Option<i64> {
        self.seal.as_ref().and_then(Seal::end_utc_ms)
    }
}

fn at(step: &'static str, path: &Path) -> impl Fn(io::Error) -> EngineError {
    let path = path.to_owned();
    move |error| EngineError::file(step, &path, error)
}

fn damaged(path: &Path, what: &impl ToString) -> EngineError {
    EngineError::Damaged { path: path.to_owned(), what: what.to_string() }
}

/// Pushes a whole file through the scanner, at most `bytes_per_second` (0 = as fast as it goes).
pub fn scan_segment(path: &Path, bytes_per_second: u64) -> Result<Scan, EngineError> {
    let mut file = File::open(path).map_err(at("open", path))?;
    scan(&mut file, path, bytes_per_second)
}

fn scan(file: &mut File, path: &Path, bytes_per_second: u64) -> Result<Scan, EngineError> {
    let mut scanner = SegmentScanner::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let started = Instant::now();
    let mut read_bytes: u64 = 0;
    loop {
        let count = match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(at("read", path)(error)),
        };
        scanner.push(chunk.get(..count).unwrap_or_default());
        read_bytes += count as u64;
        if let Some(ms) = (read_bytes * 1000).checked_div(bytes_per_second) {
            std::thread::sleep(Duration::from_millis(ms).saturating_sub(started.elapsed()));
        }
    }
    // What a check reads once must not push out what viewers read again and again.
    steps::drop_cache(file, read_bytes);
    Ok(scanner.finish())
}

/// Reads header and seal: one small read each, a second one where they are unusually long.
pub fn read_segment(path: &Path) -> Result<SegmentEnds, EngineError> {
    let file = File::open(path).map_err(at("open", path))?;
    read_ends(&file, path)
}

/// The same for one of many files that nobody is going to read soon: nothing is read ahead, and nothing stays in the cache.
pub(crate) fn read_segment_once(path: &Path) -> Result<SegmentEnds, EngineError> {
    let file = File::open(path).map_err(at("open", path))?;
    steps::expect_random_reads(&file);
    let ends = read_ends(&file, path);
    steps::drop_cache(&file, 0);
    ends
}

fn read_ends(file: &File, path: &Path) -> Result<SegmentEnds, EngineError> {
    let bytes = file.metadata().map_err(at("stat", path))?.len();
    let mut wanted = HEAD_BYTES;
    let head = loop {
        let prefix = read_range(file, 0, wanted.min(bytes)).map_err(at("read", path))?;
        match read_head(&prefix).map_err(|error| damaged(path, &error))? {
            HeadRead::Whole(head) => break head,
            HeadRead::NeedMore(more) if more as u64 > wanted && (more as u64) <= bytes => wanted = more as u64,
            HeadRead::NeedMore(more) => return Err(damaged(path, &format!("{bytes} bytes, the header alone has {more}"))),
        }
    };
    let mut wanted = SEAL_BYTES;
    let seal = loop {
        let from = bytes.saturating_sub(wanted);
        let tail = read_range(file, from, bytes - from).map_err(at("read", path))?;
        match read_seal(&tail, bytes).map_err(|error| damaged(path, &error))? {
            SealRead::Whole(seal) => break Some(seal),
            SealRead::Absent => break None,
            SealRead::NeedMore(more) if more as u64 > wanted && (more as u64) <= bytes => wanted = more as u64,
            SealRead::NeedMore(more) => return Err(damaged(path, &format!("{bytes} bytes, the seal alone claims {more}"))),
        }
    };
    Ok(SegmentEnds { head, seal, bytes })
}

fn read_range(file: &File, offset: u64, bytes: u64) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
    file.read_exact_at(&mut buffer, offset)?;
    Ok(buffer)
}

/// Recovers a file that was not closed: cuts it after the last whole fragment, seals it, and makes it durable.
/// A sealed file, and one without a whole fragment, stays as it is. The scan returned is that of the file as it is then.
pub fn recover_segment(path: &Path) -> Result<Scan, EngineError> {
    let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(at("open", path))?;
    let mut found = scan(&mut file, path, 0)?;
    let Some(draft) = found.draft.take() else { return Ok(found) };
    let mut seal = Vec::new();
    draft.seal(None, &mut seal);
    file.set_len(found.whole_bytes).map_err(at("truncate", path))?;
    steps::write_all_at(&file, &[&seal], found.whole_bytes).map_err(at("seal", path))?;
    // Also gives back the blocks that were reserved behind the end.
    file.set_len(found.whole_bytes + seal.len() as u64).map_err(at("truncate", path))?;
    file.sync_data().map_err(at("sync", path))?;
    scan_segment(path, 0)
}

/// Renames without replacing and makes it durable. The target's directory is created.
pub fn rename_durable(from: &Path, to: &Path) -> Result<(), EngineError> {
    steps::directory_of(to).and_then(steps::create_directories).map_err(at("create-directory", to))?;
    steps::rename_new(from, to).map_err(at("rename", to))?;
    steps::sync_directories(from, to).map_err(at("sync-directory", to))
}

/// Removes a file, absent or not, and makes that durable; with `prune_directory` its directory too, if that is empty now.
pub fn remove_durable(path: &Path, prune_directory: bool) -> Result<(), EngineError> {
    let directory = steps::directory_of(path).map_err(at("unlink", path))?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at("unlink", path)(error)),
        _ => {}
    }
    if prune_directory {
        match fs::remove_dir(directory) {
            Ok(()) => {
                return steps::directory_of(directory).and_then(steps::sync_directory).map_err(at("sync-directory", directory));
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound) => {}
            Err(error) => return Err(at("rmdir", directory)(error)),
        }
    }
    match steps::sync_directory(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at("sync-directory", directory)(error)),
        _ => Ok(()),
    }
}

/// Appends a line, ending it if it is not, and makes it durable; creates file and directory.
/// A torn line left by a power cut is ended first, so that it spoils itself only.
pub fn append_durable(path: &Path, line: &str) -> Result<(), EngineError> {
    let directory = steps::directory_of(path).map_err(at("append", path))?;
    let existed = path.exists();
    if !existed {
        steps::create_directories(directory).map_err(at("create-directory", directory))?;
    }
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(at("open", path))?;
    let bytes = file.metadata().map_err(at("stat", path))?.len();
    let mut text = String::with_capacity(line.len() + 2);
    if let Some(last) = bytes.checked_sub(1)
        && read_range(&file, last, 1).map_err(at("read", path))? != b"\n"
    {
        text.push('\n');
    }
    text.push_str(line);
    if !line.ends_with('\n') {
        text.push('\n');
    }
    file.write_all(text.as_bytes()).map_err(at("append", path))?;
    file.sync_data().map_err(at("sync", path))?;
    if existed { Ok(()) } else { steps::sync_directory(directory).map_err(at("sync-directory", directory)) }
}

/// Bytes available to this user, and bytes in total, of the file system that holds `path`.
pub fn free_space(path: &Path) -> Result<(u64, u64), EngineError> {
    let space = rustix::fs::statvfs(path).map_err(|error| EngineError::file("statvfs", path, error))?;
    Ok((space.f_bavail.saturating_mul(space.f_frsize), space.f_blocks.saturating_mul(space.f_frsize)))
}
