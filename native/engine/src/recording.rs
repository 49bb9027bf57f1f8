//! Which fragment goes into which segment: tickets, cut rules, and the bounded queue before the writer. No I/O and no clock.

use std::collections::VecDeque;
use std::sync::Arc;

use easyrms_media::fragment::Discontinuity;

use crate::facts::{DropCause, Fact, SegmentEnd};
use crate::ring::Item;
use crate::stats::StreamSlot;
use crate::stream::StreamShared;
use crate::ticket::SegmentTicket;
use crate::writer::{SegmentKey, WriterOrder};

/// Media time and segment limit are compared with this much tolerance, since ticks do not divide into microseconds.
const ROUNDING_US: i64 = 1000;

/// Where orders for writers go, and facts. False: there is no such root.
pub trait Outlet {
    fn write(&mut self, root: u32, order: WriterOrder) -> bool;
    fn fact(&mut self, fact: Fact);
}

/// One entry of the queue.
#[derive(Debug)]
enum Waiting {
    Fragment(Item),
    /// The segment in progress ends here.
    End(SegmentEnd),
    /// As `End(Requested)`, and the ticket in hand is for what comes after.
    Stop,
}

/// The segment that fragments are being handed to the writer for.
#[derive(Debug)]
struct Current {
    key: SegmentKey,
    root: u32,
    start_us: i64,
    start_utc_ms: i64,
}

/// The ticket in hand, and how many runs had ended when it came: it is not for a run that began later.
#[derive(Debug)]
struct Held {
    ticket: SegmentTicket,
    runs_ended: u64,
}

/// Recording of one stream.
///
/// Invariants: bytes waiting plus bytes with the writer stay under the stream's `queue_bytes`, give or take a fragment;
/// a segment begins with a random access point; fragments reach the writer in order, each at most once unless a segment was given up.
#[derive(Debug)]
pub struct Recording {
    shared: Arc<StreamShared>,
    /// Fragments are queued. False: nothing was asked to be recorded, the ring alone keeps them.
    active: bool,
    queue: VecDeque<Waiting>,
    waiting_bytes: u64,
    /// `Stop` entries in the queue.
    stops: usize,
    held: Option<Held>,
    current: Option<Current>,
    last_opened: Option<SegmentKey>,
    /// The failed segment whose fragments are on their way back; nothing is handed out until they are here.
    reclaiming: Option<SegmentKey>,
    /// The segment before was given up: the next one may begin with what that one has, too.
    may_repeat: bool,
    /// Of the next fragment: [`Discontinuity::Dropped`] where fragments behind the last one that waits were.
    next_discontinuity: Option<Discontinuity>,
    /// First fragment sequence that was never queued.
    next_sequence: u64,
    runs_ended: u64,
    /// The newest run that began because the wall clock was moved: what was stamped before is not for its segments.
    stepped_run: u64,
    /// Nothing more will come, so that what waits need not be kept within reach.
    unlimited: bool,
}

impl Recording {
    pub fn new(shared: Arc<StreamShared>) -> Self {
        Self {
            shared,
            active: false,
            queue: VecDeque::new(),
            waiting_bytes: 0,
            stops: 0,
            held: None,
            current: None,
            last_opened: None,
            reclaiming: None,
            may_repeat: false,
            next_discontinuity: None,
            next_sequence: 0,
            runs_ended: 0,
            stepped_run: 0,
            unlimited: false,
        }
    }

    /// Waits for the writer to make room: must be pumped again though nothing happens.
    pub fn is_blocked(&self) -> bool {
        let goes_on = self.current.is_some() || self.held.is_some();
        self.reclaiming.is_none() && goes_on && !self.queue.is_empty()
    }

    /// Memory that waits here, not counting what is with the writer.
    pub fn waiting_bytes(&self) -> u64 {
        self.waiting_bytes
    }

    /// The number that fragments of the run in progress carry.
    pub fn run(&self) -> u64 {
        self.runs_ended
    }

    /// A ticket replaces an unused one. The first one after a stop also takes what the ring holds of the run in progress and was not recorded yet.
    /// One for a segment that was opened already is a late double and ignored.
    pub fn ticket(&mut self, ticket: SegmentTicket, out: &mut dyn Outlet) {
        if self.last_opened.is_some_and(|opened| opened.run == ticket.run && opened.sequence >= ticket.sequence) {
            return;
        }
        self.held = Some(Held { ticket, runs_ended: self.runs_ended });
        self.activate();
        self.pump(out);
    }

