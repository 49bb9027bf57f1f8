use super::{MAX_UNIT_BYTES, PayloadHead, UnitInfo, UnitSink};
use crate::h264::{self, ParameterSets, SliceHead, nal};

/// Packet types beyond single NAL units (RFC 6184 section 5.2).
const STAP_A: u8 = 24;
const FU_A: u8 = 28;
const LENGTH: usize = 4;

/// H.264 (RFC 6184, packetization modes 0 and 1) to access units of NAL units behind 4-byte lengths.
///
/// A unit ends when the timestamp changes or a NAL unit comes that cannot stand behind slices; a marker behind a slice ends it
/// at once, unless the stream has shown that its markers are wrong. Whatever ended it, a further slice of its picture opens it again:
/// some servers mark every slice, others repeat the parameter sets before each slice of an IDR picture.
#[derive(Debug)]
pub struct H264Depacketizer {
    sets: ParameterSets,
    sets_changed: bool,
    /// PPS of the newest random access point.
    pps: Option<u32>,
    unit: Option<Unit>,
    /// Packets of this timestamp belong to a unit that is lost.
    skip: Option<u32>,
    /// The unit before, if more of it may come all the same.
    ended: Option<Ended>,
    markers_wrong: bool,
}

/// A unit that ended while its timestamp went on.
#[derive(Debug, Clone, Copy)]
struct Ended {
    unit: Unit,
    by_marker: bool,
}

/// The unit in progress.
#[derive(Debug, Clone, Copy)]
struct Unit {
    timestamp: u32,
    stage: Stage,
    random_access: bool,
    /// An SEI says that decoding may begin here; whether it can is for the first slice to say.
    recovery_point: bool,
    /// `pic_parameter_set_id` of the first slice, if that could be read.
    pps: Option<u32>,
    /// Where in the unit the fragmented NAL unit in progress has its length.
    fragmented: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Packets were lost just before: the first slice must be the first of its picture.
    Unsure,
    BeforeSlices,
    Slices,
}

impl H264Depacketizer {
    /// `sets` are those of the SDP.
    pub fn new(sets: ParameterSets) -> Self {
        // The first packet may come from the middle of a picture.
        Self { sets, sets_changed: false, pps: None, unit: Some(Unit::UNSURE), skip: None, ended: None, markers_wrong: false }
    }

    pub fn push(&mut self, head: PayloadHead, payload: &[u8], sink: &mut impl UnitSink) {
        if head.after_loss {
            self.lose(sink);
        }
        if self.skip == Some(head.timestamp) {
            return;
        }
        self.skip = None;
        let Some(&first) = payload.first() else { return sink.malformed() };
        match first & 0x1f {
            0..STAP_A if first & 0x1f != 0 || starts_with_code(payload) => self.single(head, payload, sink),
            STAP_A => self.aggregate(head, payload, sink),
            FU_A => self.fragment(head, payload, sink),
            _ => return sink.malformed(),
        }
        if head.marker && !self.markers_wrong && self.unit.is_some_and(|unit| unit.has_slices() && unit.fragmented.is_none()) {
            let ended = self.unit;
            self.end(sink);
            self.ended = ended.map(|unit| Ended { unit, by_marker: true });
        }
    }

    /// Ends the unit in progress: nothing follows.
    pub fn flush(&mut self, sink: &mut impl UnitSink) {
        self.end(sink);
    }

    /// Forgets the unit in progress: what follows has nothing to do with it.
    pub fn lose(&mut self, sink: &mut impl UnitSink) {
        // Parameter sets of a picture that had ended say that another slice of it is to come: it is what is missing.
        let goes_on = |ended: &Ended| !ended.by_marker && self.unit.is_some_and(|unit| unit.timestamp == ended.unit.timestamp);
        let cut_short = self.ended.take().is_some_and(|ended| goes_on(&ended)) && sink.reopen();
        if cut_short || unit_bytes(sink) > 0 {
            sink.discard();
        }
        self.unit = Some(Unit::UNSURE);
    }

    /// A NAL unit of its own, or several behind start codes, which some cameras send.
    fn single(&mut self, head: PayloadHead, payload: &[u8], sink: &mut impl UnitSink) {
        if !starts_with_code(payload) && !h264::begins_access_unit(h264::nal_type(payload)) {
            return self.whole(head, payload, sink);
        }
        for unit in AnnexB::new(payload) {
            self.whole(head, unit, sink);
        }
    }

