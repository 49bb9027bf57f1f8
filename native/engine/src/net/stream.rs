//! A stream on the network thread: fragments from its run into ring and recording, numbers onto its stats page.

use std::sync::Arc;

use easyrms_media::assembler::{Counters, Now};
use easyrms_media::fragment::Discontinuity;
use easyrms_media::track::Track;

use super::hub::Hub;
use super::run::Run;
use crate::facts::{Fact, SegmentEnd, TrackDescription};
use crate::recording::{Outlet, Recording};
use crate::ring::Item;
use crate::stats::StreamSlot as Slot;
use crate::stream::StreamShared;

/// The network thread's part of a stream.
pub struct Stream {
    pub shared: Arc<StreamShared>,
    pub recording: Recording,
    pub run: Option<Run>,
    next_sequence: u64,
    /// Sums of the runs before, slot by slot as [`counted`] lists them.
    before: [u64; COUNTED],
    /// UTC-free anchor of the run: monotonic time of its media time 0 by the least delayed fragment, milliseconds.
    anchor_mono_ms: Option<i64>,
    /// Tracks as last told in a media fact of this run.
    told: Option<Arc<[Track]>>,
}

impl Stream {
    pub fn new(shared: Arc<StreamShared>) -> Self {
        Self {
            recording: Recording::new(Arc::clone(&shared)),
            shared,
            run: None,
            next_sequence: 0,
            before: [0; COUNTED],
            anchor_mono_ms: None,
            told: None,
        }
    }

    /// Sequence of the next fragment.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    pub fn begin_run(&mut self, run: Run) {
        self.anchor_mono_ms = None;
        self.told = None;
        self.run = Some(run);
    }

    /// Ends the run of this connection, if it has the stream's; what is in progress comes out first.
    pub fn end_run(&mut self, connection: u32, reason: SegmentEnd, now: Now, hub: &mut Hub) {
        if self.run.as_ref().is_none_or(|run| run.connection != connection) {
            return;
        }
        if let Some(run) = &mut self.run {
            run.assembler().flush(now);
        }
        self.collect(now, hub);
        if let Some(run) = self.run.take() {
            for (sum, last) in self.before.iter_mut().zip(counted(run.counters(), run.foreign_packets())) {
                *sum += last.1;
            }
        }
        self.recording.run_ended(reason, hub);
    }

    /// Takes completed fragments out of the assembler and publishes the numbers.
    pub fn collect(&mut self, now: Now, hub: &mut Hub) {
        let Some(run) = &mut self.run else { return };
        while let Some(fragment) = run.assembler().next_fragment() {
            let fragment = Arc::new(fragment);
            self.next_sequence = fragment.sequence + 1;
            let end_ms = (fragment.start_us + fragment.duration_us) / 1000;
            let anchor = i64::try_from(now.mono_us / 1000).unwrap_or(i64::MAX) - end_ms;
            let anchor = self.anchor_mono_ms.map_or(anchor, |known| known.min(anchor));
            self.anchor_mono_ms = Some(anchor);
            if self.told.as_ref().is_none_or(|told| *told != fragment.tracks) {
                self.told = Some(Arc::clone(&fragment.tracks));
                hub.facts.push(Fact::Media {
                    connection: run.connection,
                    stream: self.shared.id,
                    tracks: fragment.tracks.iter().map(TrackDescription::of).collect(),
                    start_utc_ms: fragment.start_utc_ms,
                });
            }
            if fragment.discontinuity == Some(Discontinuity::ClockStep) {
                self.recording.run_ended(SegmentEnd::ClockStep, hub);
                hub.facts.push(Fact::ClockStepped { stream: self.shared.id });
            }
            let item = Item {
                start_mono_ms: u64::try_from(anchor + fragment.start_us / 1000).unwrap_or(0),
                run: self.recording.run(),
                discontinuity: fragment.discontinuity,
                fragment,
            };
            {
                let mut ring = self.shared.ring();
                ring.push(item.clone());
                self.shared.stats.set(Slot::RingBytes, ring.bytes());
                self.shared.stats.set(Slot::RingFragments, ring.fragments() as u64);
            }
            self.recording.fragment(item, hub);
        }
        self.shared.stats.set(Slot::Fragments, self.next_sequence);
        self.publish();
    }

    fn publish(&self) {
        let Some(run) = &self.run else { return };
        let counters = run.counters();
        let stats = &self.shared.stats;
        for ((slot, value), sum) in counted(counters, run.foreign_packets()).into_iter().zip(self.before) {
            stats.set(slot, sum + value);
        }
        for (slot, value) in gauges(counters) {
            stats.set(slot, value);
        }
    }

    /// Hands out what waited for the writer.
    pub fn pump(&mut self, hub: &mut Hub) {
        self.recording.pump(hub as &mut dyn Outlet);
    }
}

const COUNTED: usize = 17;

/// Counters that go on over runs.
fn counted(counters: &Counters, foreign_packets: u64) -> [(Slot, u64); COUNTED] {
    [
        (Slot::Packets, counters.packets),
        (Slot::Bytes, counters.bytes),
        (Slot::MalformedPackets, counters.malformed_packets),
        (Slot::LostPackets, counters.lost_packets),
        (Slot::DuplicatePackets, counters.duplicate_packets),
        (Slot::IgnoredPackets, counters.ignored_packets + foreign_packets),
        (Slot::RtcpPackets, counters.rtcp_packets),
        (Slot::SenderReports, counters.sender_reports),
        (Slot::VideoUnits, counters.video_units),
        (Slot::AudioUnits, counters.audio_units),
        (Slot::RandomAccessUnits, counters.random_access_units),
        (Slot::DiscardedUnits, counters.discarded_units),
        (Slot::DiscardedBeforeStart, counters.discarded_before_start),
        (Slot::TimeJumps, counters.time_jumps),
        (Slot::Outliers, counters.outliers),
        (Slot::VideoBytes, counters.video_bytes),
        (Slot::AudioBytes, counters.audio_bytes),
    ]
}

/// Numbers of the run in progress.
fn gauges(counters: &Counters) -> [(Slot, u64); 7] {
    [
        (Slot::FirstVideoTicks, counters.first_video_ticks),
        (Slot::LastVideoTicks, counters.last_video_ticks),
        (Slot::FirstVideoArrivalUs, counters.first_video_arrival_us),
        (Slot::LastVideoArrivalUs, counters.last_video_arrival_us),
        (Slot::LastGopTicks, counters.last_gop_ticks),
        (Slot::JitterTicks, counters.jitter_ticks),
        (Slot::LastMediaMonoMs, counters.last_media_mono_ms),
    ]
}
