//! The writer thread of a root: takes orders in batches, appends, and syncs all files together.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::file::{SegmentFile, StepError, failed};
use super::{Inbox, Progress, SegmentKey, WriterOrder, WriterReport};
use crate::facts::{DropCause, Fact, FactQueue, SegmentEnd};
use crate::ring::Item;
use crate::root::Root;
use crate::stats::{EngineSlot, Page, StreamSlot};
use crate::stream::StreamShared;
use crate::ticket::SegmentTicket;

/// Ended segments that may wait for their final name; each holds a descriptor.
const MAX_UNFINISHED: usize = 512;
/// Appends handled before a due group sync gets its turn.
const BATCH: usize = 64;
/// The step at which a root that is gone gives its segments up.
const CLOSE: &str = "close";
/// The step that makes what was written durable.
const SYNC: &str = "sync";

/// What a writer is made of.
pub struct WriterOptions {
    pub root: u32,
    /// The directory behind that id.
    pub home: Arc<Root>,
    /// A group sync starts at most this long after a fragment came; after one that is shorter than it could be, by what is missing later.
    pub sync_after: Duration,
    pub inbox: Arc<Inbox>,
    pub facts: Arc<FactQueue>,
    pub stats: Arc<Page<EngineSlot>>,
    pub progress: Arc<Progress>,
    /// Tells the network thread. Must not block.
    pub report: Box<dyn Fn(WriterReport) + Send>,
}

/// Starts the writer of a root. It returns after [`WriterOrder::Shutdown`] or [`WriterOrder::Abandon`].
pub fn spawn(options: WriterOptions) -> io::Result<JoinHandle<()>> {
    let name = format!("easyrms-write{}", options.root);
    std::thread::Builder::new()
        .name(name)
        .spawn(move || Writer { options, segments: BTreeMap::new(), sync_due: None, headers: Vec::new() }.run())
}

enum Segment {
    Growing(Box<SegmentFile>),
    /// Given up. Keeps what was not durable until it is reclaimed.
    Failed {
        stream: u32,
        items: Vec<Item>,
    },
}

struct Writer {
    options: WriterOptions,
    segments: BTreeMap<SegmentKey, Segment>,
    sync_due: Option<Instant>,
    /// Scratch for fragment headers.
    headers: Vec<u8>,
}

impl Writer {
    fn run(mut self) {
        let mut running = true;
        while running {
            self.options.progress.idle();
            for (index, order) in self.options.inbox.take(self.sync_due).into_iter().enumerate() {
                self.options.progress.step();
                running &= self.obey(order);
                if index % BATCH == BATCH - 1 {
                    self.sync_if_due();
                }
            }
            self.sync_if_due();
        }
        for segment in self.segments.values() {
            if let Segment::Growing(file) = segment {
                // Best effort: recovery trims what stays behind.
                let _ = file.trim();
            }
        }
        self.sync_group();
    }

    fn obey(&mut self, order: WriterOrder) -> bool {
        match order {
            WriterOrder::Open { stream, ticket, item } => self.open(&stream, &ticket, item),
            WriterOrder::Append { key, item } => self.append(key, item),
            WriterOrder::End { key, reason } => self.end(key, reason),
            WriterOrder::Reclaim { stream, key } => self.reclaim(stream, key),
            WriterOrder::Finish { key, final_path } => self.finish(key, &final_path),
            WriterOrder::Shutdown => return false,
            WriterOrder::Abandon => {
                self.abandon();
                return false;
            }
        }
        true
    }

