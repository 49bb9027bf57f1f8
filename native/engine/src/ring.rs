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
    /// Payload.
    pub fn bytes(&self) -> u64 {
        self.fragment.bytes() as u64
    }

    /// What it holds in memory; limits are of this.
    pub fn memory_bytes(&self) -> u64 {
        (size_of::<Self>() + self.fragment.memory_bytes()) as u64
    }

    /// UTC of the fragment's end, milliseconds.
    pub fn end_utc_ms(&self) -> i64 {
        self.fragment.start_utc_ms + self.fragment.duration_us.max(0) / 1000
    }
}

/// Bounded by time and memory. Trimmed by whole GOPs, so that its first fragment is a random access point whenever it holds one.
/// A push costs no more where there are many fragments.
#[derive(Debug)]
pub struct Ring {
    items: VecDeque<Item>,
    /// Of `items`, each from a random access point up to the next.
    gops: VecDeque<Gop>,
    bytes: u64,
    duration_us: i64,
    max_us: i64,
    max_bytes: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Gop {
    fragments: usize,
    duration_us: i64,
}

impl Ring {
    /// `max_bytes` of memory; see [`Item::memory_bytes`].
    pub fn new(max_ms: u32, max_bytes: u64) -> Self {
        Self { items: VecDeque::new(), gops: VecDeque::new(), bytes: 0, duration_us: 0, max_us: i64::from(max_ms) * 1000, max_bytes }
    }

    pub fn push(&mut self, item: Item) {
        let duration_us = item.fragment.duration_us.max(0);
        self.bytes += item.memory_bytes();
        self.duration_us = self.duration_us.saturating_add(duration_us);
        if item.fragment.random_access || self.gops.is_empty() {
            self.gops.push_back(Gop::default());
        }
        if let Some(newest) = self.gops.back_mut() {
            newest.fragments += 1;
            newest.duration_us = newest.duration_us.saturating_add(duration_us);
        }
        self.items.push_back(item);
        while let Some(oldest) = self.gops.front().copied().filter(|_| self.gops.len() > 1) {
            if self.bytes <= self.max_bytes && self.duration_us - oldest.duration_us < self.max_us {
                break;
            }
            for _ in 0..oldest.fragments {
                self.drop_front();
            }
            self.gops.pop_front();
        }
        // One GOP over the limit: nothing in it can be decoded from here on anyway, but a tap that follows wants the newest.
        while self.bytes > self.max_bytes && self.items.len() > 1 {
            self.drop_front();
        }
    }

    /// Takes the oldest fragment away, also from its GOP.
    fn drop_front(&mut self) {
        let Some(item) = self.items.pop_front() else { return };
        let duration_us = item.fragment.duration_us.max(0);
        self.bytes -= item.memory_bytes();
        self.duration_us -= duration_us;
        if let Some(oldest) = self.gops.front_mut() {
            oldest.fragments -= 1;
            oldest.duration_us -= duration_us;
        }
    }

    /// Memory the fragments hold.
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

    /// The fragments of a run from the last random access point before `sequence` up to there; none if one of them is missing.
    pub fn lead_in(&self, run: u64, sequence: u64) -> Vec<Item> {
        let mut items = Vec::new();
        for item in self.items.iter().rev().skip_while(|item| item.fragment.sequence >= sequence) {
            if item.run != run || item.fragment.sequence + items.len() as u64 + 1 != sequence {
                break;
            }
            items.push(item.clone());
            if item.fragment.random_access {
                items.reverse();
                return items;
            }
            if item.discontinuity.is_some() {
                break;
            }
        }
        Vec::new()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{item, item_of};

    fn sequences(ring: &Ring) -> Vec<u64> {
        ring.items.iter().map(|item| item.fragment.sequence).collect()
    }

    #[test]
    fn whole_gops_leave_once_the_rest_is_long_enough() {
        let mut ring = Ring::new(3000, 1 << 20);
        for sequence in 0..7 {
            ring.push(item(sequence, 1000));
        }
        assert_eq!(sequences(&ring), [4, 5, 6]);
        ring.push(item(7, 1000));
        assert_eq!(sequences(&ring), [4, 5, 6, 7], "without 4 and 5 there would be less than 3 s");
    }

    #[test]
    fn bytes_count_more_than_time() {
        let each = item(0, 1000).memory_bytes();
        let mut ring = Ring::new(60_000, 4 * each);
        for sequence in 0..7 {
            ring.push(item(sequence, 1000));
        }
        assert_eq!(sequences(&ring), [4, 5, 6]);
        assert_eq!(ring.bytes(), 3 * each);
        for sequence in 7..20 {
            ring.push(item_of(sequence, 1000, false, None));
        }
        assert_eq!(sequences(&ring), [16, 17, 18, 19], "one GOP that is larger loses its oldest fragments");
        for sequence in 20..23 {
            ring.push(item_of(sequence, 1000, true, None));
        }
        assert_eq!(sequences(&ring), [20, 21, 22]);
    }

    #[test]
    fn a_lead_in_is_whole_or_nothing() {
        let mut ring = Ring::new(5000, 1 << 20);
        for sequence in 0..9 {
            ring.push(item_of(sequence, 1000, sequence.is_multiple_of(4), None));
        }
        let led = |run, sequence| ring.lead_in(run, sequence).iter().map(|item| item.fragment.sequence).collect::<Vec<_>>();
        assert_eq!(led(0, 7), [4, 5, 6]);
        assert_eq!(led(0, 10), [] as [u64; 0], "9 is missing");
        assert_eq!(led(1, 7), [] as [u64; 0], "of another run");
        assert_eq!(led(0, 4), [] as [u64; 0], "the ring begins there");
    }

    #[test]
    fn a_flood_of_tiny_fragments_is_bounded_and_cheap() {
        let mut ring = Ring::new(u32::MAX, 1 << 20);
        let tiny = item_of(0, 24 * 8 + 1, true, None);
        let started = std::time::Instant::now();
        for _ in 0..200_000 {
            ring.push(tiny.clone());
        }
        assert!(ring.fragments() <= 2048, "{} fragments in 1 MiB", ring.fragments());
        assert!(started.elapsed().as_secs() < 2, "{:?}", started.elapsed());
    }
}