    fn activate(&mut self) {
        if self.active || self.stops > 0 {
            return;
        }
        self.active = true;
        let room = self.shared.options.queue_bytes.saturating_sub(self.waiting_bytes + self.shared.in_flight_bytes());
        let items: Vec<Item> = self.shared.ring().run_from(self.runs_ended, self.next_sequence).cloned().collect();
        // The newest whole GOPs that find room.
        let mut bytes = 0;
        let fits = items.iter().rev().take_while(|item| {
            bytes += item.memory_bytes();
            bytes <= room
        });
        let too_old = items.len() - fits.count();
        for item in items.into_iter().skip(too_old).skip_while(|item| !item.fragment.random_access) {
            self.enqueue(item);
        }
    }

    /// A fragment of the run in progress was completed.
    pub fn fragment(&mut self, item: Item, out: &mut dyn Outlet) {
        if !self.active {
            return;
        }
        self.enqueue(item);
        self.pump(out);
        self.shed(out);
    }

    fn enqueue(&mut self, mut item: Item) {
        self.next_sequence = item.fragment.sequence + 1;
        item.discontinuity = item.discontinuity.or(self.next_discontinuity.take());
        self.waiting_bytes += item.memory_bytes();
        self.queue.push_back(Waiting::Fragment(item));
    }

    /// The run in progress is over; its last fragment was queued.
    pub fn run_ended(&mut self, reason: SegmentEnd, out: &mut dyn Outlet) {
        self.runs_ended += 1;
        if reason == SegmentEnd::ClockStep {
            self.stepped_run = self.runs_ended;
        }
        if self.active {
            self.queue.push_back(Waiting::End(reason));
            self.pump(out);
        }
    }

    /// Ends recording at the last whole fragment. What waits and can go on in the segment in progress still goes there; the rest is left to the ring.
    pub fn stop(&mut self, out: &mut dyn Outlet) {
        self.held = None;
        if !self.active {
            return;
        }
        self.active = false;
        self.queue.push_back(Waiting::Stop);
        self.stops += 1;
        self.pump(out);
    }

    /// The stream or the engine ends: what can still go into the segment in progress is handed to the writer, however much it holds.
    pub fn finish(&mut self, out: &mut dyn Outlet) {
        self.unlimited = true;
        self.stop(out);
        self.pump(out);
    }

    /// A root is about to close: its writer gives back by itself what it did not make durable.
    pub fn root_closing(&mut self, root: u32) {
        self.held.take_if(|held| held.ticket.root == root);
        if let Some(current) = self.current.take_if(|current| current.root == root) {
            self.reclaiming = Some(current.key);
        }
    }

    /// The writer gave a segment up: what it did not make durable is asked back, if the segment is still the one in progress.
    pub fn failed(&mut self, key: SegmentKey, root: u32, out: &mut dyn Outlet) {
        if self.current.as_ref().is_some_and(|current| current.key == key) {
            self.current = None;
            self.reclaiming = Some(key);
        }
        // A writer that is on its way out is not there to be asked, and need not be.
        out.write(root, WriterOrder::Reclaim { stream: self.shared.id, key });
    }

    /// Fragments of a failed segment that are on no stable storage. They go on in the next segment, behind what it takes to decode them.
    pub fn reclaimed(&mut self, key: SegmentKey, items: Vec<Item>, out: &mut dyn Outlet) {
        for item in &items {
            self.shared.remove_in_flight(item.memory_bytes());
        }
        if self.reclaiming == Some(key) {
            self.reclaiming = None;
            self.may_repeat = true;
            for item in items.into_iter().rev() {
                self.waiting_bytes += item.memory_bytes();
                self.queue.push_front(Waiting::Fragment(item));
            }
        } else {
            // Younger fragments are with the writer already; these would come out of order.
            self.report_dropped(&items, out);
        }
        self.pump(out);
        self.shed(out);
    }

    /// Hands out what can be handed out.
    pub fn pump(&mut self, out: &mut dyn Outlet) {
        while self.reclaiming.is_none() && self.step(out) {}
        let queued = self.waiting_bytes + self.shared.in_flight_bytes();
        self.shared.stats.set(StreamSlot::QueueBytes, queued);
    }

