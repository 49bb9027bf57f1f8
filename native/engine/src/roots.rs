//! Storage roots of this process: recognised by the marker in them, opened once, and used by file steps and writers alike.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, OFlags, RenameFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::EngineError;
use crate::ids;
use crate::root::Root;

const MARKER: &str = ".easyrms-root";
const NEW_MARKER: &str = ".easyrms-root.new";
const LOCK: &str = ".easyrms-lock";
const PROBE: &str = ".easyrms-probe";
/// A marker is a line of some hundred bytes.
const MAX_MARKER_BYTES: u64 = 4096;
const PROBE_BYTES: usize = 512;

/// What a disk is known by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    v: u32,
    /// UUID text.
    pub id: String,
    /// Of the box that made it.
    pub serial: String,
}

/// What a path leads to. Numbers of file systems and directories are those of `stat`: valid until the next mount.
#[derive(Debug)]
pub struct Inspection {
    /// Of the directory, or of the nearest one above it that is there.
    pub file_system: u64,
    /// `None` where there is no directory.
    pub directory: Option<u64>,
    /// Where this file system begins: the shortest path above, from which on everything is on it.
    pub mount_point: PathBuf,
    pub marker: Option<Marker>,
}

/// Roots that are open, by their ids.
static OPEN: Mutex<BTreeMap<u32, Arc<Open>>> = Mutex::new(BTreeMap::new());

#[derive(Debug)]
struct Open {
    root: Arc<Root>,
    /// Of the marker.
    id: String,
    file_system: u64,
    directory: u64,
}

fn open_roots() -> MutexGuard<'static, BTreeMap<u32, Arc<Open>>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn at(step: &'static str, path: &Path) -> impl Fn(io::Error) -> EngineError {
    let path = path.to_owned();
    move |error| EngineError::file(step, &path, error)
}

/// Looks at a path without changing anything.
pub fn inspect(path: &Path) -> Result<Inspection, EngineError> {
    let root = match Root::at(path) {
        Ok(root) => Some(root),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(at("open-root", path)(error)),
    };
    let (file_system, directory) = match &root {
        Some(root) => numbers(root).map(|(file_system, directory)| (file_system, Some(directory))),
        None => nearest_file_system(path).map(|file_system| (file_system, None)),
    }
    .map_err(at("open-root", path))?;
    let marker = root.as_ref().map(read_marker).transpose()?.flatten();
    Ok(Inspection { file_system, directory, mount_point: mount_point(path, file_system), marker })
}

/// Makes a directory a root: writes its marker durably. Refused where the directory is not the one that was inspected, or has a marker.
pub fn adopt(path: &Path, inspected: &Inspection, id: &str, serial: &str) -> Result<(), EngineError> {
    let root = Root::at(path).map_err(at("open-root", path))?;
    let (file_system, directory) = numbers(&root).map_err(at("open-root", path))?;
    if (file_system, Some(directory)) != (inspected.file_system, inspected.directory) {
        return Err(EngineError::Unavailable(format!("{} is another directory by now", path.display())));
    }
    if read_marker(&root)?.is_some() {
        return Err(EngineError::file("adopt", path, Errno::EXIST));
    }
    let text = serde_json::to_string(&Marker { v: 1, id: id.to_owned(), serial: serial.to_owned() })
        .map_err(|error| EngineError::Internal(format!("marker: {error}")))?;
    let step = at("adopt", path);
    let mut file = root.open_or_create(&path.join(NEW_MARKER), OFlags::WRONLY | OFlags::TRUNC).map_err(&step)?;
    file.write_all(format!("{text}\n").as_bytes()).map_err(&step)?;
    file.sync_all().map_err(&step)?;
    let renamed = match rustix::fs::renameat_with(&root, NEW_MARKER, &root, MARKER, RenameFlags::NOREPLACE) {
        // One that cannot be understood.
        Err(Errno::EXIST) if read_marker(&root)?.is_none() => rustix::fs::renameat(&root, NEW_MARKER, &root, MARKER),
        renamed => renamed,
    };
    renamed.map_err(|error| step(error.into()))?;
    rustix::fs::fsync(&root).map_err(|error| step(error.into()))
}

