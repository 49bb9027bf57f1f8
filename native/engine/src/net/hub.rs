//! What connections and streams need of the network thread while they are being worked on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use easyrms_media::assembler::Now;
use easyrms_media::fragment::BufferPool;

use crate::clock;
use crate::facts::{Fact, FactQueue};
use crate::recording::Outlet;
use crate::stats::{EngineSlot, Page};
use crate::writer::{Inbox, WriterOrder};

/// What one receive call may bring.
pub const RECEIVE_BYTES: usize = 256 << 10;

/// A root's writer.
pub struct WriterHandle {
    pub inbox: Arc<Inbox>,
    pub thread: JoinHandle<()>,
}

/// Shared surroundings of the network thread's parts.
pub struct Hub {
    pub facts: Arc<FactQueue>,
    pub stats: Arc<Page<EngineSlot>>,
    pub pool: Arc<BufferPool>,
    pub writers: BTreeMap<u32, WriterHandle>,
    /// Receive buffer of all connections: what the last read of a connection left over goes in front of the next.
    pub buffer: Vec<u8>,
    /// State of [`Hub::random_below`].
    pub seed: u64,
}

impl Hub {
    /// A number below `limit` that need not be unpredictable: it keeps reports of many streams apart.
    pub fn random_below(&mut self, limit: u64) -> u64 {
        // xorshift64 (Marsaglia, 2003); the state is never zero.
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed.checked_rem(limit).unwrap_or(0)
    }
}

impl Outlet for Hub {
    fn write(&mut self, root: u32, order: WriterOrder) -> bool {
        let writer = self.writers.get(&root);
        if let Some(writer) = writer {
            writer.inbox.send(order);
        }
        writer.is_some()
    }

    fn fact(&mut self, fact: Fact) {
        self.facts.push(fact);
    }
}

/// Both clocks, read once for a batch of work.
pub fn now() -> Now {
    clock::now()
}
