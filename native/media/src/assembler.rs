//! From RTP packets to fragments: everything of one connection's media that needs no I/O and no clock.

use std::num::NonZeroU32;
use std::sync::Arc;

use crate::builder::{FragmentBuilder, Unit};
use crate::depacketize::{AacDepacketizer, G711Depacketizer, H264Depacketizer, PayloadHead, UnitInfo, UnitSink};
use crate::fragment::{BufferPool, Discontinuity, Fragment};
use crate::h264::ParameterSets;
use crate::reception::{Arrival, Reception};
use crate::rtcp::{self, LastSenderReport, Report, SenderReport};
use crate::rtp::RtpPacket;
use crate::timeline::{Placement, Timeline, us_to_ticks};
use crate::track::{Codec, CodecConfig, Track};

pub use crate::depacketize::AacLengths;

/// Readings of the host's clocks for what is passed in beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Monotonic clock, microseconds.
    pub mono_us: u64,
    /// UTC, milliseconds since 1970.
    pub utc_ms: i64,
    /// UTC minus the monotonic clock, microseconds.
    pub offset_us: i64,
    /// How often the wall clock has been moved: UTC of two readings is of one clock only where this is the same.
    pub steps: u32,
}

/// A track as SDP and SETUP told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackSetup {
    pub track: Track,
    pub payload_type: u8,
    /// Of the Transport header. A hint: another source has to prove itself by a second packet, and then is as good.
    pub ssrc: Option<u32>,
    /// For AAC; the values of AAC-hbr where absent.
    pub aac: Option<AacLengths>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AssemblerConfig {
    /// Target length of a fragment.
    pub fragment_ms: u32,
    /// Of the first fragment: the stream's count goes on over runs.
    pub first_sequence: u64,
}

/// What happened since the assembler was made. Numbers that can be negative are two's complement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// RTP packets handed in, whatever became of them.
    pub packets: u64,
    pub bytes: u64,
    /// RTP, RTCP or payload formats violated.
    pub malformed_packets: u64,
    /// Missing by sequence number.
    pub lost_packets: u64,
    /// Repeated or late, and dropped.
    pub duplicate_packets: u64,
    /// Of a foreign payload type or source, and dropped.
    pub ignored_packets: u64,
    /// RTCP compound packets handed in.
    pub rtcp_packets: u64,
    pub sender_reports: u64,
    /// Access units kept.
    pub video_units: u64,
    pub audio_units: u64,
    /// Video units kept that decoding can start from.
    pub random_access_units: u64,
    /// Units dropped because a part of them is missing or wrong.
    pub discarded_units: u64,
    /// Whole units dropped because they came before the first random access point.
    pub discarded_before_start: u64,
    /// The camera's clock jumped and media time was joined.
    pub time_jumps: u64,
    /// Units whose time made no sense and was replaced.
    pub outliers: u64,
    /// Bytes of the units kept.
    pub video_bytes: u64,
    pub audio_bytes: u64,
    /// Media time of the first and newest video unit kept, in ticks since the start of the run.
    pub first_video_ticks: u64,
    pub last_video_ticks: u64,
    /// Monotonic times at which these two were complete.
    pub first_video_arrival_us: u64,
    pub last_video_arrival_us: u64,
    /// Ticks between the two newest random access points.
    pub last_gop_ticks: u64,
    /// Interarrival jitter of the video (of the sound where there is no video), RFC 3550 section 6.4.1, ticks.
    pub jitter_ticks: u64,
    /// Monotonic time of the newest unit of video (of sound where there is no video), kept or not, milliseconds.
    pub last_media_mono_ms: u64,
    /// Fragments made.
    pub fragments: u64,
}

/// Sound and picture are tied by sender reports only if these agree with their arrival this closely, microseconds.
const TIE_TOLERANCE_US: i64 = 2_000_000;
/// Identifies this receiver in its reports; any value will do where there is one receiver (RFC 3550 section 8.1).
const OWN_SSRC: u32 = 0x4561_5279;