    fn step(&mut self, out: &mut dyn Outlet) -> bool {
        match self.queue.front() {
            None => false,
            Some(Waiting::End(reason)) => {
                let reason = *reason;
                self.queue.pop_front();
                self.end(reason, out);
                true
            }
            Some(Waiting::Stop) => {
                self.queue.pop_front();
                self.stops -= 1;
                self.end(SegmentEnd::Requested, out);
                if self.held.is_some() {
                    self.activate();
                }
                true
            }
            Some(Waiting::Fragment(_)) => {
                if let Some(reason) = self.end_before_front() {
                    self.end(reason, out);
                    return true;
                }
                match (&self.current, self.stops) {
                    (Some(_), _) => self.append(out),
                    (None, 0) => self.open(out),
                    (None, _) => self.leave_to_ring(),
                }
            }
        }
    }

    fn front(&self) -> Option<&Item> {
        match self.queue.front() {
            Some(Waiting::Fragment(item)) => Some(item),
            _ => None,
        }
    }

    /// Whether the segment in progress ends before the first fragment that waits.
    fn end_before_front(&self) -> Option<SegmentEnd> {
        let (current, item) = (self.current.as_ref()?, self.front()?);
        match item.discontinuity {
            Some(Discontinuity::RunStart) => return Some(SegmentEnd::Disconnected),
            Some(Discontinuity::ClockStep) => return Some(SegmentEnd::ClockStep),
            Some(Discontinuity::ParameterChange) => return Some(SegmentEnd::ParameterChange),
            Some(Discontinuity::TimeJump) => return Some(SegmentEnd::TimeJump),
            Some(Discontinuity::Dropped) => return Some(SegmentEnd::Dropped),
            None => {}
        }
        let held = self.held.as_ref().filter(|held| self.stops == 0 && !self.is_for_another_clock(held, item))?;
        let ticket = &held.ticket;
        let fragment = &item.fragment;
        let limit_us = i64::try_from(ticket.max_duration_ms.saturating_mul(1000)).unwrap_or(i64::MAX);
        let long = fragment.start_us.saturating_sub(current.start_us).saturating_add(ROUNDING_US) >= limit_us;
        let day = ticket.cut_at_utc_ms.iter().any(|cut| (current.start_utc_ms + 1..=fragment.start_utc_ms).contains(cut));
        (fragment.random_access && (long || day)).then_some(SegmentEnd::Cut)
    }

    /// The ticket came after the wall clock was moved, the fragment before.
    fn is_for_another_clock(&self, held: &Held, item: &Item) -> bool {
        item.run < self.stepped_run && held.runs_ended >= self.stepped_run
    }

    fn end(&mut self, reason: SegmentEnd, out: &mut dyn Outlet) {
        self.may_repeat = false;
        if let Some(current) = self.current.take() {
            out.write(current.root, WriterOrder::End { key: current.key, reason });
        }
    }

    /// The writer holds as much as it may: the rest waits here, where it can be dropped by whole GOPs.
    fn writer_is_full(&self, bytes: u64) -> bool {
        let in_flight = self.shared.in_flight_bytes();
        !self.unlimited && in_flight > 0 && in_flight + bytes > self.shared.options.queue_bytes / 2
    }

    fn append(&mut self, out: &mut dyn Outlet) -> bool {
        let Some(bytes) = self.front().map(Item::memory_bytes) else { return false };
        if self.writer_is_full(bytes) {
            return false;
        }
        let (Some(current), Some(Waiting::Fragment(item))) = (&self.current, self.queue.pop_front()) else { return false };
        self.waiting_bytes -= bytes;
        self.shared.add_in_flight(bytes);
        out.write(current.root, WriterOrder::Append { key: current.key, item })
    }

