//! One TCP connection to a camera: bytes in and out, RTSP text and `$` frames. No session knowledge.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use easyrms_media::interleaved::{FramingError, Item, Splitter};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::{SockRef, TcpKeepalive};

use super::hub::{Hub, RECEIVE_BYTES};
use super::keepalive::Keepalive;
use crate::facts::DisconnectCause;
use crate::stats::EngineSlot;

/// Unsent bytes at most: requests and receiver reports of a peer that does not read.
const MAX_UNSENT_BYTES: usize = 128 << 10;
/// For how long unsent bytes may make no progress.
const SEND_STALL_US: u64 = 10_000_000;
/// Receive calls per connection and turn, so that a flood on one leaves time for the others.
const MAX_RECEIVES: usize = 16;
/// RTSP messages per connection and turn; no server has more to say.
const MAX_MESSAGES: usize = 64;
/// How long a goodbye may take.
const CLOSING_US: u64 = 300_000;
/// Unacknowledged data or keepalive probes give a dead peer up after this long, also while nobody looks.
const USER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a connection is over.
#[derive(Debug)]
pub struct Ended {
    pub cause: DisconnectCause,
    pub detail: String,
}

impl Ended {
    pub fn new(cause: DisconnectCause, detail: impl Into<String>) -> Self {
        Self { cause, detail: detail.into() }
    }

    /// The cause behind a failed system call.
    pub fn of(error: &io::Error) -> Self {
        let cause = match error.raw_os_error() {
            Some(libc::ECONNREFUSED) => DisconnectCause::Refused,
            Some(libc::ETIMEDOUT) => DisconnectCause::Timeout,
            Some(libc::ECONNRESET | libc::EPIPE | libc::ECONNABORTED) => DisconnectCause::Reset,
            _ => DisconnectCause::Unreachable,
        };
        Self::new(cause, error.to_string())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Connecting {
        deadline_us: u64,
    },
    Open,
    /// The goodbye was sent; whatever comes is thrown away until the peer answers, closes, or the time is up.
    Closing {
        deadline_us: u64,
    },
}

/// What a turn of reading found. Frames go to the sink as they are parsed.
pub trait Sink {
    fn frame(&mut self, channel: u8, payload: &[u8]);
    fn message(&mut self, text: String);
}

/// A connection with its unparsed and unsent bytes.
#[derive(Debug)]
pub struct Connection {
    pub id: u32,
    pub stream: u32,
    pub phase: Phase,
    pub keepalive: Option<Keepalive>,
    /// Media has begun: the connection is read at ticks only.
    pub ticked: bool,
    socket: TcpStream,
    splitter: Splitter,
    /// The frame or message that has not come whole.
    remainder: Vec<u8>,
    unsent: Vec<u8>,
    /// Since when `unsent` has made no progress.
    stalled_us: u64,
    /// The last turn of reading stopped before the socket was empty.
    more: bool,
}

impl Connection {
    /// Begins to connect. Registered for readiness until [`Connection::follow_tick`].
    pub fn open(id: u32, stream: u32, address: SocketAddr, deadline_us: u64, registry: &Registry) -> io::Result<Self> {
        let mut socket = TcpStream::connect(address)?;
        let options = SockRef::from(&socket);
        options.set_tcp_nodelay(true)?;
        options.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
        let probes = TcpKeepalive::new().with_time(Duration::from_secs(5)).with_interval(Duration::from_secs(2)).with_retries(3);
        options.set_tcp_keepalive(&probes)?;
        registry.register(&mut socket, Token(id as usize), Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            id,
            stream,
            phase: Phase::Connecting { deadline_us },
            keepalive: None,
            ticked: false,
            socket,
            splitter: Splitter::new(),
            remainder: Vec::new(),
            unsent: Vec::new(),
            stalled_us: 0,
            more: false,
        })
    }

    /// Packets on these channels are to come.
    pub fn expect(&mut self, channels: &[u8]) {
        self.splitter.set_channels(channels);
    }

