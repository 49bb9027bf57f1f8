//! What of a stream is shared by JavaScript's thread, the network thread and the writers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use easyrms_media::fragment::Fragment;

use crate::ring::Ring;
use crate::stats::{Page, StreamSlot};

/// Limits of a stream; see `StreamOptions` in `src/engine/types.ts`.
#[derive(Debug, Clone, Copy)]
pub struct StreamOptions {
    pub fragment_ms: u32,
    pub ring_ms: u32,
    pub ring_bytes: u64,
    pub queue_bytes: u64,
}

impl StreamOptions {
    /// By how much a fragment is shorter than it could be.
    pub fn missing_in(&self, fragment: &Fragment) -> Duration {
        let length_us = u64::try_from(fragment.duration_us).unwrap_or(0);
        Duration::from_micros((u64::from(self.fragment_ms) * 1000).saturating_sub(length_us))
    }
}

/// The BLAKE3 of a run's newest sealed segment, which the next one's seal repeats.
#[derive(Debug, Clone, Copy)]
pub struct ChainLink {
    pub run: [u8; 16],
    pub sequence: u32,
    pub blake3: [u8; 32],
}

/// Shared part of a stream. Both locks are held for a handful of instructions: a push, a copy of references.
#[derive(Debug)]
pub struct StreamShared {
    pub id: u32,
    pub options: StreamOptions,
    pub stats: Page<StreamSlot>,
    ring: Mutex<Ring>,
    chain: Mutex<Option<ChainLink>>,
    /// Memory of the fragments with a writer that are not durable yet.
    in_flight_bytes: AtomicU64,
}

impl StreamShared {
    pub fn new(id: u32, options: StreamOptions) -> Self {
        Self {
            id,
            options,
            stats: Page::default(),
            ring: Mutex::new(Ring::new(options.ring_ms, options.ring_bytes)),
            chain: Mutex::new(None),
            in_flight_bytes: AtomicU64::new(0),
        }
    }

    pub fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a sealed segment; one sealed out of order does not replace a newer one.
    pub fn set_chain(&self, link: ChainLink) {
        let mut chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        if chain.is_none_or(|known| known.run != link.run || known.sequence < link.sequence) {
            *chain = Some(link);
        }
    }

    /// BLAKE3 of the segment just before (`run`, `sequence`), if it was the last one sealed.
    pub fn chain_before(&self, run: [u8; 16], sequence: u32) -> Option<[u8; 32]> {
        let chain = *self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        chain.filter(|link| link.run == run && sequence.checked_sub(1) == Some(link.sequence)).map(|link| link.blake3)
    }

    pub fn in_flight_bytes(&self) -> u64 {
        self.in_flight_bytes.load(Ordering::Acquire)
    }

    pub fn add_in_flight(&self, bytes: u64) {
        self.in_flight_bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    pub fn remove_in_flight(&self, bytes: u64) {
        self.in_flight_bytes.fetch_sub(bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::stream::StreamOptions;
    use crate::testing::{item, stream};

    #[test]
    fn only_what_is_shorter_than_a_whole_fragment_may_wait_longer() {
        let options = stream(1 << 20).options;
        // Of one second.
        let fragment = item(0, 1000).fragment;
        assert_eq!(options.missing_in(&fragment), Duration::ZERO);
        assert_eq!(StreamOptions { fragment_ms: 1600, ..options }.missing_in(&fragment), Duration::from_millis(600));
        assert_eq!(StreamOptions { fragment_ms: 500, ..options }.missing_in(&fragment), Duration::ZERO);
    }
}