    fn open(&mut self, out: &mut dyn Outlet) -> bool {
        let Some((bytes, run, random_access)) = self.front().map(|item| (item.memory_bytes(), item.run, item.fragment.random_access))
        else {
            return false;
        };
        if !random_access {
            if !self.lead_in() {
                self.drop_oldest(out);
            }
            return true;
        }
        let stale = self.held.as_ref().zip(self.front()).is_some_and(|(held, item)| self.is_for_another_clock(held, item));
        if stale {
            self.drop_oldest(out);
            return true;
        }
        if self.held.as_ref().is_some_and(|held| held.runs_ended < run) {
            // It was meant for a run that is over: every session brings a ticket of its own before it plays.
            self.held = None;
        }
        if self.stops > 0 || self.held.is_none() || self.writer_is_full(bytes) {
            return false;
        }
        let (Some(Held { ticket, .. }), Some(Waiting::Fragment(item))) = (self.held.take(), self.queue.pop_front()) else { return false };
        let key = SegmentKey { run: ticket.run, sequence: ticket.sequence };
        let root = ticket.root;
        self.last_opened = Some(key);
        self.may_repeat = false;
        self.current = Some(Current { key, root, start_us: item.fragment.start_us, start_utc_ms: item.fragment.start_utc_ms });
        self.waiting_bytes -= bytes;
        self.shared.add_in_flight(bytes);
        let path = ticket.path.display().to_string();
        let lost = item.clone();
        if !out.write(root, WriterOrder::Open { stream: Arc::clone(&self.shared), ticket: Box::new(ticket), item }) {
            out.fact(Fact::SegmentFailed {
                name: key.name(self.shared.id),
                root,
                path,
                step: "open",
                errno: libc::ENODEV,
                message: format!("root {root} is not open"),
            });
            self.current = None;
            self.shared.remove_in_flight(bytes);
            self.waiting_bytes += bytes;
            self.queue.push_front(Waiting::Fragment(lost));
        }
        true
    }

    /// Puts the beginning of its group of pictures in front of what waits: a file that was given up has it, the next one needs it.
    fn lead_in(&mut self) -> bool {
        let Some(front) = self.front().filter(|item| self.may_repeat && item.discontinuity.is_none()) else { return false };
        let items = self.shared.ring().lead_in(front.run, front.fragment.sequence);
        let bytes: u64 = items.iter().map(Item::memory_bytes).sum();
        if items.is_empty() || self.waiting_bytes + self.shared.in_flight_bytes() + bytes > self.shared.options.queue_bytes {
            return false;
        }
        self.waiting_bytes += bytes;
        for item in items.into_iter().rev() {
            self.queue.push_front(Waiting::Fragment(item));
        }
        true
    }

    /// Keeps the bound: discards from the oldest waiting fragment up to the next random access point.
    fn shed(&mut self, out: &mut dyn Outlet) {
        while self.waiting_bytes > 0 && self.waiting_bytes + self.shared.in_flight_bytes() > self.shared.options.queue_bytes {
            if self.front().is_none() {
                // An end or stop is first only while fragments are on their way back.
                break;
            }
            self.drop_oldest(out);
        }
        self.pump(out);
    }

    /// Recording stops before this fragment: it was asked for no more. Should recording begin again soon, the ring still has it.
    fn leave_to_ring(&mut self) -> bool {
        if let Some(Waiting::Fragment(item)) = self.queue.pop_front() {
            self.waiting_bytes -= item.memory_bytes();
            self.next_sequence = self.next_sequence.min(item.fragment.sequence);
        }
        true
    }

    fn drop_oldest(&mut self, out: &mut dyn Outlet) {
        let mut dropped = Vec::new();
        while let Some(item) = self.front() {
            if !dropped.is_empty() && item.fragment.random_access {
                break;
            }
            if let Some(Waiting::Fragment(item)) = self.queue.pop_front() {
                self.waiting_bytes -= item.memory_bytes();
                dropped.push(item);
            }
        }
        match self.queue.front_mut() {
            Some(Waiting::Fragment(item)) => {
                item.discontinuity.get_or_insert(Discontinuity::Dropped);
            }
            // What follows an end begins a segment anyway.
            Some(Waiting::End(_) | Waiting::Stop) => {}
            None => self.next_discontinuity = Some(Discontinuity::Dropped),
        }
        self.report_dropped(&dropped, out);
    }

    fn report_dropped(&self, items: &[Item], out: &mut dyn Outlet) {
        let (Some(first), Some(last)) = (items.first(), items.last()) else { return };
        let bytes = items.iter().map(Item::bytes).sum();
        let fragments = items.len() as u64;
        self.shared.stats.add(StreamSlot::DroppedFragments, fragments);
        self.shared.stats.add(StreamSlot::DroppedBytes, bytes);
        out.fact(Fact::Dropped {
            stream: self.shared.id,
            cause: DropCause::Queue,
            fragments,
            bytes,
            from_utc_ms: first.fragment.start_utc_ms,
            to_utc_ms: last.end_utc_ms(),
        });
    }
}

#[cfg(test)]
mod tests;