    fn open(&mut self, stream: &Arc<StreamShared>, ticket: &SegmentTicket, item: Item) {
        let key = SegmentKey { run: ticket.run, sequence: ticket.sequence };
        if self.segments.contains_key(&key) {
            let error = StepError { step: "open", source: io::Error::from_raw_os_error(libc::EEXIST), refused: false };
            // The segment of that name goes on; what was meant for its double is lost, since a key can be given back once only.
            self.discard(stream, &item);
            self.options.facts.push(failed(key, stream.id, self.options.root, &ticket.path, &error));
            (self.options.report)(WriterReport::Failed { stream: stream.id, key, root: self.options.root });
            return;
        }
        match SegmentFile::create(&self.options.home, Arc::clone(stream), ticket, &item) {
            Ok(file) => {
                let opened = file.opened(&item);
                self.segments.insert(key, Segment::Growing(Box::new(file)));
                self.append(key, item);
                if matches!(self.segments.get(&key), Some(Segment::Growing(_))) {
                    self.options.facts.push(opened);
                }
            }
            Err(error) => self.give_up(key, stream, &ticket.path, &error, vec![], Some(item)),
        }
    }

    fn append(&mut self, key: SegmentKey, item: Item) {
        match self.segments.get_mut(&key) {
            Some(Segment::Growing(file)) => {
                // What is younger than a whole fragment may wait for its age: the rest of that time ends together with the fragments of other streams.
                let due = Instant::now() + self.options.sync_after + file.stream.options.missing_in(&item.fragment);
                if let Err((error, item)) = file.append(item, &mut self.headers, &self.options.stats) {
                    self.fail(key, &error, Some(item));
                } else {
                    self.sync_due = Some(self.sync_due.map_or(due, |before| before.min(due)));
                }
            }
            Some(Segment::Failed { items, .. }) => items.push(item),
            None => {}
        }
    }

    fn end(&mut self, key: SegmentKey, reason: SegmentEnd) {
        let waiting = self.segments.values().filter(|segment| matches!(segment, Segment::Growing(file) if file.ended)).count();
        let Some(Segment::Growing(file)) = self.segments.get_mut(&key) else { return };
        file.ended = true;
        self.options.facts.push(file.ended(reason));
        if waiting >= MAX_UNFINISHED {
            let source = io::Error::other(format!("{waiting} ended segments wait for their final name, {MAX_UNFINISHED} may"));
            self.fail(key, &StepError { step: "seal", source, refused: false }, None);
        }
    }

    /// Always answered: the stream waits for it.
    fn reclaim(&mut self, stream: u32, key: SegmentKey) {
        let items = match self.segments.get_mut(&key) {
            Some(Segment::Failed { items, .. }) => {
                let items = std::mem::take(items);
                self.segments.remove(&key);
                items
            }
            Some(Segment::Growing(_)) | None => Vec::new(),
        };
        (self.options.report)(WriterReport::Reclaimed { stream, key, items });
    }

    fn finish(&mut self, key: SegmentKey, final_path: &Path) {
        let result = match self.segments.get_mut(&key) {
            Some(Segment::Growing(file)) if file.ended => {
                let was_dirty = file.is_dirty();
                let (result, _) = self.options.progress.syncing(|| file.finish(final_path, &self.options.stats));
                if let Ok(summary) = &result {
                    if was_dirty {
                        self.options.facts.push(file.durable());
                    }
                    self.options.facts.push(file.sealed(final_path, summary));
                }
                result
            }
            // A caller's mistake, which costs the segment nothing.
            Some(Segment::Growing(_)) => return self.refuse(key, final_path, libc::EBUSY),
            Some(Segment::Failed { .. }) | None => return self.refuse(key, final_path, libc::ENOENT),
        };
        match result {
            Ok(_) => drop(self.segments.remove(&key)),
            Err(error) => self.fail(key, &error, None),
        }
    }

    /// Answers a finish that nothing was done for.
    fn refuse(&self, key: SegmentKey, final_path: &Path, errno: i32) {
        let error = StepError { step: "seal", source: io::Error::from_raw_os_error(errno), refused: false };
        self.options.facts.push(failed(key, 0, self.options.root, final_path, &error));
    }