/// Assembles the media of one connection.
#[derive(Debug)]
pub struct Assembler {
    sources: Vec<Source>,
    builder: FragmentBuilder,
    run: Run,
    first_sequence: u64,
}

/// State of the run that all tracks share.
#[derive(Debug)]
struct Run {
    counters: Counters,
    /// The track that starts and cuts: video if there is any.
    lead: usize,
    start: Option<Start>,
}

/// The unit that media time counts from: the lead track's first one that decoding can start from.
#[derive(Debug, Clone, Copy)]
struct Start {
    arrival_us: i64,
    /// Its place on the lead track's clock.
    ticks: i64,
    /// Its wall time by the lead track's sender reports, 1/65536 s since 1900.
    ntp_65536: Option<i64>,
}

#[derive(Debug)]
struct Source {
    payload_type: u8,
    depacketizer: Depacketizer,
    reception: Reception,
    clock: SourceClock,
    /// The packet of an unknown source or numbering that the next one may prove; empty if there is none.
    unproven: Vec<u8>,
    unproven_at: Now,
}

/// A track's clock against the run's.
#[derive(Debug)]
struct SourceClock {
    rate: NonZeroU32,
    timeline: Timeline,
    /// Place of media time 0.
    origin: Option<i64>,
    sender_report: Option<(SenderReport, u64)>,
    last_random_access_ticks: Option<i64>,
}

#[derive(Debug)]
enum Depacketizer {
    H264(H264Depacketizer),
    Aac(AacDepacketizer),
    G711(G711Depacketizer),
}

impl Depacketizer {
    fn new(setup: &TrackSetup) -> Self {
        match (&setup.track.config, setup.track.codec) {
            (CodecConfig::H264 { sps, pps }, _) => Self::H264(H264Depacketizer::new(ParameterSets::of(sps, pps))),
            (CodecConfig::Aac { audio_specific_config }, _) => {
                Self::Aac(AacDepacketizer::new(setup.aac.unwrap_or(AacLengths::HBR), audio_specific_config))
            }
            (CodecConfig::Pcm, Codec::H264) => Self::H264(H264Depacketizer::new(ParameterSets::default())),
            (CodecConfig::Pcm, _) => Self::G711(G711Depacketizer::new(setup.track.channels)),
        }
    }
}

impl Run {
    /// Sound that is joined anew breaks nothing: the picture goes on.
    fn note_placement(&mut self, placement: Placement, lead: bool, builder: &mut FragmentBuilder) {
        match placement {
            Placement::Continuous(_) => {}
            Placement::Outlier(_) => self.counters.outliers += 1,
            Placement::Jump(_) => {
                self.counters.time_jumps += 1;
                if lead {
                    builder.break_before_next(Discontinuity::TimeJump);
                }
            }
        }
    }
}

impl Source {
    /// Hands a packet that counts to the depacketizer.
    fn deliver(&mut self, track: usize, packet: RtpPacket<'_>, after_loss: bool, builder: &mut FragmentBuilder, run: &mut Run, now: Now) {
        let Self { depacketizer, clock, reception, .. } = self;
        reception.time(packet.timestamp, clock.us_to_ticks(now.mono_us as i64) as u32);
        if track == run.lead {
            run.counters.jitter_ticks = u64::from(reception.jitter_ticks());
        }
        let head = PayloadHead { timestamp: packet.timestamp, marker: packet.marker, after_loss };
        let sink = &mut TrackSink { track, clock, builder, run, now };
        match depacketizer {
            Depacketizer::H264(h264) => h264.push(head, packet.payload, sink),
            Depacketizer::Aac(aac) => aac.push(head, packet.payload, sink),
            Depacketizer::G711(g711) => g711.push(head, packet.payload, sink),
        }
    }
}

impl SourceClock {
    /// Another source took over: its clock is joined whatever its timestamps are, and the reports of the one before say nothing of it.
    fn restart(&mut self, track: usize, timestamp: u32, now: Now, builder: &mut FragmentBuilder, run: &mut Run) {
        self.sender_report = None;
        let placement = self.timeline.restart(timestamp, now.mono_us as i64);
        run.note_placement(placement, track == run.lead, builder);
    }