    /// STAP-A (RFC 6184 section 5.7.1).
    fn aggregate(&mut self, head: PayloadHead, payload: &[u8], sink: &mut impl UnitSink) {
        let mut rest = payload.get(1..).unwrap_or_default();
        while let Some((size, behind)) = rest.split_first_chunk::<2>() {
            let size = usize::from(u16::from_be_bytes(*size));
            let (Some(unit), Some(behind)) = (behind.get(..size), behind.get(size..)) else {
                sink.malformed();
                return self.abandon(head, sink);
            };
            self.whole(head, unit, sink);
            rest = behind;
        }
    }

    /// FU-A (RFC 6184 section 5.8).
    fn fragment(&mut self, head: PayloadHead, payload: &[u8], sink: &mut impl UnitSink) {
        let Some((&[indicator, header], data)) = payload.split_first_chunk::<2>() else { return sink.malformed() };
        let (start, end) = (header & 0x80 != 0, header & 0x40 != 0);
        let nal_header = indicator & 0xe0 | header & 0x1f;
        if start {
            if !self.begin(head, nal_header, data, sink) {
                return;
            }
            let Some(unit) = &mut self.unit else { return };
            unit.fragmented = Some(unit_bytes(sink));
            sink.buffer().extend([0, 0, 0, 0, nal_header]);
        } else if self.unit.is_none_or(|unit| unit.fragmented.is_none() || unit.timestamp != head.timestamp) {
            return self.abandon(head, sink);
        }
        sink.buffer().extend_from_slice(data);
        if end {
            self.end_fragmented(sink);
        }
        self.bound(head, sink);
    }

    fn end_fragmented(&mut self, sink: &mut impl UnitSink) {
        let Some(unit) = &mut self.unit else { return };
        let Some(at) = unit.fragmented.take() else { return };
        let at = sink.start() + at;
        let buffer = sink.buffer();
        let size = buffer.len().saturating_sub(at + LENGTH) as u32;
        if let Some(length) = buffer.get_mut(at..at + LENGTH) {
            length.copy_from_slice(&size.to_be_bytes());
        }
        let Some(whole) = buffer.get(at + LENGTH..).filter(|whole| h264::begins_access_unit(h264::nal_type(whole))) else { return };
        // Small units seldom come in pieces; where they do, a picture may follow behind a start code.
        if AnnexB::new(whole).count() == 1 {
            return self.note(at + LENGTH, sink);
        }
        let whole = buffer.split_off(at + LENGTH);
        buffer.truncate(at);
        for nal in AnnexB::new(&whole) {
            let buffer = sink.buffer();
            buffer.extend((nal.len() as u32).to_be_bytes());
            buffer.extend_from_slice(nal);
            let at = buffer.len() - nal.len();
            self.note(at, sink);
        }
    }

    /// Learns from the NAL unit that ends the buffer and began at `at`.
    fn note(&mut self, at: usize, sink: &mut impl UnitSink) {
        let (Some(bytes), Some(unit)) = (sink.buffer().get(at..), &mut self.unit) else { return };
        match h264::nal_type(bytes) {
            kind if h264::is_vcl(kind) => unit.note_slice(kind, bytes.get(1..).unwrap_or_default()),
            nal::SEI => unit.recovery_point |= h264::has_instant_recovery_point(bytes),
            nal::SPS | nal::PPS => self.sets_changed |= self.sets.take(bytes),
            _ => {}
        }
    }

    fn whole(&mut self, head: PayloadHead, bytes: &[u8], sink: &mut impl UnitSink) {
        let Some((&nal_header, payload)) = bytes.split_first() else { return };
        // What came before in the same packet may have shown that the unit is lost.
        if h264::nal_type(bytes) == 0 || self.skip.is_some() || !self.begin(head, nal_header, payload, sink) {
            return;
        }
        let buffer = sink.buffer();
        buffer.extend((bytes.len() as u32).to_be_bytes());
        buffer.extend_from_slice(bytes);
        let at = buffer.len() - bytes.len();
        self.note(at, sink);
        self.bound(head, sink);
    }

