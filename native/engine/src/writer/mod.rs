//! One writer thread per storage root: segment files grow by whole fragments, are synced as a group, sealed and renamed.

mod file;
mod progress;
mod thread;

pub mod steps;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::facts::{SegmentEnd, SegmentName};
use crate::ring::Item;
use crate::stream::StreamShared;
use crate::ticket::{SegmentTicket, format_uuid};

pub use progress::Progress;
pub use thread::{WriterOptions, spawn};

/// What a segment is known by outside the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentKey {
    pub run: [u8; 16],
    pub sequence: u32,
}

impl SegmentKey {
    pub fn name(self, stream: u32) -> SegmentName {
        SegmentName { stream, run: format_uuid(self.run), sequence: self.sequence }
    }
}

/// What a writer is told, in order.
#[derive(Debug)]
pub enum WriterOrder {
    /// Create the file and write header and first fragment.
    Open {
        stream: Arc<StreamShared>,
        ticket: Box<SegmentTicket>,
        item: Item,
    },
    Append {
        key: SegmentKey,
        item: Item,
    },
    /// No more fragments.
    End {
        key: SegmentKey,
        reason: SegmentEnd,
    },
    /// Give back the fragments of a failed segment.
    Reclaim {
        stream: u32,
        key: SegmentKey,
    },
    /// Steps of the close procedure.
    Finish {
        key: SegmentKey,
        final_path: PathBuf,
    },
    /// End what is open, sync, and return.
    Shutdown,
    /// The root is gone: give everything up that was not closed, give back what is not durable, and return.
    Abandon,
}

/// What a writer tells the network thread.
#[derive(Debug)]
pub enum WriterReport {
    /// The segment was given up; its fragments wait to be reclaimed.
    Failed {
        stream: u32,
        key: SegmentKey,
        root: u32,
    },
    Reclaimed {
        stream: u32,
        key: SegmentKey,
        items: Vec<Item>,
    },
}

/// The way to a writer. Bounded by its senders: fragments by each stream's `queue_bytes`, the rest by tickets and finishes,
/// of which there are at most as many as segments.
#[derive(Debug, Default)]
pub struct Inbox {
    orders: Mutex<VecDeque<WriterOrder>>,
    arrived: Condvar,
}

impl Inbox {
    pub fn send(&self, order: WriterOrder) {
        self.lock().push_back(order);
        self.arrived.notify_one();
    }

    /// Everything that came, waiting for it until `deadline`.
    fn take(&self, deadline: Option<Instant>) -> VecDeque<WriterOrder> {
        let mut orders = self.lock();
        while orders.is_empty() {
            orders = match deadline {
                None => self.arrived.wait(orders).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    self.arrived.wait_timeout(orders, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        std::mem::take(&mut orders)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<WriterOrder>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