    fn us_to_ticks(&self, us: i64) -> i64 {
        us_to_ticks(us, self.rate)
    }

    /// Wall time of a place on this clock by its sender report, 1/65536 s since 1900.
    fn ntp_65536(&self, ticks: i64) -> Option<i64> {
        let (report, _) = self.sender_report?;
        let behind = ticks - self.timeline.peek(report.rtp_timestamp)?;
        Some((report.ntp >> 16) as i64 + behind.saturating_mul(65536) / i64::from(self.rate.get()))
    }

    /// Place of the run's start on this clock, given where it lies by arrival; sender reports of both tracks are preferred if sane.
    fn tie(&self, start: Start, by_arrival: i64) -> i64 {
        let tied = || {
            let behind_65536 = self.ntp_65536(by_arrival)? - start.ntp_65536?;
            let off_us = behind_65536.saturating_mul(1_000_000) / 65536;
            (off_us.abs() <= TIE_TOLERANCE_US).then(|| by_arrival - self.us_to_ticks(off_us))
        };
        tied().unwrap_or(by_arrival)
    }
}

impl Assembler {
    /// `setups` in the order of the tracks, video first.
    pub fn new(config: AssemblerConfig, setups: Vec<TrackSetup>, pool: Arc<BufferPool>) -> Self {
        let sources = setups
            .iter()
            .map(|setup| {
                let rate = setup.track.ticks_per_second();
                Source {
                    payload_type: setup.payload_type,
                    depacketizer: Depacketizer::new(setup),
                    reception: Reception::new(setup.ssrc),
                    unproven: Vec::new(),
                    unproven_at: Now { mono_us: 0, utc_ms: 0, offset_us: 0, steps: 0 },
                    clock: SourceClock {
                        rate,
                        timeline: Timeline::new(rate),
                        origin: None,
                        sender_report: None,
                        last_random_access_ticks: None,
                    },
                }
            })
            .collect();
        let tracks: Arc<[Track]> = setups.into_iter().map(|setup| readable(setup.track)).collect();
        let lead = tracks.iter().position(|track| track.codec.is_video()).unwrap_or(0);
        Self {
            sources,
            builder: FragmentBuilder::new(tracks, config.fragment_ms, config.first_sequence, pool),
            run: Run { counters: Counters::default(), lead, start: None },
            first_sequence: config.first_sequence,
        }
    }

    /// Takes an RTP packet of track `track` (index into the setups).
    pub fn rtp(&mut self, track: usize, packet: &[u8], now: Now) {
        let Self { sources, builder, run, .. } = self;
        run.counters.packets += 1;
        run.counters.bytes += packet.len() as u64;
        let (Some(source), Ok(parsed)) = (sources.get_mut(track), RtpPacket::parse(packet)) else {
            run.counters.malformed_packets += 1;
            return;
        };
        if parsed.payload_type != source.payload_type {
            run.counters.ignored_packets += 1;
            return;
        }
        let arrival = source.reception.arrive(parsed.ssrc, parsed.sequence);
        let unproven = std::mem::take(&mut source.unproven);
        let restart = matches!(arrival, Arrival::Restart { .. });
        run.counters.ignored_packets += u64::from(!unproven.is_empty() && !restart);
        let mut after_loss = false;
        match arrival {
            Arrival::InOrder { lost } => {
                run.counters.lost_packets += u64::from(lost);
                builder.lose(u32::from(lost));
                after_loss = lost > 0;
            }
            Arrival::Late => run.counters.duplicate_packets += 1,
            Arrival::Unproven => {}
            Arrival::Restart { other_source } => {
                if let Ok(first) = RtpPacket::parse(&unproven) {
                    if other_source {
                        source.clock.restart(track, first.timestamp, source.unproven_at, builder, run);
                    }
                    source.deliver(track, first, true, builder, run, source.unproven_at);
                }
            }
        }
        source.unproven = unproven;
        source.unproven.clear();
        match arrival {
            Arrival::InOrder { .. } | Arrival::Restart { .. } => source.deliver(track, parsed, after_loss, builder, run, now),
            Arrival::Unproven => {
                source.unproven.extend_from_slice(packet);
                source.unproven_at = now;
            }
            Arrival::Late => {}
        }
    }

