//! File steps that TypeScript orders one by one, outside the running engine. Each blocks and belongs on a worker thread.
//! What only reads goes by path; what changes something goes through the root.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use easyrms_media::mp4::{Head, HeadRead, Scan, Seal, SealRead, read_head, read_seal};

use rustix::fs::{AtFlags, OFlags, fsync, unlinkat};
use rustix::io::Errno;

use crate::error::EngineError;
use crate::root::{Root, name_of};
use crate::scans::Scanning;
use crate::writer::steps;

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

/// Pushes a whole file through the scanner, as fast as it goes.
pub fn scan_segment(path: &Path) -> Result<Scan, EngineError> {
    Ok(scan(File::open(path).map_err(at("open", path))?, path)?.0)
}

fn scan(file: File, path: &Path) -> Result<(Scan, File), EngineError> {
    let mut scanning = Scanning::new(file, path);
    while !scanning.step(u64::MAX)? {}
    Ok(scanning.finish())
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
pub fn recover_segment(root: &Root, path: &Path) -> Result<Scan, EngineError> {
    let file = root.open(path, OFlags::RDWR).map_err(at("open", path))?;
    // After a failed sync the cache may hold, as clean, what the disk does not: a scan reads the disk.
    let (mut found, mut file) = scan(file, path)?;
    let Some(draft) = found.draft.take() else { return Ok(found) };
    let mut seal = Vec::new();
    draft.seal(None, &mut seal);
    file.set_len(found.whole_bytes).map_err(at("truncate", path))?;
    steps::write_all_at(&file, &[&seal], found.whole_bytes).map_err(at("seal", path))?;
    // Also gives back the blocks that were reserved behind the end.
    file.set_len(found.whole_bytes + seal.len() as u64).map_err(at("truncate", path))?;
    file.sync_data().map_err(at("sync", path))?;
    file.rewind().map_err(at("read", path))?;
    Ok(scan(file, path)?.0)
}

/// Renames without replacing and makes it durable. The target's directory is created.
pub fn rename_durable(root: &Root, from: &Path, to: &Path) -> Result<(), EngineError> {
    let rename = root.rename(from, to).map_err(at("create-directory", to))?;
    rename.act().map_err(at("rename", to))?;
    rename.sync().map_err(at("sync-directory", to))
}

/// Removes a file, absent or not, and makes that durable; with `prune_directory` its directory too, if that is empty now.
pub fn remove_durable(root: &Root, path: &Path, prune_directory: bool) -> Result<(), EngineError> {
    let directory = match root.directory_of(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(at("unlink", path))?,
    };
    match name_of(path).map(|name| unlinkat(&directory, name, AtFlags::empty())).map_err(at("unlink", path))? {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(at("unlink", path)(error.into())),
    }
    if let Some(emptied) = path.parent().filter(|parent| prune_directory && *parent != root.path()) {
        let above = root.directory_of(emptied).map_err(at("rmdir", emptied))?;
        match name_of(emptied).map(|name| unlinkat(&above, name, AtFlags::REMOVEDIR)).map_err(at("rmdir", emptied))? {
            Ok(()) => return fsync(&above).map_err(|error| at("sync-directory", emptied)(error.into())),
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT) => {}
            Err(error) => return Err(at("rmdir", emptied)(error.into())),
        }
    }
    fsync(&directory).map_err(|error| at("sync-directory", path)(error.into()))
}

/// Appends a line, ending it if it is not, and makes it durable; creates file and directory.
/// A torn line left by a power cut is ended first, so that it spoils itself only.
pub fn append_durable(root: &Root, path: &Path, line: &str) -> Result<(), EngineError> {
    let flags = OFlags::RDWR | OFlags::APPEND;
    let (mut file, created_in) = match root.open(path, flags) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory = root.create_directory_of(path).map_err(at("create-directory", path))?;
            (root.open_or_create(path, flags).map_err(at("open", path))?, Some(directory))
        }
        opened => (opened.map_err(at("open", path))?, None),
    };
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
    created_in.map_or(Ok(()), |directory| fsync(&directory).map_err(|error| at("sync-directory", path)(error.into())))
}

/// Bytes available to this user, and bytes in total, of the file system a root is on.
pub fn free_space(root: &Root) -> Result<(u64, u64), EngineError> {
    let space = rustix::fs::fstatvfs(root).map_err(|error| EngineError::file("statvfs", root.path(), error))?;
    Ok((space.f_bavail.saturating_mul(space.f_frsize), space.f_blocks.saturating_mul(space.f_frsize)))
}
