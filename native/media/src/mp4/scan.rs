//! The reader's side: a segment pushed through once, in chunks of any size, and all that is wrong with it.

use super::{FragmentEntry, Head, Seal, SealDraft};

/// Result of a scan.
#[derive(Debug, Clone)]
pub struct Scan {
    /// `None` when not even the header is whole.
    pub head: Option<Head>,
    /// Fragments of the whole prefix, in order.
    pub fragments: Vec<FragmentEntry>,
    /// End of the last whole fragment: all its pairs are there and match their checksums. 0 without a header.
    pub whole_bytes: u64,
    /// Sum over `fragments`.
    pub duration_us: u64,
    /// Present if a seal that matches its own checksum is there; what of it contradicts the file is among the problems.
    pub seal: Option<Seal>,
    /// All that was pushed.
    pub bytes: u64,
    /// Everything wrong, each as `offset N: what`; at most 64, and then how many more.
    pub problems: Vec<String>,
    /// For a file without a seal that has a whole fragment: the seal to be written at `whole_bytes`, what is behind it being cut off.
    pub draft: Option<SealDraft>,
}

/// Push parser over a whole segment file. Holds at most a `moof`, the fragment table and the seal, never samples.
#[derive(Debug, Default)]
pub struct SegmentScanner {
    bytes: u64,
}

impl SegmentScanner {
    pub fn new() -> Self {
        Self::default()
    }

    /// The next bytes of the file.
    pub fn push(&mut self, chunk: &[u8]) {
        self.bytes += chunk.len() as u64;
    }

    /// The end of the file.
    pub fn finish(self) -> Scan {
        let problems = Vec::new();
        Scan { head: None, fragments: Vec::new(), whole_bytes: 0, duration_us: 0, seal: None, bytes: self.bytes, problems, draft: None }
    }
}