    /// Makes the unit in progress the one that a NAL unit with this header belongs to; false if that one is lost. `payload` is what there
    /// is of it behind the header.
    fn begin(&mut self, head: PayloadHead, nal_header: u8, payload: &[u8], sink: &mut impl UnitSink) -> bool {
        let kind = nal_header & 0x1f;
        if let Some(broken) = self.unit.filter(|unit| unit.fragmented.is_some()) {
            // The fragmented NAL unit before never ended.
            self.lose(sink);
            if broken.timestamp == head.timestamp {
                self.abandon(head, sink);
                return false;
            }
        }
        let over = |unit: Unit| unit.has_slices() && (unit.timestamp != head.timestamp || h264::begins_access_unit(kind));
        if let Some(unit) = self.unit.filter(|unit| over(*unit)) {
            self.end(sink);
            self.ended = (unit.timestamp == head.timestamp).then_some(Ended { unit, by_marker: false });
        }
        let later_slice = h264::is_vcl(kind) && !h264::is_first_slice(payload);
        let stays = !h264::is_vcl(kind) && !h264::begins_access_unit(kind);
        if self.unit.map_or(later_slice || stays, |unit| later_slice && !unit.has_slices())
            && let Some(ended) = self.ended.take().filter(|ended| ended.unit.timestamp == head.timestamp)
        {
            self.markers_wrong |= later_slice && ended.by_marker;
            if sink.reopen() {
                self.unit = Some(ended.unit);
            } else if later_slice {
                self.abandon(head, sink);
                return false;
            }
        }
        let unit = self.unit.get_or_insert(Unit { stage: Stage::BeforeSlices, ..Unit::UNSURE });
        // What stands before the slices takes their time, whatever its own was.
        if !unit.has_slices() {
            unit.timestamp = head.timestamp;
        }
        if !h264::is_vcl(kind) {
            return true;
        }
        if unit.stage == Stage::Unsure && later_slice {
            self.abandon(head, sink);
            return false;
        }
        unit.note_slice(kind, payload);
        true
    }

    /// The unit of this timestamp cannot become whole any more.
    fn abandon(&mut self, head: PayloadHead, sink: &mut impl UnitSink) {
        self.unit = None;
        self.ended = None;
        self.skip = Some(head.timestamp);
        sink.discard();
    }

    fn bound(&mut self, head: PayloadHead, sink: &mut impl UnitSink) {
        if unit_bytes(sink) > MAX_UNIT_BYTES {
            self.abandon(head, sink);
        }
    }

    fn end(&mut self, sink: &mut impl UnitSink) {
        self.ended = None;
        let Some(unit) = self.unit.take() else { return };
        if unit.fragmented.is_some() || !unit.has_slices() {
            if unit_bytes(sink) > 0 {
                sink.discard();
            }
            return;
        }
        if unit.random_access && (std::mem::take(&mut self.sets_changed) || self.pps != unit.pps) {
            self.pps = unit.pps;
            sink.parameter_sets(&self.sets.in_force(unit.pps));
        }
        sink.unit(UnitInfo { timestamp: unit.timestamp, random_access: unit.random_access, duration_ticks: 0 });
    }
}

impl Unit {
    /// One whose beginning may be missing.
    const UNSURE: Self =
        Self { timestamp: 0, stage: Stage::Unsure, random_access: false, recovery_point: false, pps: None, fragmented: None };

    fn has_slices(&self) -> bool {
        self.stage == Stage::Slices
    }

    /// Takes in a slice, given from behind its NAL header.
    fn note_slice(&mut self, kind: u8, slice: &[u8]) {
        if std::mem::replace(&mut self.stage, Stage::Slices) != Stage::Slices {
            let head = SliceHead::read(slice);
            self.pps = head.map(|head| head.pps);
            self.random_access |= self.recovery_point && head.is_some_and(|head| head.intra);
        }
        self.random_access |= kind == nal::IDR_SLICE;
    }
}

fn unit_bytes(sink: &mut impl UnitSink) -> usize {
    sink.buffer().len().saturating_sub(sink.start())
}

fn starts_with_code(payload: &[u8]) -> bool {
    matches!(payload, [0, 0, 1, ..] | [0, 0, 0, 1, ..])
}

/// NAL units between start codes (ITU-T H.264 annex B); bytes without one are a single unit.
struct AnnexB<'a> {
    rest: &'a [u8],
}

impl<'a> AnnexB<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for AnnexB<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let (unit, behind) = match self.rest.windows(3).position(|window| window == [0, 0, 1]) {
                Some(at) => (self.rest.get(..at)?, self.rest.get(at + 3..)?),
                None => (self.rest, &[][..]),
            };
            self.rest = behind;
            // Zero bytes before a start code are not part of the unit; one behind the last unit is its own (trailing) business.
            let end = if behind.is_empty() { unit.len() } else { unit.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1) };
            if end > 0 {
                return unit.get(..end);
            }
        }
    }
}

#[cfg(test)]
#[path = "h264_tests.rs"]
mod tests;
