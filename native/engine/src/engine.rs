//! The engine as its owner sees it: orders in, facts out, threads joined at the end.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use easyrms_media::fragment::{BufferPool, Fragment};
use easyrms_media::identity::{ClockTrust, Identity, StreamKind};
use easyrms_media::mp4;
use mio::{Poll, Waker};

use crate::error::EngineError;
use crate::facts::{Fact, FactQueue};
use crate::ids;
use crate::net::{self, Callback, NetOptions};
use crate::orders::{Order, OrderQueue};
use crate::roots;
use crate::setup::{TrackOrder, play_tracks};
use crate::stats::{EngineSlot, Page};
use crate::stream::{StreamOptions, StreamShared};
use crate::ticket::SegmentTicket;
use crate::writer::{self, Inbox, Progress, SegmentKey, WriterOptions, WriterOrder};

/// Sample buffers kept for reuse.
const POOLED_BUFFERS: usize = 64;
/// Their capacity at most.
const MAX_POOLED_BYTES: usize = 64 << 20;
/// Media bytes one tap copies at most; the reader asks again for more.
const MAX_TAP_BYTES: usize = 8 << 20;
/// Length of an RTSP request at most.
const MAX_TEXT_BYTES: usize = 64 << 10;

/// What a tap copied out of the ring.
#[derive(Debug, Default)]
pub struct Tap {
    pub next_sequence: u64,
    pub lapped: bool,
    /// `ftyp moov` of the fragments; empty when there are none.
    pub init: Vec<u8>,
    pub fragments: Vec<TapFragment>,
}

/// A fragment as a media segment.
#[derive(Debug)]
pub struct TapFragment {
    pub sequence: u64,
    pub start_utc_ms: i64,
    pub duration_ms: i64,
    pub random_access: bool,
    pub data: Vec<u8>,
}

/// All threads and what leads to them. Cheap to construct: threads begin with [`Engine::start`].
#[derive(Debug)]
pub struct Engine {
    tick: Duration,
    stats: Arc<Page<EngineSlot>>,
    pool: Arc<BufferPool>,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    New,
    Running(Running),
    Stopped,
}

#[derive(Debug)]
struct Running {
    orders: Arc<OrderQueue>,
    facts: Arc<FactQueue>,
    streams: HashMap<u32, Arc<StreamShared>>,
    /// By the root they write to.
    writers: HashMap<u32, Writer>,
    /// Ids of streams and connections from here on were given out by this engine.
    first_id: u32,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
struct Writer {
    inbox: Arc<Inbox>,
    progress: Arc<Progress>,
}

impl Running {
    /// Refuses an id that was never given out; one whose thing is gone passes.
    fn known(&self, what: &str, id: u32) -> Result<(), EngineError> {
        if (self.first_id..ids::unused()).contains(&id) {
            Ok(())
        } else {
            Err(EngineError::Misuse(format!("{what} {id} was never opened")))
        }
    }
}

/// Roots are older than the engine.
fn known_root(root: u32) -> Result<(), EngineError> {
    if (1..ids::unused()).contains(&root) { Ok(()) } else { Err(EngineError::Misuse(format!("root {root} was never opened"))) }
}

/// Threads that are on their way out; joined by [`Stopping::join`] where blocking does no harm.
#[derive(Debug)]
pub struct Stopping(Option<JoinHandle<()>>);

impl Stopping {
    pub fn join(self) {
        if let Some(thread) = self.0 {
            // A panic in the thread has been reported by the panic hook; there is nothing left to end.
            let _ = thread.join();
        }
    }
}

/// A writer that is on its way out.
#[derive(Debug)]
pub struct WriterClosing(Option<mpsc::Receiver<()>>);

impl WriterClosing {
    pub fn join(self) {
        if let Some(done) = self.0 {
            // The other end goes without a word only when the engine stopped meanwhile, writers included.
            let _ = done.recv();
        }
    }
}

impl Engine {
    /// `tick_ms` is the period of the network thread, 10 to 1000.
    pub fn new(tick_ms: u32) -> Result<Self, EngineError> {
        if !(10..=1000).contains(&tick_ms) {
            return Err(EngineError::Input(format!("tickMs {tick_ms}, 10 to 1000 is possible")));
        }
        Ok(Self {
            tick: Duration::from_millis(u64::from(tick_ms)),
            stats: Arc::default(),
            pool: BufferPool::new(POOLED_BUFFERS, MAX_POOLED_BYTES),
            state: Mutex::new(State::New),
        })
    }