    /// Gives a segment up, and after a failed sync every other that has something to be synced: a device that fails to flush its cache may have
    /// lost what it took from any of them, and tells the first who asks.
    fn fail(&mut self, key: SegmentKey, error: &StepError, item: Option<Item>) {
        self.fail_one(key, error, item);
        if error.step != SYNC {
            return;
        }
        let suspects = self.segments.iter().filter(|(_, segment)| matches!(segment, Segment::Growing(file) if file.is_dirty()));
        let keys: Vec<SegmentKey> = suspects.map(|(key, _)| *key).collect();
        for key in keys {
            let source = io::Error::from_raw_os_error(error.source.raw_os_error().unwrap_or(libc::EIO));
            self.fail_one(key, &StepError { step: SYNC, source, refused: false }, None);
        }
    }

    /// What was appended before a write failed, or before no seal could be written, is made durable all the same: no sync has failed. The rest
    /// waits to be reclaimed.
    fn fail_one(&mut self, key: SegmentKey, error: &StepError, item: Option<Item>) {
        let Some(Segment::Growing(mut file)) = self.segments.remove(&key) else { return };
        // Best effort, like the sync: recovery trims as well.
        let _ = file.trim();
        if matches!(error.step, "append" | "seal" | CLOSE) && file.is_dirty() && file.sync(&self.options.stats).is_ok() {
            self.options.facts.push(file.durable());
        }
        let stream = Arc::clone(&file.stream);
        self.give_up(key, &stream, &file.path, error, std::mem::take(&mut file.undurable), item);
    }

    fn give_up(
        &mut self,
        key: SegmentKey,
        stream: &Arc<StreamShared>,
        path: &Path,
        error: &StepError,
        mut items: Vec<Item>,
        last: Option<Item>,
    ) {
        if let Some(item) = last {
            if error.refused {
                self.discard(stream, &item);
            } else {
                items.push(item);
            }
        }
        self.options.facts.push(failed(key, stream.id, self.options.root, path, error));
        self.segments.insert(key, Segment::Failed { stream: stream.id, items });
        (self.options.report)(WriterReport::Failed { stream: stream.id, key, root: self.options.root });
    }

    /// Gives every segment up, and what is not durable back without being asked: nobody can ask any more.
    fn abandon(&mut self) {
        let growing = self.segments.iter().filter(|(_, segment)| matches!(segment, Segment::Growing(_)));
        let keys: Vec<SegmentKey> = growing.map(|(key, _)| *key).collect();
        for key in keys {
            self.options.progress.step();
            self.fail(key, &StepError { step: CLOSE, source: io::Error::from_raw_os_error(libc::ENODEV), refused: false }, None);
        }
        for (key, segment) in std::mem::take(&mut self.segments) {
            if let Segment::Failed { stream, items } = segment {
                (self.options.report)(WriterReport::Reclaimed { stream, key, items });
            }
        }
    }

    /// A fragment that no segment can hold.
    fn discard(&self, stream: &StreamShared, item: &Item) {
        stream.remove_in_flight(item.memory_bytes());
        stream.stats.add(StreamSlot::DroppedFragments, 1);
        stream.stats.add(StreamSlot::DroppedBytes, item.bytes());
        self.options.facts.push(Fact::Dropped {
            stream: stream.id,
            cause: DropCause::Queue,
            fragments: 1,
            bytes: item.bytes(),
            from_utc_ms: item.fragment.start_utc_ms,
            to_utc_ms: item.end_utc_ms(),
        });
    }

    fn sync_if_due(&mut self) {
        if self.sync_due.is_some_and(|due| due <= Instant::now()) {
            self.sync_group();
        }
    }