/// Opens a root, which must have the marker of this id; makes the empty file it is locked by if that is missing. Returns its id in this process.
pub fn open(path: &Path, id: &str) -> Result<u32, EngineError> {
    let root = Root::at(path).map_err(at("open-root", path))?;
    expect_marker(&root, id)?;
    let (file_system, directory) = numbers(&root).map_err(at("open-root", path))?;
    match root.touch(LOCK) {
        // A disk that takes no writes can be read from all the same.
        Err(error) if error.raw_os_error() != Some(libc::EROFS) => return Err(at("open-root", path)(error)),
        _ => {}
    }
    let number = ids::next();
    open_roots().insert(number, Arc::new(Open { root: Arc::new(root), id: id.to_owned(), file_system, directory }));
    Ok(number)
}

/// Lets go of a root. Writers that work on it keep it until they end.
pub fn close(root: u32) -> Result<(), EngineError> {
    match open_roots().remove(&root) {
        None if root == 0 || root >= ids::unused() => Err(EngineError::Misuse(format!("root {root} was never opened"))),
        _ => Ok(()),
    }
}

/// An open root by its id.
pub fn get(root: u32) -> Result<Arc<Root>, EngineError> {
    find(root).map(|open| Arc::clone(&open.root))
}

/// Whether the root's path still leads to it, and it still has its marker.
pub fn check(root: u32) -> Result<(), EngineError> {
    let open = find(root)?;
    let path = open.root.path();
    let gone = |what: String| EngineError::Unavailable(format!("{}: {what}", path.display()));
    let found = std::fs::metadata(path).map_err(|error| gone(error.to_string()))?;
    if (found.dev(), found.ino()) != (open.file_system, open.directory) {
        return Err(gone("another directory has taken its place".to_owned()));
    }
    expect_marker(&open.root, &open.id)
}

/// Whether a root takes writes: a small file is written, synced and removed. A full disk is no failure.
pub fn test(root: u32) -> Result<(), EngineError> {
    let root = get(root)?;
    let step = |name: &'static str| at(name, root.path());
    let result = (|| {
        let mut file = root.open_or_create(&root.path().join(PROBE), OFlags::WRONLY | OFlags::TRUNC).map_err(step("open"))?;
        file.write_all(&[0; PROBE_BYTES]).map_err(step("append"))?;
        file.sync_data().map_err(step("sync"))
    })();
    // Best effort: the next one overwrites it.
    let _ = rustix::fs::unlinkat(&*root, PROBE, AtFlags::empty());
    result.or_else(|error: EngineError| if error.code() == "DISK_FULL" { Ok(()) } else { Err(error) })
}

fn find(root: u32) -> Result<Arc<Open>, EngineError> {
    open_roots().get(&root).cloned().ok_or_else(|| {
        if root == 0 || root >= ids::unused() {
            EngineError::Misuse(format!("root {root} was never opened"))
        } else {
            EngineError::Unavailable(format!("root {root} is closed"))
        }
    })
}

fn expect_marker(root: &Root, id: &str) -> Result<(), EngineError> {
    let found = read_marker(root)?;
    if found.as_ref().is_some_and(|marker| marker.id == id) {
        return Ok(());
    }
    let observed = found.map_or_else(|| "no marker".to_owned(), |marker| format!("the marker of {}", marker.id));
    Err(EngineError::Unavailable(format!("{} has {observed}, expected is {id}", root.path().display())))
}

/// `None` for a marker that is missing, and for one that cannot be understood.
fn read_marker(root: &Root) -> Result<Option<Marker>, EngineError> {
    let path = root.path().join(MARKER);
    let mut text = Vec::new();
    match root.open(&path, OFlags::RDONLY | OFlags::NOFOLLOW) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(at("open", &path))?.take(MAX_MARKER_BYTES).read_to_end(&mut text).map_err(at("read", &path))?,
    };
    Ok(serde_json::from_slice(&text).ok())
}

/// File system and inode of an open root.
fn numbers(root: &Root) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::fstat(root)?;
    Ok((stat.st_dev, stat.st_ino))
}

fn nearest_file_system(path: &Path) -> io::Result<u64> {
    for above in path.ancestors() {
        match std::fs::metadata(above) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            found => return Ok(found?.dev()),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

fn mount_point(path: &Path, file_system: u64) -> PathBuf {
    let same = |above: &&Path| std::fs::metadata(above).map_or(true, |found| found.dev() == file_system);
    path.ancestors().take_while(same).last().unwrap_or(path).to_owned()
}