    /// Starts the network thread. `callback` gets JSON arrays of facts on that thread and must not block.
    pub fn start(&self, callback: Callback) -> Result<(), EngineError> {
        let mut state = self.lock();
        if !matches!(*state, State::New) {
            return Err(EngineError::Misuse("the engine was started before; an engine starts once".to_owned()));
        }
        let internal = |error: std::io::Error| EngineError::Internal(format!("network thread: {error}"));
        let poll = Poll::new().map_err(internal)?;
        let waker = Arc::new(Waker::new(poll.registry(), net::WAKER).map_err(internal)?);
        let orders = Arc::new(OrderQueue::new(Arc::clone(&waker)));
        let facts = Arc::new(FactQueue::new(waker));
        let first_id = ids::unused();
        let thread = net::spawn(NetOptions {
            tick: self.tick,
            poll,
            orders: Arc::clone(&orders),
            facts: Arc::clone(&facts),
            stats: Arc::clone(&self.stats),
            pool: Arc::clone(&self.pool),
            callback,
        })
        .map_err(internal)?;
        *state = State::Running(Running { orders, facts, streams: HashMap::new(), writers: HashMap::new(), first_id, thread });
        Ok(())
    }

    /// Asks all threads to end: connections, then open segments, then writers. Harmless when nothing runs.
    pub fn stop(&self) -> Stopping {
        match std::mem::replace(&mut *self.lock(), State::Stopped) {
            State::Running(running) => {
                running.orders.send_always(Order::Stop);
                Stopping(Some(running.thread))
            }
            State::New | State::Stopped => Stopping(None),
        }
    }

    /// Starts the writer of a root that is open (see [`roots::open`]) and has none.
    pub fn open_writer(&self, root: u32, sync_ms: u32) -> Result<(), EngineError> {
        let stats = Arc::clone(&self.stats);
        let home = roots::get(root)?;
        self.running(|running| {
            if running.writers.contains_key(&root) {
                return Err(EngineError::Misuse(format!("root {root} has a writer")));
            }
            let inbox = Arc::new(Inbox::default());
            let progress = Arc::new(Progress::default());
            let orders = Arc::clone(&running.orders);
            let thread = writer::spawn(WriterOptions {
                root,
                home,
                sync_after: Duration::from_millis(u64::from(sync_ms)),
                inbox: Arc::clone(&inbox),
                facts: Arc::clone(&running.facts),
                stats,
                progress: Arc::clone(&progress),
                report: Box::new(move |report| orders.send_always(Order::Writer(report))),
            })
            .map_err(|error| EngineError::Internal(format!("writer thread: {error}")))?;
            running.orders.send_always(Order::OpenWriter { root, inbox: Arc::clone(&inbox), thread });
            running.writers.insert(root, Writer { inbox, progress });
            Ok(())
        })
    }

    /// Gives up the segments on a root and ends its writer; what was not durable goes on in the segment of the stream's next ticket.
    /// A writer that is gone is passed over.
    pub fn close_writer(&self, root: u32) -> Result<WriterClosing, EngineError> {
        self.running(|running| {
            known_root(root)?;
            if running.writers.remove(&root).is_none() {
                return Ok(WriterClosing(None));
            }
            let (done, closed) = mpsc::channel();
            running.orders.send_always(Order::CloseWriter { root, done });
            Ok(WriterClosing(Some(closed)))
        })
    }

    /// Makes a stream with its ring and returns its id.
    pub fn open_stream(&self, options: StreamOptions) -> Result<u32, EngineError> {
        if !(100..=10_000).contains(&options.fragment_ms) {
            return Err(EngineError::Input(format!("fragmentMs {}, 100 to 10000 is possible", options.fragment_ms)));
        }
        self.running(|running| {
            let id = ids::next();
            let stream = Arc::new(StreamShared::new(id, options));
            running.orders.send(Order::OpenStream { stream: Arc::clone(&stream) })?;
            running.streams.insert(id, stream);
            Ok(id)
        })
    }