    /// Starts the write-out of all files, so that the device sees one burst, and waits for all of it before the first sync, so that the file
    /// system's journal takes one commit for the group instead of one a file.
    fn sync_group(&mut self) {
        self.sync_due = None;
        let mut keys = Vec::new();
        for (key, segment) in &self.segments {
            if let Segment::Growing(file) = segment
                && file.is_dirty()
            {
                file.start_write_out();
                keys.push(*key);
            }
        }
        if keys.is_empty() {
            return;
        }
        let progress = Arc::clone(&self.options.progress);
        let ((), took_us) = progress.syncing(|| {
            for key in &keys {
                progress.step();
                if let Some(Segment::Growing(file)) = self.segments.get(key)
                    && let Err(error) = file.await_write_out()
                {
                    self.fail(*key, &error, None);
                }
            }
            for key in keys {
                progress.step();
                let Some(Segment::Growing(file)) = self.segments.get_mut(&key) else { continue };
                match file.sync(&self.options.stats) {
                    Ok(()) => self.options.facts.push(file.durable()),
                    Err(error) => self.fail(key, &error, None),
                }
            }
        });
        self.options.stats.add(EngineSlot::SyncGroups, 1);
        self.options.stats.set(EngineSlot::SyncLastUs, took_us);
        self.options.stats.raise(EngineSlot::SyncMaxUs, took_us);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Mutex;

    use mio::{Poll, Token, Waker};

    use super::*;
    use crate::testing::{item, stream, ticket};

    #[test]
    fn what_a_failed_segment_holds_comes_back_when_the_root_is_given_up_before_it_was_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("blocked"), "a file where a directory should be").unwrap();
        let poll = Poll::new().unwrap();
        let reports = Arc::new(Mutex::new(Vec::new()));
        let inbox = Arc::new(Inbox::default());
        let shared = stream(1 << 20);
        let ticket = Box::new(ticket(&directory.path().join("blocked"), 0));
        let key = SegmentKey { run: ticket.run, sequence: ticket.sequence };
        inbox.send(WriterOrder::Open { stream: Arc::clone(&shared), ticket, item: item(0, 1000) });
        inbox.send(WriterOrder::Append { key, item: item(1, 1000) });
        inbox.send(WriterOrder::Abandon);
        let told = Arc::clone(&reports);
        let writer = spawn(WriterOptions {
            root: 1,
            home: Arc::new(Root::at(directory.path()).unwrap()),
            sync_after: Duration::from_millis(50),
            inbox,
            facts: Arc::new(FactQueue::new(Arc::new(Waker::new(poll.registry(), Token(0)).unwrap()))),
            stats: Arc::default(),
            progress: Arc::new(Progress::default()),
            report: Box::new(move |report| told.lock().unwrap().push(report)),
        });
        writer.unwrap().join().unwrap();
        let reports = reports.lock().unwrap();
        let [WriterReport::Failed { .. }, WriterReport::Reclaimed { items, .. }] = reports.as_slice() else { panic!("{reports:?}") };
        assert_eq!(items.iter().map(|item| item.fragment.sequence).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn a_failed_sync_gives_up_whatever_else_was_to_be_synced() {
        let directory = tempfile::tempdir().unwrap();
        let poll = Poll::new().unwrap();
        let shared = stream(1 << 20);
        let mut writer = Writer {
            options: WriterOptions {
                root: 1,
                home: Arc::new(Root::at(directory.path()).unwrap()),
                sync_after: Duration::from_secs(60),
                inbox: Arc::default(),
                facts: Arc::new(FactQueue::new(Arc::new(Waker::new(poll.registry(), Token(0)).unwrap()))),
                stats: Arc::default(),
                progress: Arc::new(Progress::default()),
                report: Box::new(|_| ()),
            },
            segments: BTreeMap::new(),
            sync_due: None,
            headers: Vec::new(),
        };
        let keys = [0, 1, 2].map(|sequence| {
            let ticket = ticket(&directory.path().join("day"), sequence);
            let key = SegmentKey { run: ticket.run, sequence: ticket.sequence };
            writer.open(&shared, &ticket, item(2 * u64::from(sequence), 1000));
            key
        });
        // The third has nothing that the device could have lost.
        let Some(Segment::Growing(synced)) = writer.segments.get_mut(&keys[2]) else { panic!("the third segment does not grow") };
        synced.sync(&writer.options.stats).unwrap();
        writer.fail(keys[0], &StepError { step: SYNC, source: io::Error::from_raw_os_error(libc::EIO), refused: false }, None);
        let held = keys.map(|key| match writer.segments.get(&key) {
            Some(Segment::Failed { items, .. }) => Some(items.len()),
            _ => None,
        });
        assert_eq!(held, [Some(1), Some(1), None]);
    }
}
