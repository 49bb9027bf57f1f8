//! Errors of orders and file steps, each with the stable code that TypeScript acts on.

use std::io;
use std::path::{Path, PathBuf};

/// Why an order was refused or a file step failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A call that a correct caller never makes.
    #[error("{0}")]
    Misuse(String),
    /// A value that no camera, store or plan could mean.
    #[error("{0}")]
    Input(String),
    /// A bound of the engine itself.
    #[error("{0}")]
    Internal(String),
    #[error("{step} of {}: {source}", path.display())]
    File { step: &'static str, path: PathBuf, source: io::Error },
    #[error("{}: {what}", path.display())]
    Damaged { path: PathBuf, what: String },
    /// A storage root that is not there, or is not the one it is taken for.
    #[error("{0}")]
    Unavailable(String),
}

impl EngineError {
    /// Ties a failed system call to its step and file.
    pub(crate) fn file(step: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::File { step, path: path.to_owned(), source: source.into() }
    }

    /// An `ErrorCode` of `src/base/errors.ts`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Misuse(_) => "ENGINE_MISUSE",
            Self::Input(_) => "INPUT_INVALID",
            Self::Internal(_) => "INTERNAL",
            Self::Damaged { .. } => "SEGMENT_DAMAGED",
            Self::Unavailable(_) => "ROOT_UNAVAILABLE",
            Self::File { source, .. } if source.kind() == io::ErrorKind::InvalidInput && source.raw_os_error().is_none() => "INPUT_INVALID",
            Self::File { source, .. } => match source.raw_os_error().unwrap_or(0) {
                libc::ENOSPC | libc::EDQUOT => "DISK_FULL",
                libc::EIO
                | libc::EROFS
                | libc::ENODEV
                | libc::ENXIO
                | libc::ESTALE
                | libc::ENOTCONN
                | libc::EUCLEAN
                | libc::EREMOTEIO
                | libc::ENOMEDIUM
                | libc::ETIMEDOUT => "DISK_FAULT",
                libc::ENOENT | libc::ENOTDIR => "NOT_FOUND",
                libc::EEXIST | libc::ENOTEMPTY => "CONFLICT",
                libc::EACCES | libc::EPERM => "PERMISSION_DENIED",
                _ => "INTERNAL",
            },
        }
    }
}