    /// Disconnects, ends recording, frees the ring.
    pub fn close_stream(&self, stream: u32) -> Result<(), EngineError> {
        self.running(|running| {
            running.known("stream", stream)?;
            if running.streams.remove(&stream).is_some() {
                running.orders.send_always(Order::CloseStream { stream });
            }
            Ok(())
        })
    }

    /// Begins to connect and returns the connection's id. `address` is numeric.
    pub fn connect(&self, stream: u32, address: &str, port: u16, timeout_ms: u32) -> Result<u32, EngineError> {
        self.running(|running| {
            running.known("stream", stream)?;
            let bare = address.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(address);
            let address = match bare.parse::<IpAddr>() {
                Ok(ip) => SocketAddr::new(ip, port),
                // An IPv6 address with a numeric scope.
                Err(_) => format!("[{bare}]:{port}")
                    .parse()
                    .map_err(|_| EngineError::Input(format!("address {address:?} is not numeric; names are resolved before")))?,
            };
            let connection = ids::next();
            running.orders.send(Order::Connect { connection, stream, address, timeout_ms })?;
            Ok(connection)
        })
    }

    /// Sends RTSP text.
    pub fn send(&self, connection: u32, text: String) -> Result<(), EngineError> {
        self.for_connection(connection, |running| {
            bounded(&text)?;
            running.orders.send(Order::Send { connection, text })
        })
    }

    /// Announces the tracks of the coming PLAY.
    pub fn play(&self, connection: u32, tracks: &[TrackOrder]) -> Result<(), EngineError> {
        self.for_connection(connection, |running| running.orders.send(Order::Play { connection, tracks: play_tracks(tracks)? }))
    }

    /// Arms the keepalive.
    pub fn keepalive(&self, connection: u32, template: String, first_cseq: u32, interval_ms: u32) -> Result<(), EngineError> {
        self.for_connection(connection, |running| {
            bounded(&template)?;
            if interval_ms < 100 {
                return Err(EngineError::Input(format!("keepalive each {interval_ms} ms, at least 100 ms apart is possible")));
            }
            running.orders.send(Order::Keepalive { connection, template, first_cseq, interval_ms })
        })
    }

    /// Says `last_text` and closes.
    pub fn disconnect(&self, connection: u32, last_text: Option<String>) -> Result<(), EngineError> {
        self.for_connection(connection, |running| {
            last_text.as_deref().map_or(Ok(()), bounded)?;
            running.orders.send_always(Order::Disconnect { connection, last_text });
            Ok(())
        })
    }

    /// Gives a stream its next segment ticket.
    pub fn ticket(&self, stream: u32, ticket: SegmentTicket) -> Result<(), EngineError> {
        self.running(|running| {
            running.known("stream", stream)?;
            known_root(ticket.root)?;
            running.orders.send(Order::Ticket { stream, ticket: Box::new(ticket) })
        })
    }

    /// Closes the segment in progress and withdraws an unused ticket.
    pub fn stop_recording(&self, stream: u32) -> Result<(), EngineError> {
        self.running(|running| {
            running.known("stream", stream)?;
            running.orders.send_always(Order::StopRecording { stream });
            Ok(())
        })
    }

    /// Close procedure of an ended segment. A root that is gone answers with a `segmentFailed` fact.
    pub fn finish_segment(&self, root: u32, run: [u8; 16], sequence: u32, final_path: PathBuf) -> Result<(), EngineError> {
        self.running(|running| {
            known_root(root)?;
            let key = SegmentKey { run, sequence };
            if let Some(writer) = running.writers.get(&root) {
                writer.inbox.send(WriterOrder::Finish { key, final_path });
            } else {
                running.facts.push(Fact::SegmentFailed {
                    name: key.name(0),
                    root,
                    path: final_path.display().to_string(),
                    step: "seal",
                    errno: libc::ENODEV,
                    message: format!("root {root} is closed"),
                });
            }
            Ok(())
        })
    }

