//! Threads, sockets and files of the recorder. Decides nothing: what to connect to, when to record, where to write and when to cut are orders.
//! The README of the workspace has the threads, the queues with their bounds, and the invariants.

mod engine;
mod error;
mod facts;
mod ids;
mod net;
mod orders;
mod recording;
mod ring;
mod root;
mod setup;
mod stats;
mod stream;
mod ticket;
mod writer;

#[cfg(test)]
mod testing;

pub mod clock;
pub mod files;
pub mod folders;
pub mod roots;
pub mod scans;

pub use engine::{Engine, Stopping, Tap, TapFragment, WriterClosing};
pub use error::EngineError;
pub use facts::TrackDescription;
pub use root::Root;
pub use setup::TrackOrder;
pub use stats::{ENGINE_STATS, STREAM_STATS, WRITER_STATS};
pub use stream::StreamOptions;
pub use ticket::{SegmentTicket, format_uuid, hex, parse_uuid};
