//! A storage root as a directory that was opened once: every step that changes something on it goes through this descriptor, so that
//! nothing is ever written where another file system has come to lie under the same path.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

/// What the umask leaves of these is what files and directories get.
const FILE_MODE: Mode = Mode::from_raw_mode(0o666);
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o777);

/// A root that was found by its path and is known by its descriptor from then on. Paths given to its methods are absolute and begin with the
/// root's own; links in them are followed within the root only.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    directory: OwnedFd,
}

impl Root {
    /// Opens the directory at `path`, whatever it is.
    pub fn at(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { path: path.to_owned(), directory: rustix::fs::open(path, flags, Mode::empty())? })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a file that exists.
    pub fn open(&self, path: &Path, flags: OFlags) -> io::Result<File> {
        self.open_beneath(self.below(path)?, flags, Mode::empty()).map(File::from)
    }

    /// Opens a file, creating it if it is missing; its directory must exist.
    pub fn open_or_create(&self, path: &Path, flags: OFlags) -> io::Result<File> {
        self.open_beneath(self.below(path)?, flags | OFlags::CREATE, FILE_MODE).map(File::from)
    }

    /// Creates a file that must not exist yet; its directory must.
    pub fn create_new(&self, path: &Path) -> io::Result<File> {
        self.open_or_create(path, OFlags::RDWR | OFlags::EXCL)
    }

    /// The directory a file is in.
    pub fn directory_of(&self, path: &Path) -> io::Result<OwnedFd> {
        self.open_directory(parent_of(self.below(path)?)?)
    }

    /// The same; what is missing of it is created, each directory made durable in its parent.
    pub fn create_directory_of(&self, path: &Path) -> io::Result<OwnedFd> {
        self.create_directory(parent_of(self.below(path)?)?)
    }

    /// Opens the directories of a rename, creating the target's.
    pub fn rename<'a>(&self, from: &'a Path, to: &'a Path) -> io::Result<Rename<'a>> {
        let target = self.create_directory_of(to)?;
        let source = if from.parent() == to.parent() { None } else { Some(self.directory_of(from)?) };
        Ok(Rename { source, target, from: name_of(from)?, to: name_of(to)? })
    }

    /// Makes an empty file unless something of that name is there. No descriptor of it is ever opened.
    pub fn touch(&self, name: &str) -> io::Result<()> {
        match rustix::fs::mknodat(&self.directory, name, FileType::RegularFile, FILE_MODE, 0) {
            Err(Errno::EXIST) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn create_directory(&self, below: &Path) -> io::Result<OwnedFd> {
        match self.open_directory(below) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && below.file_name().is_some() => {}
            opened => return opened,
        }
        let parent = self.create_directory(parent_of(below)?)?;
        match rustix::fs::mkdirat(&parent, name_of(below)?, DIRECTORY_MODE) {
            Ok(()) => rustix::fs::fsync(&parent)?,
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        self.open_directory(below)
    }

    fn open_directory(&self, below: &Path) -> io::Result<OwnedFd> {
        let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
        self.open_beneath(below, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
    }

    fn open_beneath(&self, below: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        match rustix::fs::openat2(&self.directory, below, flags, mode, ResolveFlags::BENEATH) {
            // Linux before 5.6 and some sandboxes do not have it; then at least the last name is not followed.
            Err(Errno::NOSYS | Errno::PERM) => Ok(rustix::fs::openat(&self.directory, below, flags | OFlags::NOFOLLOW, mode)?),
            opened => Ok(opened?),
        }
    }

    /// The path relative to the root.
    fn below<'a>(&self, path: &'a Path) -> io::Result<&'a Path> {
        path.strip_prefix(&self.path)
            .ok()
            .filter(|below| below.file_name().is_some() && below.components().all(|part| matches!(part, Component::Normal(_))))
            .ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidInput, format!("{} is not below the root {}", path.display(), self.path.display()))
            })
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> rustix::fd::BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// A rename whose directories are open. First [`Rename::act`], then [`Rename::sync`].
#[derive(Debug)]
pub struct Rename<'a> {
    /// `None`: the same as the target.
    source: Option<OwnedFd>,
    target: OwnedFd,
    from: &'a OsStr,
    to: &'a OsStr,
}

impl Rename<'_> {
    /// Fails with `EEXIST` instead of replacing.
    pub fn act(&self) -> io::Result<()> {
        let source = self.source.as_ref().unwrap_or(&self.target);
        Ok(rustix::fs::renameat_with(source, self.from, &self.target, self.to, RenameFlags::NOREPLACE)?)
    }

    /// Makes it durable.
    pub fn sync(&self) -> io::Result<()> {
        rustix::fs::fsync(&self.target)?;
        Ok(self.source.as_ref().map_or(Ok(()), rustix::fs::fsync)?)
    }
}

fn parent_of(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("{} is in no directory", path.display())))
}

/// The last name of a path.
pub fn name_of(path: &Path) -> io::Result<&OsStr> {
    path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("{} has no name", path.display())))
}