    /// Copies fragments out of a stream's ring; nothing for a stream that is gone.
    pub fn tap(&self, stream: u32, from_sequence: u64) -> Result<Tap, EngineError> {
        let shared = self.running(|running| {
            running.known("stream", stream)?;
            Ok(running.streams.get(&stream).cloned())
        })?;
        let nothing = Tap { next_sequence: from_sequence, ..Tap::default() };
        let Some(shared) = shared else { return Ok(nothing) };
        let (fragments, lapped) = shared.ring().tap(from_sequence, MAX_TAP_BYTES);
        let Some(first) = fragments.first() else { return Ok(Tap { lapped, ..nothing }) };
        let mut init = Vec::new();
        mp4::write_init(&first.tracks, &live_identity(), &mut init).map_err(|error| EngineError::Internal(format!("tap: {error}")))?;
        Ok(Tap {
            next_sequence: fragments.last().map_or(from_sequence, |last| last.sequence + 1),
            lapped,
            init,
            fragments: fragments.iter().map(|fragment| tap_fragment(fragment)).collect::<Result<_, _>>()?,
        })
    }

    /// Copies a stream's numbers; false if the stream is gone.
    pub fn read_stream_stats(&self, stream: u32, out: &mut [f64]) -> Result<bool, EngineError> {
        self.running(|running| {
            running.known("stream", stream)?;
            let shared = running.streams.get(&stream);
            if let Some(shared) = shared {
                shared.stats.copy_to(out);
            }
            Ok(shared.is_some())
        })
    }

    /// Copies the numbers of a root's writer; false if it has none. Of one reader: what peaked since the last reading is forgotten.
    pub fn read_writer_stats(&self, root: u32, out: &mut [f64]) -> Result<bool, EngineError> {
        self.running(|running| {
            known_root(root)?;
            let writer = running.writers.get(&root);
            if let Some(writer) = writer {
                writer.progress.read(out);
            }
            Ok(writer.is_some())
        })
    }

    /// Copies the engine's numbers; also before the start and after the stop.
    pub fn read_engine_stats(&self, out: &mut [f64]) {
        self.stats.set(EngineSlot::PooledBytes, self.pool.bytes() as u64);
        self.stats.copy_to(out);
    }

    fn for_connection(&self, connection: u32, act: impl FnOnce(&mut Running) -> Result<(), EngineError>) -> Result<(), EngineError> {
        self.running(|running| {
            running.known("connection", connection)?;
            act(running)
        })
    }

    fn running<T>(&self, act: impl FnOnce(&mut Running) -> Result<T, EngineError>) -> Result<T, EngineError> {
        match &mut *self.lock() {
            State::Running(running) => act(running),
            State::New => Err(EngineError::Misuse("the engine was not started".to_owned())),
            State::Stopped => Err(EngineError::Misuse("the engine was stopped".to_owned())),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Engine {
    /// An engine that nobody stopped: its threads end by themselves, without being waited for.
    fn drop(&mut self) {
        drop(self.stop());
    }
}

fn bounded(text: &str) -> Result<(), EngineError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(EngineError::Input(format!("RTSP text of {} bytes, at most {MAX_TEXT_BYTES} is possible", text.len())));
    }
    Ok(())
}

fn tap_fragment(fragment: &Fragment) -> Result<TapFragment, EngineError> {
    let mut data = Vec::with_capacity(fragment.bytes() + 4096);
    mp4::write_live(fragment, &mut data).map_err(|error| EngineError::Internal(format!("tap: {error}")))?;
    Ok(TapFragment {
        sequence: fragment.sequence,
        start_utc_ms: fragment.start_utc_ms,
        duration_ms: fragment.duration_us / 1000,
        random_access: fragment.random_access,
        data,
    })
}

/// A live view belongs to no run; its header says so by an empty identity.
fn live_identity() -> Identity {
    Identity {
        serial: String::new(),
        channel: 0,
        stream: StreamKind::Main,
        run: [0; 16],
        sequence: 0,
        start_mono_ms: 0,
        start_utc_ms: 0,
        clock: ClockTrust::Untrusted,
        zone: String::new(),
    }
}
