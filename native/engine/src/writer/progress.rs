//! What a writer is doing, for those who must know when it does nothing any more: a disk that hangs answers nobody.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock;
use crate::stats::{Page, WriterSlot};

/// Numbers of one writer, with the beginnings of what is in progress.
#[derive(Debug, Default)]
pub struct Progress {
    page: Page<WriterSlot>,
    /// `CLOCK_MONOTONIC` at which the step in progress began, microseconds; 0 between steps.
    step_since_us: AtomicU64,
    /// The same of the syncs in progress.
    sync_since_us: AtomicU64,
}

impl Progress {
    /// The next step begins.
    pub fn step(&self) {
        self.step_since_us.store(clock::mono_us(), Ordering::Relaxed);
    }

    /// Nothing is to be done.
    pub fn idle(&self) {
        self.step_since_us.store(0, Ordering::Relaxed);
    }

    /// Runs what makes files durable, and says how long that took, microseconds.
    pub fn syncing<T>(&self, work: impl FnOnce() -> T) -> (T, u64) {
        let began_us = clock::mono_us();
        self.sync_since_us.store(began_us, Ordering::Relaxed);
        let result = work();
        self.sync_since_us.store(0, Ordering::Relaxed);
        let took_us = clock::mono_us().saturating_sub(began_us);
        self.page.add(WriterSlot::Syncs, 1);
        self.page.raise(WriterSlot::SyncPeakUs, took_us);
        (result, took_us)
    }

    /// Copies the numbers as they are now.
    pub fn read(&self, out: &mut [f64]) {
        let now_us = clock::mono_us();
        let lasting = |since: &AtomicU64| match since.load(Ordering::Relaxed) {
            0 => 0,
            since_us => now_us.saturating_sub(since_us),
        };
        self.page.set(WriterSlot::StepUs, lasting(&self.step_since_us));
        self.page.set(WriterSlot::SyncUs, lasting(&self.sync_since_us));
        self.page.copy_to(out);
        self.page.set(WriterSlot::SyncPeakUs, 0);
    }
}
