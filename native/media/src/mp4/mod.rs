//! Fragmented MP4 as segments are stored: `ftyp moov`, then fragments of one `moof mdat` pair per track, then the seal.
//!
//! Layouts, invariants and reasons are in the README beside this file. Nothing here does I/O: the writer's side
//! ([`SegmentState`]) hands out bytes to be written, the reader's side ([`SegmentScanner`], [`read_head`], [`read_seal`]) is given bytes.

mod boxes;
mod crc;
mod fragment;
mod head;
mod identity;
mod init;
mod scan;
mod seal;
mod segment;
mod sps;
#[cfg(test)]
mod tests;

pub use fragment::{PairRanges, write_live};
pub use head::{Head, HeadRead, HeadTrack, read_head};
pub use init::write_init;
pub use scan::{Scan, SegmentScanner};
pub use seal::{FragmentEntry, Seal, SealDraft, SealRead, SealedSummary, read_seal};
pub use segment::SegmentState;
pub use sps::dimensions;

/// Tracks of a segment at most.
pub const MAX_TRACKS: usize = 8;
/// Bytes of `ftyp moov` at most; a reader needs no larger prefix.
pub const MAX_INIT_BYTES: usize = 1 << 18;
/// Bytes of one `moof` at most: the memory a scan needs for it, about 65 000 samples.
pub const MAX_MOOF_BYTES: usize = 1 << 20;
/// Fragments of one segment at most, three days of one a second; bounds table and seal (16 MB).
pub const MAX_FRAGMENTS: usize = 1 << 18;

/// Why something cannot be written as, or read from, a segment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mp4Error {
    #[error("{observed} tracks where 1 to {MAX_TRACKS} can be stored")]
    TrackCount { observed: usize },
    #[error("track {track} ({codec}): {what}")]
    Track { track: usize, codec: &'static str, what: &'static str },
    #[error("identity: {field} is {observed} bytes long, at most {allowed} can be stored")]
    IdentityField { field: &'static str, observed: usize, allowed: usize },
    #[error("header of {observed} bytes is over {MAX_INIT_BYTES}")]
    InitTooLarge { observed: usize },
    #[error("fragment {fragment}: {what}")]
    Fragment { fragment: usize, what: &'static str },
    #[error("not a segment of this recorder: {what}")]
    Foreign { what: &'static str },
    #[error("offset {offset}: {what}")]
    Damaged { offset: u64, what: &'static str },
    #[error("{what} has version {observed}, known is {known}")]
    Version { what: &'static str, observed: u8, known: u8 },
}
