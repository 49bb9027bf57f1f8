//! Scans of segment files that go on piece by piece, at the pace of the caller. Each step blocks and belongs on a worker thread.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use easyrms_media::mp4::{Scan, SegmentScanner};

use crate::error::EngineError;
use crate::ids;
use crate::writer::steps;

/// What is read at a time.
const CHUNK_BYTES: usize = 256 << 10;
/// Scans that may be open: each holds a file and a table of its fragments.
const MAX_OPEN: usize = 16;

/// Scans that are open, by their ids.
static OPEN: Mutex<BTreeMap<u32, Arc<Mutex<Scanning>>>> = Mutex::new(BTreeMap::new());

fn open_scans() -> MutexGuard<'static, BTreeMap<u32, Arc<Mutex<Scanning>>>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file on its way through the scanner.
#[derive(Debug)]
pub(crate) struct Scanning {
    file: File,
    path: PathBuf,
    scanner: SegmentScanner,
    chunk: Vec<u8>,
}

impl Scanning {
    /// Reads from where the file stands, and what is on the disk: what the cache holds of it is given up first.
    pub(crate) fn new(file: File, path: &Path) -> Self {
        steps::drop_cache(&file, 0);
        Self { file, path: path.to_owned(), scanner: SegmentScanner::new(), chunk: vec![0; CHUNK_BYTES] }
    }

    /// Reads about so many bytes more. True at the end of the file.
    pub(crate) fn step(&mut self, bytes: u64) -> Result<bool, EngineError> {
        let mut read: u64 = 0;
        let ended = loop {
            match self.file.read(&mut self.chunk) {
                Ok(0) => break true,
                Ok(count) => {
                    self.scanner.push(self.chunk.get(..count).unwrap_or_default());
                    read += count as u64;
                    if read >= bytes {
                        break false;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(EngineError::file("read", &self.path, error)),
            }
        };
        // What is read once must not push out what viewers read again and again.
        steps::drop_cache(&self.file, 0);
        Ok(ended)
    }

    /// All that was found, and the file.
    pub(crate) fn finish(self) -> (Scan, File) {
        (self.scanner.finish(), self.file)
    }
}

/// Begins a scan. Returns its id in this process.
pub fn open(path: &Path) -> Result<u32, EngineError> {
    let file = open_quietly(path).map_err(|error| EngineError::file("open", path, error))?;
    let mut open = open_scans();
    if open.len() >= MAX_OPEN {
        return Err(EngineError::Internal(format!("{MAX_OPEN} scans are open already")));
    }
    let number = ids::next();
    open.insert(number, Arc::new(Mutex::new(Scanning::new(file, path))));
    Ok(number)
}

/// Without noting the time of access, which would cost a write of each file that is read; allowed to its owner only.
fn open_quietly(path: &Path) -> io::Result<File> {
    match OpenOptions::new().read(true).custom_flags(libc::O_NOATIME).open(path) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => File::open(path),
        opened => opened,
    }
}

/// Reads about `bytes` more. At the end of the file the scan is over and its result is returned; after an error it is over as well.
pub fn step(scan: u32, bytes: u64) -> Result<Option<Scan>, EngineError> {
    let scanning = open_scans().get(&scan).map(Arc::clone);
    let scanning = scanning.ok_or_else(|| EngineError::Misuse(format!("scan {scan} is not open")))?;
    let ended = scanning.lock().unwrap_or_else(PoisonError::into_inner).step(bytes);
    if matches!(ended, Ok(false)) {
        return Ok(None);
    }
    open_scans().remove(&scan);
    ended?;
    let scanning = Arc::into_inner(scanning).ok_or_else(|| EngineError::Misuse(format!("scan {scan} is stepped twice at once")))?;
    Ok(Some(scanning.into_inner().unwrap_or_else(PoisonError::into_inner).finish().0))
}

/// Gives a scan up; one that is over is passed over.
pub fn close(scan: u32) {
    open_scans().remove(&scan);
}
