//! Ids that are never reused in a process, over engines as well: an order for something that is gone reaches nothing newer.

use std::sync::atomic::{AtomicU32, Ordering};

static NEXT: AtomicU32 = AtomicU32::new(1);

pub fn next() -> u32 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Ids from here on were not given out yet.
pub fn unused() -> u32 {
    NEXT.load(Ordering::Relaxed)
}
