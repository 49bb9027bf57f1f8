//! The RAM ring of a stream: its newest whole GOPs, for live taps and for recording that begins after the media.

use std::collections::VecDeque;
use std::sync::Arc;

use easyrms_media::fragment::{Discontinuity, Fragment};

/// A fragment with what the engine knows of it.
#[derive(Debug, Clone)]
pub struct Item {
    pub fragment: Arc<Fragment>,
    /// Host's monotonic clock at the fragment's first sample, milliseconds.
    pub start_mono_ms: u64,
    /// Which run of the stream, counted by the engine.
    pub run: u64,
    /// As the fragment says, or [`Discontinuity::Dropped`] where those before it were discarded later.
    pub discontinuity: Option<Discontinuity>,
}

impl Item {
    pub fn bytes(&self) -> u64 {
        self.fragment.bytes() as u64
    }

    /// UTC of the fragment's end, milliseconds.
    pub fn end_utc_ms(&self) -> i64 {
        self.fragment.start_utc_ms + self.fragment.duration_us.max(0) / 1000
    }
}

/// Bounded by time and bytes. Trimmed by whole GOPs, so that its first fragment is a random access point whenever it holds one.
#[derive(Debug)]
pub struct Ring {
    items: VecDeque<Item>,
    bytes: u64,
    max_us: i64,
    max_bytes: u64,
}

impl Ring {
    pub fn new(max_ms: u32, max_bytes: u64) -> Self {
        Self { items: VecDeque::new(), bytes: 0, max_us: i64::from(max_ms) * 1000, max_bytes }
    }

    pub fn push(&mut self, item: Item) {
        self.bytes += item.bytes();
        self.items.push_back(item);
        while let Some(gop) = self.first_gop() {
            let rest_us: i64 = self.items.iter().skip(gop).map(|item| item.fragment.duration_us).sum();
            if self.bytes <= self.max_bytes && rest_us < self.max_us {
                break;
            }
            self.drop_front(gop);
        }
        // One GOP over the limit: nothing in it can be decoded from here on anyway, but a tap that follows wants the newest.
        while self.bytes > self.max_bytes && self.items.len() > 1 {
            self.drop_front(1);
        }
    }

    /// Fragments before the second random access point; `None` where one GOP or less is all there is.
    fn first_gop(&self) -> Option<usize> {
        self.items.iter().skip(1).position(|item| item.fragment.random_access).map(|index| index + 1)
    }

    fn drop_front(&mut self, count: usize) {
        for item in self.items.drain(..count.min(self.items.len())) {
            self.bytes -= item.bytes();
        }
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn fragments(&self) -> usize {
        self.items.len()
    }

    /// Fragments of a run from the first random access point at or after `sequence` on.
    pub fn run_from(&self, run: u64, sequence: u64) -> impl Iterator<Item = &Item> {
        self.items
            .iter()
            .filter(move |item| item.run == run && item.fragment.sequence >= sequence)
            .skip_while(|item| !item.fragment.random_access)
    }

    /// For a tap: fragments from `sequence` on with one set of tracks, up to `max_bytes` but at least one.
    /// True if what was asked for has left the ring; then it starts with the oldest random access point.
    pub fn tap(&self, sequence: u64, max_bytes: usize) -> (Vec<Arc<Fragment>>, bool) {
        let lapped = self.items.front().is_some_and(|item| item.fragment.sequence > sequence);
        let from = self.items.iter().map(|item| &item.fragment).filter(|fragment| fragment.sequence >= sequence);
        let mut from = from.skip_while(|fragment| lapped && !fragment.random_access).peekable();
        let mut fragments = Vec::new();
        let mut bytes = 0;
        if let Some(first) = from.peek().copied() {
            for fragment in from.take_while(|fragment| fragment.tracks == first.tracks) {
                bytes += fragment.bytes();
                if bytes > max_bytes && !fragments.is_empty() {
                    break;
                }
                fragments.push(Arc::clone(fragment));
            }
        }
        (fragments, lapped)
    }
}
