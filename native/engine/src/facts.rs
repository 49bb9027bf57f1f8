//! Facts: what TypeScript gets to know, queued by every thread and handed up by the network thread, one batch a wake-up.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use easyrms_media::mp4;
use easyrms_media::track::{CodecConfig, Track};
use mio::Waker;
use serde::Serialize;

/// Facts waiting at most; with one batch a tick this is minutes of a busy box.
const MAX_FACTS: usize = 8192;
/// Bytes of RTSP text waiting at most.
const MAX_MESSAGE_BYTES: usize = 8 << 20;

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DisconnectCause {
    Requested,
    Refused,
    Unreachable,
    Timeout,
    Reset,
    ClosedByPeer,
    Framing,
    MessageTooLarge,
    SendBlocked,
}

/// Why a segment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SegmentEnd {
    Cut,
    Requested,
    Disconnected,
    ParameterChange,
    TimeJump,
    ClockStep,
    Dropped,
}

/// What bounded memory made the engine discard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DropCause {
    Queue,
}

/// A track as facts and scans describe it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrackDescription {
    pub kind: &'static str,
    pub codec: &'static str,
    pub clock_rate_hz: u32,
    /// 0 for video.
    pub channels: u32,
    /// Luma samples; `None` for sound, and for video whose parameter sets could not be read.
    pub width: Option<u32>,
    pub height: Option<u32>,
}

impl TrackDescription {
    pub fn of(track: &Track) -> Self {
        let size = match &track.config {
            CodecConfig::H264 { sps, .. } => sps.first().and_then(|sps| mp4::dimensions(sps)),
            CodecConfig::Aac { .. } | CodecConfig::Pcm => None,
        };
        Self {
            kind: if track.codec.is_video() { "video" } else { "audio" },
            codec: track.codec.name(),
            clock_rate_hz: track.clock_rate,
            channels: u32::from(track.channels),
            width: size.map(|(width, _)| u32::from(width)),
            height: size.map(|(_, height)| u32::from(height)),
        }
    }
}

/// Key of a segment with the stream it belongs to, as every segment fact carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SegmentName {
    pub stream: u32,
    /// UUID text.
    pub run: String,
    pub sequence: u32,
}

/// Something that happened. Names and fields are those of `Fact` in `src/engine/types.ts`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Fact {
    Connected {
        connection: u32,
        stream: u32,
        mono_ms: u64,
    },
    Disconnected {
        connection: u32,
        stream: u32,
        cause: DisconnectCause,
        detail: String,
        mono_ms: u64,
    },
    Message {
        connection: u32,
        text: String,
    },
    Media {
        connection: u32,
        stream: u32,
        tracks: Vec<TrackDescription>,
        start_utc_ms: i64,
    },
    ClockStepped {
        stream: u32,
    },
    SegmentOpened {
        #[serde(flatten)]
        name: SegmentName,
        root: u32,
        path: String,
        start_utc_ms: i64,
        start_mono_ms: u64,
        tracks: Vec<TrackDescription>,
    },
    Durable {
        #[serde(flatten)]
        name: SegmentName,
        fragments: u64,
        bytes: u64,
        end_utc_ms: i64,
    },
    SegmentEnded {
        #[serde(flatten)]
        name: SegmentName,
        root: u32,
        path: String,
        start_utc_ms: i64,
        end_utc_ms: i64,
        duration_ms: u64,
        fragments: u64,
        bytes: u64,
        reason: SegmentEnd,
    },
    SegmentSealed {
        #[serde(flatten)]
        name: SegmentName,
        root: u32,
        path: String,
        bytes: u64,
        crc64: String,
        blake3: String,
    },
    SegmentFailed {
        #[serde(flatten)]
        name: SegmentName,
        root: u32,
        path: String,
        step: &'static str,
        errno: i32,
        message: String,
    },
    Dropped {
        stream: u32,
        cause: DropCause,
        fragments: u64,
        bytes: u64,
        from_utc_ms: i64,
        to_utc_ms: i64,
    },
    Overflow {
        lost: u64,
    },
}

/// The bounded way up. What finds no room is lost and counted; an `overflow` fact says so, and TypeScript reconciles from state.
#[derive(Debug)]
pub struct FactQueue {
    waiting: Mutex<Waiting>,
    /// The network thread is about to sleep without a tick: whoever adds a fact must wake it.
    asleep: AtomicBool,
    waker: Arc<Waker>,
}

#[derive(Debug, Default)]
struct Waiting {
    facts: VecDeque<Fact>,
    message_bytes: usize,
    /// Since the last batch.
    lost: u64,
    /// Since the start.
    lost_total: u64,
}

impl FactQueue {
    pub fn new(waker: Arc<Waker>) -> Self {
        Self { waiting: Mutex::default(), asleep: AtomicBool::new(false), waker }
    }

    pub fn push(&self, fact: Fact) {
        self.lock().push(fact);
        if self.asleep.swap(false, Ordering::SeqCst) {
            // The waker fails only when the network thread's epoll is gone, and with it everybody who would read the fact.
            let _ = self.waker.wake();
        }
    }

    /// Everything that waits, or nothing.
    pub fn take(&self) -> Option<Vec<Fact>> {
        let mut waiting = self.lock();
        waiting.message_bytes = 0;
        let lost = std::mem::take(&mut waiting.lost);
        let mut facts: Vec<Fact> = waiting.facts.drain(..).collect();
        if lost > 0 {
            facts.push(Fact::Overflow { lost });
        }
        (!facts.is_empty()).then_some(facts)
    }

    pub fn is_empty(&self) -> bool {
        let waiting = self.lock();
        waiting.facts.is_empty() && waiting.lost == 0
    }

    /// Announces that nobody will look for facts before a wake-up; false if some wait already.
    pub fn may_sleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        self.lock().facts.is_empty()
    }

    /// The network thread is awake and will look by itself.
    pub fn awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Facts lost since the start.
    pub fn lost_total(&self) -> u64 {
        self.lock().lost_total
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn push(&mut self, fact: Fact) {
        if let Fact::Durable { name, .. } = &fact {
            // Cumulative: the newest of a segment says it all.
            let same = |known: &&mut Fact| matches!(known, Fact::Durable { name: of, .. } if of == name);
            if let Some(known) = self.facts.iter_mut().rev().find(same) {
                *known = fact;
                return;
            }
        }
        let text_bytes = if let Fact::Message { text, .. } = &fact { text.len() } else { 0 };
        if self.facts.len() >= MAX_FACTS || (text_bytes > 0 && self.message_bytes + text_bytes > MAX_MESSAGE_BYTES) {
            self.lost += 1;
            self.lost_total += 1;
            return;
        }
        self.message_bytes += text_bytes;
        self.facts.push_back(fact);
    }
}