    /// Takes an RTCP compound packet of track `track`.
    pub fn rtcp(&mut self, track: usize, packet: &[u8], now: Now) {
        let counters = &mut self.run.counters;
        counters.rtcp_packets += 1;
        let Some(source) = self.sources.get_mut(track) else { return };
        let ssrc = source.reception.source();
        let parsed = rtcp::parse(packet, |report| match report {
            Report::Sender(report) if ssrc.is_none_or(|ssrc| ssrc == report.ssrc) => {
                counters.sender_reports += 1;
                source.clock.sender_report = Some((report, now.mono_us));
            }
            Report::Sender(_) | Report::Bye => {}
        });
        if parsed.is_err() {
            counters.malformed_packets += 1;
        }
        self.tie_again();
    }

    /// Sender reports that come within the first fragment still correct where its sound lies.
    fn tie_again(&mut self) {
        let Self { sources, builder, run, first_sequence } = self;
        let Some(start) = &mut run.start else { return };
        if builder.next_sequence() != *first_sequence {
            return;
        }
        start.ntp_65536 = sources.get(run.lead).and_then(|source| source.clock.ntp_65536(start.ticks));
        for (track, Source { clock, .. }) in sources.iter_mut().enumerate().filter(|(track, _)| *track != run.lead) {
            if let Some(origin) = clock.origin {
                let tied = clock.tie(*start, origin);
                clock.origin = Some(tied);
                builder.shift(track, origin - tied);
            }
        }
    }

    /// The session is over: the unit and the fragment in progress come out.
    pub fn flush(&mut self, now: Now) {
        let Self { sources, builder, run, .. } = self;
        for (track, source) in sources.iter_mut().enumerate() {
            let Source { depacketizer, clock, .. } = source;
            if let Depacketizer::H264(h264) = depacketizer {
                h264.flush(&mut TrackSink { track, clock, builder, run, now });
            }
        }
        builder.flush();
    }

    /// The next finished fragment. To be called until `None` after each batch of packets.
    pub fn next_fragment(&mut self) -> Option<Fragment> {
        let fragment = self.builder.next_fragment()?;
        self.run.counters.fragments += 1;
        Some(fragment)
    }

    /// Appends a compound of receiver report and SDES (RFC 3550 sections 6.4.2 and 6.5) without interleaved header; false if there
    /// is nothing to report yet.
    pub fn receiver_report(&mut self, track: usize, now: Now, out: &mut Vec<u8>) -> bool {
        let Some(source) = self.sources.get_mut(track) else { return false };
        let (Some(block), Some(ssrc)) = (source.reception.report(), source.reception.source()) else { return false };
        let last = source.clock.sender_report.map_or_else(LastSenderReport::default, |(report, arrival_us)| LastSenderReport {
            middle: (report.ntp >> 16) as u32,
            delay_65536: (now.mono_us.saturating_sub(arrival_us).saturating_mul(65536) / 1_000_000) as u32,
        });
        rtcp::write_receiver_report(OWN_SSRC, ssrc, &block, last, out);
        true
    }

    pub fn counters(&self) -> &Counters {
        &self.run.counters
    }

    /// The tracks with the configuration valid now; another `Arc` after each change.
    pub fn tracks(&self) -> Arc<[Track]> {
        Arc::clone(self.builder.tracks())
    }

    /// Sequence of the next fragment.
    pub fn next_sequence(&self) -> u64 {
        self.builder.next_sequence()
    }
}

