//! Stats pages: numbers that JavaScript reads without waking anybody. The slot names are the contract; their order is exported.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! page {
    ($(#[$meta:meta])* $slot:ident, $names:ident: $($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $slot { $($(#[$doc])* $variant),+ }

        impl Slot for $slot {
            const NAMES: &'static [&'static str] = &[$($name),+];

            fn index(self) -> usize {
                self as usize
            }
        }

        /// Names of the slots, in order.
        pub const $names: &[&str] = <$slot as Slot>::NAMES;
    };
}

/// An index into a [`Page`].
pub trait Slot: Copy {
    const NAMES: &'static [&'static str];

    fn index(self) -> usize;
}

page! {
    /// Numbers of a stream since it was opened, over all its connections; gauges where the name says so.
    StreamSlot, STREAM_STATS:
    Packets = "packets",
    Bytes = "bytes",
    MalformedPackets = "malformed_packets",
    LostPackets = "lost_packets",
    DuplicatePackets = "duplicate_packets",
    IgnoredPackets = "ignored_packets",
    RtcpPackets = "rtcp_packets",
    SenderReports = "sender_reports",
    VideoUnits = "video_units",
    AudioUnits = "audio_units",
    RandomAccessUnits = "random_access_units",
    DiscardedUnits = "discarded_units",
    DiscardedBeforeStart = "discarded_before_start",
    TimeJumps = "time_jumps",
    Outliers = "outliers",
    VideoBytes = "video_bytes",
    AudioBytes = "audio_bytes",
    /// Of the run in progress, as are the six after it.
    FirstVideoTicks = "first_video_ticks",
    LastVideoTicks = "last_video_ticks",
    FirstVideoArrivalUs = "first_video_arrival_us",
    LastVideoArrivalUs = "last_video_arrival_us",
    LastGopTicks = "last_gop_ticks",
    JitterTicks = "jitter_ticks",
    LastMediaMonoMs = "last_media_mono_ms",
    Fragments = "fragments",
    RingFragments = "ring_fragments",
    RingBytes = "ring_bytes",
    QueueBytes = "queue_bytes",
    DroppedFragments = "dropped_fragments",
    DroppedBytes = "dropped_bytes",
    DurableFragments = "durable_fragments",
    DurableBytes = "durable_bytes",
    /// Of the newest segment file.
    SegmentBytes = "segment_bytes",
    SegmentAllocatedBytes = "segment_allocated_bytes",
}

page! {
    /// Numbers of the engine since its start; `connections`, `streams`, `queued_bytes` and `pooled_bytes` are gauges.
    EngineSlot, ENGINE_STATS:
    Ticks = "ticks",
    Wakeups = "wakeups",
    Callbacks = "callbacks",
    Facts = "facts",
    FactsLost = "facts_lost",
    ReceiveCalls = "receive_calls",
    ReceivedBytes = "received_bytes",
    SendCalls = "send_calls",
    WriteCalls = "write_calls",
    WrittenBytes = "written_bytes",
    SyncCalls = "sync_calls",
    SyncGroups = "sync_groups",
    SyncLastUs = "sync_last_us",
    SyncMaxUs = "sync_max_us",
    Connections = "connections",
    Streams = "streams",
    QueuedBytes = "queued_bytes",
    PooledBytes = "pooled_bytes",
}

page! {
    /// Numbers of a root's writer; all but `syncs` are gauges.
    WriterSlot, WRITER_STATS:
    /// How long the step in progress has lasted when the page is read; 0 between steps.
    StepUs = "step_us",
    /// The same of the group sync, or the close of a file, in progress.
    SyncUs = "sync_us",
    /// The longest that ended since the page was read last.
    SyncPeakUs = "sync_peak_us",
    Syncs = "syncs",
}

/// A page of numbers. Each is read and written on its own: a page is never a consistent cut.
#[derive(Debug)]
pub struct Page<S> {
    slots: Box<[AtomicU64]>,
    of: std::marker::PhantomData<fn(S)>,
}

impl<S: Slot> Default for Page<S> {
    fn default() -> Self {
        Self { slots: S::NAMES.iter().map(|_| AtomicU64::new(0)).collect(), of: std::marker::PhantomData }
    }
}

impl<S: Slot> Page<S> {
    pub fn set(&self, slot: S, value: u64) {
        if let Some(cell) = self.slots.get(slot.index()) {
            cell.store(value, Ordering::Relaxed);
        }
    }

    pub fn add(&self, slot: S, value: u64) {
        if let Some(cell) = self.slots.get(slot.index()) {
            cell.fetch_add(value, Ordering::Relaxed);
        }
    }

    pub fn raise(&self, slot: S, value: u64) {
        if let Some(cell) = self.slots.get(slot.index()) {
            cell.fetch_max(value, Ordering::Relaxed);
        }
    }

    #[cfg(test)]
    pub fn get(&self, slot: S) -> u64 {
        self.slots.get(slot.index()).map_or(0, |cell| cell.load(Ordering::Relaxed))
    }

    /// Copies the page; slots are two's complement where a number can be negative. What does not fit into `out` is left out.
    pub fn copy_to(&self, out: &mut [f64]) {
        for (to, cell) in out.iter_mut().zip(&self.slots) {
            *to = cell.load(Ordering::Relaxed) as i64 as f64;
        }
    }
}
