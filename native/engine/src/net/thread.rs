//! The loop: orders, events, ticks, and one batch of facts at the end of each turn.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use easyrms_media::assembler::Now;
use easyrms_media::fragment::BufferPool;
use mio::{Events, Poll, Token};

use super::connection::{Connection, Ended, Phase, Sink};
use super::hub::{Hub, WriterHandle, now};
use super::keepalive::Keepalive;
use super::run::Run;
use super::stream::Stream;
use crate::clock;
use crate::facts::{DisconnectCause, Fact, FactQueue, SegmentEnd};
use crate::orders::{Order, OrderQueue, PlayTrack};
use crate::recording::Outlet;
use crate::stats::{EngineSlot, Page};
use crate::writer::{WriterOrder, WriterReport};

/// Token of the waker; connection ids are never as high.
pub const WAKER: Token = Token(usize::MAX);
/// Events taken at one wake-up; more stay with epoll.
const EVENTS: usize = 256;

/// How long the last facts wait for a callback that is busy.
const LAST_FACTS: Duration = Duration::from_secs(5);

/// Takes a batch of facts to JavaScript without waiting. False: it is not taken now.
pub type Callback = Box<dyn Fn(String) -> bool + Send>;

/// What the network thread is made of.
pub struct NetOptions {
    pub tick: Duration,
    pub poll: Poll,
    pub orders: Arc<OrderQueue>,
    pub facts: Arc<FactQueue>,
    pub stats: Arc<Page<EngineSlot>>,
    pub pool: Arc<BufferPool>,
    pub callback: Callback,
}

/// Starts the network thread. It returns after [`Order::Stop`], when all writers have.
pub fn spawn(options: NetOptions) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("easyrms-net".to_owned()).spawn(move || Net::new(options).run())
}

struct Net {
    tick: Duration,
    poll: Poll,
    orders: Arc<OrderQueue>,
    callback: Callback,
    hub: Hub,
    connections: BTreeMap<u32, Connection>,
    streams: BTreeMap<u32, Stream>,
    /// A batch that JavaScript had no room for.
    refused: Option<String>,
    next_tick: Instant,
}

/// Frames into the run, messages past the keepalive to TypeScript.
struct Intake<'a> {
    connection: u32,
    run: Option<&'a mut Run>,
    keepalive: Option<&'a mut Keepalive>,
    facts: &'a FactQueue,
    closing: bool,
    /// An RTSP message came while closing.
    answered: bool,
    now: Now,
}

impl Sink for Intake<'_> {
    fn frame(&mut self, channel: u8, payload: &[u8]) {
        if let Some(run) = &mut self.run {
            run.frame(channel, payload, self.now);
        }
    }

    fn message(&mut self, text: String) {
        self.answered |= self.closing;
        let swallowed = self.keepalive.as_mut().is_some_and(|keepalive| keepalive.swallows(&text));
        if !swallowed {
            self.facts.push(Fact::Message { connection: self.connection, text });
        }
    }
}

impl Net {
    fn new(options: NetOptions) -> Self {
        let hub = Hub {
            facts: options.facts,
            stats: options.stats,
            pool: options.pool,
            writers: BTreeMap::new(),
            buffer: Vec::new(),
            seed: clock::mono_us() | 1,
        };
        Self {
            tick: options.tick,
            poll: options.poll,
            orders: options.orders,
            callback: options.callback,
            hub,
            connections: BTreeMap::new(),
            streams: BTreeMap::new(),
            refused: None,
            next_tick: Instant::now(),
        }
    }

    fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        let mut running = true;
        while running {
            let timeout = self.time_to_sleep();
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                // epoll_wait fails for nothing but bad arguments; a pause keeps that from becoming a busy loop.
                std::thread::sleep(self.tick);
            }
            self.hub.facts.awake();
            self.hub.stats.add(EngineSlot::Wakeups, 1);
            for order in self.orders.take() {
                running &= self.obey(order);
            }
            for event in &events {
                if event.token() != WAKER {
                    self.ready(event.token().0 as u32);
                }
            }
            if Instant::now() >= self.next_tick {
                self.tick();
            }
            self.hub.stats.set(EngineSlot::Connections, self.connections.len() as u64);
            self.hub.stats.set(EngineSlot::Streams, self.streams.len() as u64);
            self.hand_up();
        }
        self.finish();
    }

    /// Until the next tick where something needs ticks; for ever where nothing does.
    fn time_to_sleep(&mut self) -> Option<Duration> {
        let busy =
            !self.connections.is_empty() || self.refused.is_some() || self.streams.values().any(|stream| stream.recording.is_blocked());
        let now = Instant::now();
        if !busy {
            self.next_tick = now;
            return if self.hub.facts.may_sleep() { None } else { Some(Duration::ZERO) };
        }
        // What fell behind is skipped; ticks are not caught up with.
        if self.next_tick + self.tick < now {
            self.next_tick = now;
        }
        Some(self.next_tick.saturating_duration_since(now))
    }

    fn obey(&mut self, order: Order) -> bool {
        match order {
            Order::OpenWriter { root, inbox, thread } => {
                self.hub.writers.insert(root, WriterHandle { inbox, thread });
            }
            Order::CloseWriter { root, done } => self.close_writer(root, &done),
            Order::OpenStream { stream } => {
                self.streams.insert(stream.id, Stream::new(stream));
            }
            Order::CloseStream { stream } => self.close_stream(stream),
            Order::Connect { connection, stream, address, timeout_ms } => self.connect(connection, stream, address, timeout_ms),
            Order::Send { connection, text } => self.send(connection, text.as_bytes()),
            Order::Play { connection, tracks } => self.play(connection, tracks),
            Order::Keepalive { connection, template, first_cseq, interval_ms } => {
                if let Some(connection) = self.connections.get_mut(&connection) {
                    connection.keepalive = Some(Keepalive::new(template, first_cseq, interval_ms, clock::mono_us()));
                }
            }
            Order::Disconnect { connection, last_text } => self.disconnect(connection, last_text.as_deref()),
            Order::Ticket { stream, ticket } => {
                if let Some(stream) = self.streams.get_mut(&stream) {
                    stream.recording.ticket(*ticket, &mut self.hub);
                }
            }
            Order::StopRecording { stream } => {
                if let Some(stream) = self.streams.get_mut(&stream) {
                    stream.recording.stop(&mut self.hub);
                }
            }
            Order::Writer(report) => self.report(report),
            Order::Stop => return false,
        }
        true
    }

    fn report(&mut self, report: WriterReport) {
        match report {
            WriterReport::Failed { stream, key, root } => {
                if let Some(stream) = self.streams.get_mut(&stream) {
                    stream.recording.failed(key, root, &mut self.hub);
                } else {
                    self.hub.write(root, WriterOrder::Reclaim { stream, key });
                }
            }
            WriterReport::Reclaimed { stream, key, items } => {
                if let Some(stream) = self.streams.get_mut(&stream) {
                    stream.recording.reclaimed(key, items, &mut self.hub);
                }
            }
        }
    }

    fn connect(&mut self, id: u32, stream: u32, address: SocketAddr, timeout_ms: u32) {
        let deadline_us = clock::mono_us() + u64::from(timeout_ms) * 1000;
        let opened = if self.streams.contains_key(&stream) {
            Connection::open(id, stream, address, deadline_us, self.poll.registry()).map_err(|error| Ended::of(&error))
        } else {
            Err(Ended::new(DisconnectCause::Requested, format!("stream {stream} is closed")))
        };
        match opened {
            Ok(connection) => {
                self.connections.insert(id, connection);
            }
            Err(ended) => self.hub.fact(disconnected(id, stream, ended)),
        }
    }

    fn send(&mut self, id: u32, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if let Err(ended) = connection.send(bytes, &mut self.hub, clock::mono_us()) {
            self.close(id, ended);
        }
    }

    fn play(&mut self, id: u32, tracks: Vec<PlayTrack>) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Some(stream) = self.streams.get_mut(&connection.stream) else { return };
        let channels: Vec<u8> = tracks.iter().flat_map(|track| [track.rtp_channel, track.rtcp_channel]).collect();
        connection.expect(&channels);
        let now = now();
        if let Some(run) = &stream.run {
            // The stream has one run at a time: the newest PLAY has it.
            let before = run.connection;
            stream.end_run(before, SegmentEnd::Disconnected, now, &mut self.hub);
        }
        let (fragment_ms, sequence, pool) = (stream.shared.options.fragment_ms, stream.next_sequence(), Arc::clone(&self.hub.pool));
        stream.begin_run(Run::new(id, tracks, fragment_ms, sequence, pool, now, &mut self.hub));
    }

    fn disconnect(&mut self, id: u32, last_text: Option<&str>) {
        // What the camera sent before is still worth having.
        self.receive(id);
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let now = now();
        if let Some(stream) = self.streams.get_mut(&connection.stream) {
            stream.end_run(id, SegmentEnd::Disconnected, now, &mut self.hub);
        }
        let requested = || Ended::new(DisconnectCause::Requested, "");
        let ended = match last_text {
            Some(text) if connection.phase == Phase::Open => {
                connection.begin_closing(text, &mut self.hub, now.mono_us).err().map(|_| requested())
            }
            _ => Some(requested()),
        };
        if let Some(ended) = ended {
            self.close(id, ended);
        }
    }

    /// Drops the connection and ends its run.
    fn close(&mut self, id: u32, ended: Ended) {
        let Some(connection) = self.connections.remove(&id) else { return };
        if let Some(stream) = self.streams.get_mut(&connection.stream) {
            stream.end_run(id, SegmentEnd::Disconnected, now(), &mut self.hub);
        }
        self.hub.fact(disconnected(id, connection.stream, ended));
    }

    /// An event of a socket that is still registered.
    fn ready(&mut self, id: u32) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if let Phase::Connecting { .. } = connection.phase {
            match connection.check_connected() {
                Ok(false) => return,
                Ok(true) => self.hub.facts.push(Fact::Connected { connection: id, stream: connection.stream, mono_ms: clock::mono_ms() }),
                Err(ended) => return self.close(id, ended),
            }
        }
        if let Err(ended) = connection.flush(&mut self.hub, clock::mono_us()) {
            return self.close(id, ended);
        }
        self.receive(id);
    }

    /// Reads a connection and passes on what came.
    fn receive(&mut self, id: u32) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if matches!(connection.phase, Phase::Connecting { .. }) {
            return;
        }
        let closing = matches!(connection.phase, Phase::Closing { .. });
        let now = now();
        let mut stream = self.streams.get_mut(&connection.stream);
        let mut keepalive = connection.keepalive.take();
        let facts = Arc::clone(&self.hub.facts);
        let run = stream.as_mut().and_then(|stream| stream.run.as_mut()).filter(|run| run.connection == id);
        let mut intake = Intake { connection: id, run, keepalive: keepalive.as_mut(), facts: &facts, closing, answered: false, now };
        let result = connection.receive(&mut self.hub, &mut intake);
        let answered = intake.answered;
        connection.keepalive = keepalive;
        if let Some(stream) = stream
            && stream.run.as_ref().is_some_and(|run| run.connection == id)
        {
            stream.collect(now, &mut self.hub);
            if stream.run.as_ref().is_some_and(|run| run.has_media) {
                connection.follow_tick(self.poll.registry());
            }
        }
        match result {
            Ok(()) if answered => self.close(id, Ended::new(DisconnectCause::Requested, "")),
            Ok(()) => {}
            Err(_) if closing => self.close(id, Ended::new(DisconnectCause::Requested, "")),
            Err(ended) => self.close(id, ended),
        }
    }

    fn tick(&mut self) {
        self.next_tick += self.tick;
        self.hub.stats.add(EngineSlot::Ticks, 1);
        let ids: Vec<u32> = self.connections.keys().copied().collect();
        for id in ids {
            if self.connections.get(&id).is_some_and(Connection::reads_at_tick) {
                self.receive(id);
            }
            if let Err(ended) = self.tend(id) {
                self.close(id, ended);
            }
        }
        let mut queued_bytes = 0;
        for stream in self.streams.values_mut() {
            stream.pump(&mut self.hub);
            queued_bytes += stream.recording.waiting_bytes() + stream.shared.in_flight_bytes();
        }
        self.hub.stats.set(EngineSlot::QueuedBytes, queued_bytes);
    }

    /// What a connection owes at a tick: its time limits, its keepalive, its receiver reports.
    fn tend(&mut self, id: u32) -> Result<(), Ended> {
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
        let now = now();
        match connection.phase {
            Phase::Connecting { deadline_us } if now.mono_us >= deadline_us => {
                return Err(Ended::new(DisconnectCause::Timeout, "no answer to the connection attempt"));
            }
            Phase::Closing { deadline_us } if now.mono_us >= deadline_us => return Err(Ended::new(DisconnectCause::Requested, "")),
            Phase::Connecting { .. } | Phase::Closing { .. } => return Ok(()),
            Phase::Open => {}
        }
        let mut owed = Vec::new();
        if let Some(request) = connection.keepalive.as_mut().and_then(|keepalive| keepalive.poll(now.mono_us)) {
            owed.extend_from_slice(request.as_bytes());
        }
        let run = self.streams.get_mut(&connection.stream).and_then(|stream| stream.run.as_mut());
        if let Some(run) = run.filter(|run| run.connection == id && !connection.has_unsent()) {
            run.reports(now, &mut self.hub, &mut owed);
        }
        if owed.is_empty() { connection.flush(&mut self.hub, now.mono_us) } else { connection.send(&owed, &mut self.hub, now.mono_us) }
    }

    fn close_stream(&mut self, id: u32) {
        let ids: Vec<u32> =
            self.connections.values().filter(|connection| connection.stream == id).map(|connection| connection.id).collect();
        for connection in ids {
            self.close(connection, Ended::new(DisconnectCause::Requested, format!("stream {id} is closed")));
        }
        if let Some(mut stream) = self.streams.remove(&id) {
            stream.recording.finish(&mut self.hub);
        }
    }

    fn close_writer(&mut self, root: u32, done: &std::sync::mpsc::Sender<()>) {
        for stream in self.streams.values_mut() {
            stream.recording.root_closing(root);
        }
        if let Some(writer) = self.hub.writers.remove(&root) {
            writer.inbox.send(WriterOrder::Abandon);
            let done = done.clone();
            // The writer may have to wait for a slow device; this thread must not.
            let waiting = std::thread::Builder::new().name("easyrms-join".to_owned()).spawn(move || {
                let _ = writer.thread.join();
                let _ = done.send(());
            });
            drop(waiting);
        }
    }

    /// One batch for JavaScript. What it has no room for is offered again at the next turn.
    fn hand_up(&mut self) {
        let batch = self.refused.take().or_else(|| {
            let facts = self.hub.facts.take()?;
            self.hub.stats.add(EngineSlot::Facts, facts.len() as u64);
            // Facts are plain data: there is nothing in them that JSON cannot say.
            serde_json::to_string(&facts).ok()
        });
        self.hub.stats.set(EngineSlot::FactsLost, self.hub.facts.lost_total());
        let Some(batch) = batch else { return };
        if (self.callback)(batch.clone()) {
            self.hub.stats.add(EngineSlot::Callbacks, 1);
        } else {
            self.refused = Some(batch);
        }
    }

    /// Ends connections, then segments, then writers, and tells the last facts.
    fn finish(mut self) {
        let ids: Vec<u32> = self.connections.keys().copied().collect();
        for id in ids {
            self.receive(id);
            if let Some(connection) = self.connections.get(&id)
                && let Some(stream) = self.streams.get_mut(&connection.stream)
            {
                stream.end_run(id, SegmentEnd::Requested, now(), &mut self.hub);
            }
            self.close(id, Ended::new(DisconnectCause::Requested, "the engine stops"));
        }
        for stream in self.streams.values_mut() {
            stream.recording.finish(&mut self.hub);
        }
        for (_, writer) in std::mem::take(&mut self.hub.writers) {
            writer.inbox.send(WriterOrder::Shutdown);
            let _ = writer.thread.join();
        }
        let deadline = Instant::now() + LAST_FACTS;
        self.hand_up();
        while (self.refused.is_some() || !self.hub.facts.is_empty()) && Instant::now() < deadline {
            if self.refused.is_some() {
                std::thread::sleep(self.tick);
            }
            self.hand_up();
        }
    }
}

fn disconnected(connection: u32, stream: u32, ended: Ended) -> Fact {
    Fact::Disconnected { connection, stream, cause: ended.cause, detail: ended.detail, mono_ms: clock::mono_ms() }
}
