//! Threads, sockets and files of the recorder. Decides nothing: what to connect to, when to record, where to write and when to cut are orders.
//! The README of the workspace has the threads, the queues with their bounds, and the invariants.

mod clock;
mod engine;
mod error;
mod facts;
mod net;
mod orders;
mod recording;
mod ring;
mod setup;
mod stats;
mod stream;
mod ticket;
mod writer;

#[cfg(test)]
mod testing;

pub mod files;
pub mod folders;

pub use engine::{Engine, RootClosing, Stopping, Tap, TapFragment};
pub use error::EngineError;
pub use facts::TrackDescription;
pub use setup::TrackOrder;
pub use stats::{ENGINE_STATS, STREAM_STATS};
pub use stream::StreamOptions;
pub use ticket::{SegmentTicket, format_uuid, hex, parse_uuid};