/// The track with those sets of its SDP that are any, in order of their ids, as the stream's own are told later.
fn readable(mut track: Track) -> Track {
    if let CodecConfig::H264 { sps, pps } = &mut track.config {
        (*sps, *pps) = ParameterSets::of(sps, pps).lists();
    }
    track
}

/// Takes the units of one track for the time of one call.
struct TrackSink<'a> {
    track: usize,
    clock: &'a mut SourceClock,
    builder: &'a mut FragmentBuilder,
    run: &'a mut Run,
    now: Now,
}

impl UnitSink for TrackSink<'_> {
    fn buffer(&mut self) -> &mut Vec<u8> {
        self.builder.buffer(self.track)
    }

    fn start(&self) -> usize {
        self.builder.unit_start(self.track)
    }

    fn reopen(&mut self) -> bool {
        self.builder.reopen(self.track)
    }

    fn discard(&mut self) {
        let counted = self.builder.discard(self.track);
        let counters = &mut self.run.counters;
        counters.discarded_units += 1;
        if let Some(bytes) = counted {
            counters.video_units -= 1;
            counters.video_bytes -= bytes as u64;
        }
    }

    fn malformed(&mut self) {
        self.run.counters.malformed_packets += 1;
    }

    fn parameter_sets(&mut self, sets: &ParameterSets) {
        let (sps, pps) = sets.lists();
        self.builder.change_config(self.track, CodecConfig::H264 { sps, pps });
    }

    fn unit(&mut self, info: UnitInfo) {
        let lead = self.track == self.run.lead;
        if lead {
            self.run.counters.last_media_mono_ms = self.now.mono_us / 1000;
        }
        if let Some(bytes) = self.builder.close_reopened(self.track) {
            self.run.counters.video_bytes += bytes as u64;
            return;
        }
        let arrival_us = self.now.mono_us as i64;
        let placement = self.clock.timeline.place(info.timestamp, arrival_us);
        self.run.note_placement(placement, lead, self.builder);
        let ticks = placement.ticks();
        let Some(origin) = self.origin(info, ticks, arrival_us) else {
            self.builder.discard(self.track);
            self.run.counters.discarded_before_start += 1;
            return;
        };
        let presentation_ticks = ticks - origin;
        self.count(info, presentation_ticks);
        let unit = Unit { presentation_ticks, duration_ticks: info.duration_ticks, random_access: info.random_access };
        self.builder.unit(self.track, unit, self.now);
    }
}

impl TrackSink<'_> {
    /// Place of media time 0 on this track's clock; `None` as long as the run has not started.
    fn origin(&mut self, info: UnitInfo, ticks: i64, arrival_us: i64) -> Option<i64> {
        if let Some(origin) = self.clock.origin {
            return Some(origin);
        }
        let origin = if self.track == self.run.lead {
            if !info.random_access || !self.builder.is_described(self.track) {
                return None;
            }
            self.run.start = Some(Start { arrival_us, ticks, ntp_65536: self.clock.ntp_65536(ticks) });
            ticks
        } else {
            let start = self.run.start?;
            self.clock.tie(start, ticks - self.clock.us_to_ticks(arrival_us - start.arrival_us))
        };
        self.clock.origin = Some(origin);
        Some(origin)
    }

    fn count(&mut self, info: UnitInfo, ticks: i64) {
        let counters = &mut self.run.counters;
        let bytes = self.builder.unit_bytes(self.track) as u64;
        if !self.builder.is_video(self.track) {
            counters.audio_units += 1;
            counters.audio_bytes += bytes;
            return;
        }
        if counters.video_units == 0 {
            counters.first_video_ticks = ticks as u64;
            counters.first_video_arrival_us = self.now.mono_us;
        }
        counters.video_units += 1;
        counters.video_bytes += bytes;
        counters.last_video_ticks = ticks as u64;
        counters.last_video_arrival_us = self.now.mono_us;
        if info.random_access {
            counters.random_access_units += 1;
            if let Some(before) = self.clock.last_random_access_ticks.replace(ticks) {
                counters.last_gop_ticks = (ticks - before).max(0) as u64;
            }
        }
    }
}
