//! Orders: what JavaScript's thread and the writers ask of the network thread.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use easyrms_media::assembler::TrackSetup;
use mio::Waker;

use crate::error::EngineError;
use crate::stream::StreamShared;
use crate::ticket::SegmentTicket;
use crate::writer::{Inbox, WriterReport};

/// Orders waiting at most; the network thread takes them at every wake-up.
const MAX_ORDERS: usize = 4096;

/// A track with the interleaved channels the server gave it.
#[derive(Debug)]
pub struct PlayTrack {
    pub setup: TrackSetup,
    pub rtp_channel: u8,
    pub rtcp_channel: u8,
}

/// One order; ids of what is gone already are passed over.
#[derive(Debug)]
pub enum Order {
    OpenWriter {
        root: u32,
        inbox: Arc<Inbox>,
        thread: JoinHandle<()>,
    },
    /// Gives up the segments on the root and ends its writer; `done` learns that it has returned.
    CloseWriter {
        root: u32,
        done: std::sync::mpsc::Sender<()>,
    },
    OpenStream {
        stream: Arc<StreamShared>,
    },
    CloseStream {
        stream: u32,
    },
    Connect {
        connection: u32,
        stream: u32,
        address: SocketAddr,
        timeout_ms: u32,
    },
    Send {
        connection: u32,
        text: String,
    },
    Play {
        connection: u32,
        tracks: Vec<PlayTrack>,
    },
    Keepalive {
        connection: u32,
        template: String,
        first_cseq: u32,
        interval_ms: u32,
    },
    Disconnect {
        connection: u32,
        last_text: Option<String>,
    },
    Ticket {
        stream: u32,
        ticket: Box<SegmentTicket>,
    },
    StopRecording {
        stream: u32,
    },
    Writer(WriterReport),
    Stop,
}

/// The way to the network thread.
#[derive(Debug)]
pub struct OrderQueue {
    orders: Mutex<VecDeque<Order>>,
    waker: Arc<Waker>,
}

impl OrderQueue {
    pub fn new(waker: Arc<Waker>) -> Self {
        Self { orders: Mutex::default(), waker }
    }

    /// Refused where the network thread has not kept up for a very long time.
    pub fn send(&self, order: Order) -> Result<(), EngineError> {
        let mut orders = self.lock();
        if orders.len() >= MAX_ORDERS {
            return Err(EngineError::Internal(format!("{MAX_ORDERS} orders wait for the network thread, which is as many as may")));
        }
        self.add(&mut orders, order);
        Ok(())
    }

    /// For reports of writers and the stop: they are few by construction and must not be lost.
    pub fn send_always(&self, order: Order) {
        self.add(&mut self.lock(), order);
    }

    fn add(&self, orders: &mut VecDeque<Order>, order: Order) {
        orders.push_back(order);
        if orders.len() == 1 {
            // The waker fails only when the network thread's epoll is gone, and with it everybody who would obey.
            let _ = self.waker.wake();
        }
    }

    /// Everything that came.
    pub fn take(&self) -> VecDeque<Order> {
        std::mem::take(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Order>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