    /// After an event while connecting: true once the connection stands.
    pub fn check_connected(&mut self) -> Result<bool, Ended> {
        if let Ok(Some(error)) | Err(error) = self.socket.take_error() {
            return Err(Ended::of(&error));
        }
        match self.socket.peer_addr() {
            Ok(_) => {
                self.phase = Phase::Open;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(Ended::of(&error)),
        }
    }

    /// From now on nothing wakes for this socket: it is read at every tick.
    pub fn follow_tick(&mut self, registry: &Registry) {
        if !std::mem::replace(&mut self.ticked, true) {
            // Fails only if it is not registered, which is what is wanted.
            let _ = registry.deregister(&mut self.socket);
        }
    }

    /// Whether a tick has to read: nothing else would.
    pub fn reads_at_tick(&self) -> bool {
        self.ticked || self.more
    }

    /// Reads until the socket is empty, or the turn is over.
    pub fn receive(&mut self, hub: &mut Hub, sink: &mut impl Sink) -> Result<(), Ended> {
        let mut messages = 0;
        self.more = true;
        for _ in 0..MAX_RECEIVES {
            let kept = self.remainder.len();
            let Hub { buffer, stats, .. } = hub;
            if buffer.len() < kept + RECEIVE_BYTES {
                buffer.resize(kept + RECEIVE_BYTES, 0);
            }
            let Some(room) = buffer.get_mut(kept..kept + RECEIVE_BYTES) else { break };
            stats.add(EngineSlot::ReceiveCalls, 1);
            let received = match self.socket.read(room) {
                Ok(0) => return Err(Ended::new(DisconnectCause::ClosedByPeer, "the camera closed the connection")),
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.more = false;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Ended::of(&error)),
            };
            stats.add(EngineSlot::ReceivedBytes, received as u64);
            if let Some(front) = buffer.get_mut(..kept) {
                front.copy_from_slice(&self.remainder);
            }
            let bytes = buffer.get(..kept + received).unwrap_or_default();
            let consumed = self.parse(bytes, sink, &mut messages)?;
            self.remainder.clear();
            self.remainder.extend_from_slice(bytes.get(consumed..).unwrap_or_default());
            // At a tick a short read saves the call that would find nothing; what came meanwhile is for the next tick. While epoll
            // is waited for, the peer's end has to be found now: it may have come with these bytes, and nothing wakes for it again.
            if self.ticked && received < RECEIVE_BYTES {
                self.more = false;
                break;
            }
        }
        Ok(())
    }

    /// Takes whole frames and messages off the front; returns how many bytes they were.
    fn parse(&mut self, bytes: &[u8], sink: &mut impl Sink, messages: &mut usize) -> Result<usize, Ended> {
        let mut consumed = 0;
        while let Some(rest) = bytes.get(consumed..).filter(|rest| !rest.is_empty()) {
            let (length, item) = self.splitter.next(rest).map_err(|error| framing(&error))?;
            consumed += length;
            match item {
                Some(Item::Frame { channel, payload }) => sink.frame(channel, payload),
                Some(Item::Message(text)) => {
                    *messages += 1;
                    if *messages > MAX_MESSAGES {
                        let detail = format!("more than {MAX_MESSAGES} RTSP messages at once");
                        return Err(Ended::new(DisconnectCause::Framing, detail));
                    }
                    sink.message(String::from_utf8_lossy(text).into_owned());
                }
                None => break,
            }
        }
        Ok(consumed)
    }

    /// Queues bytes and sends what the socket takes.
    pub fn send(&mut self, bytes: &[u8], hub: &mut Hub, now_us: u64) -> Result<(), Ended> {
        if self.unsent.len() + bytes.len() > MAX_UNSENT_BYTES {
            return Err(Ended::new(
                DisconnectCause::SendBlocked,
                format!("{} bytes unsent, at most {MAX_UNSENT_BYTES} may be", self.unsent.len()),
            ));
        }
        if self.unsent.is_empty() {
            self.stalled_us = now_us;
        }
        self.unsent.extend_from_slice(bytes);
        self.flush(hub, now_us)
    }

    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Sends what the socket takes; a peer that takes nothing for long is given up.
    pub fn flush(&mut self, hub: &mut Hub, now_us: u64) -> Result<(), Ended> {
        while !self.unsent.is_empty() && !matches!(self.phase, Phase::Connecting { .. }) {
            hub.stats.add(EngineSlot::SendCalls, 1);
            match self.socket.write(&self.unsent) {
                Ok(sent) => {
                    self.unsent.drain(..sent);
                    self.stalled_us = now_us;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if now_us.saturating_sub(self.stalled_us) > SEND_STALL_US {
                        let detail = format!("{} bytes unsent for {} s", self.unsent.len(), SEND_STALL_US / 1_000_000);
                        return Err(Ended::new(DisconnectCause::SendBlocked, detail));
                    }
                    break;
                }
                Err(error) => return Err(Ended::of(&error)),
            }
        }
        Ok(())
    }

    /// Says goodbye. What arrives from now on is only read to let the peer answer.
    pub fn begin_closing(&mut self, last_text: &str, hub: &mut Hub, now_us: u64) -> Result<(), Ended> {
        self.phase = Phase::Closing { deadline_us: now_us + CLOSING_US };
        self.keepalive = None;
        self.send(last_text.as_bytes(), hub, now_us)
    }
}

fn framing(error: &FramingError) -> Ended {
    let cause = match error {
        FramingError::NotRtsp | FramingError::Lost => DisconnectCause::Framing,
        FramingError::HeadTooLarge | FramingError::BodyTooLarge(_) => DisconnectCause::MessageTooLarge,
    };
    Ended::new(cause, error.to_string())
}
