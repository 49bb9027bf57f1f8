//! Segment tickets: everything needed to open the next segment without asking.

use std::path::PathBuf;

use easyrms_media::identity::{ClockTrust, Identity, StreamKind};

/// A ticket as TypeScript gives it; see `SegmentTicket` in `src/engine/types.ts`.
#[derive(Debug, Clone)]
pub struct SegmentTicket {
    pub root: u32,
    pub path: PathBuf,
    pub serial: String,
    pub channel: u32,
    pub stream: StreamKind,
    /// UUID of the run.
    pub run: [u8; 16],
    pub sequence: u32,
    pub zone: String,
    pub clock: ClockTrust,
    pub max_duration_ms: u64,
    pub cut_at_utc_ms: Vec<i64>,
    pub preallocate_bytes: u64,
}

impl SegmentTicket {
    /// The identity of the segment that begins with these times.
    pub fn identity(&self, start_utc_ms: i64, start_mono_ms: u64) -> Identity {
        Identity {
            serial: self.serial.clone(),
            channel: self.channel,
            stream: self.stream,
            run: self.run,
            sequence: self.sequence,
            start_mono_ms,
            start_utc_ms,
            clock: self.clock,
            zone: self.zone.clone(),
        }
    }
}

/// Parses UUID text of the form 8-4-4-4-12, any case.
pub fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let dashes = text.len() == 36 && [8, 13, 18, 23].iter().all(|at| text.as_bytes().get(*at) == Some(&b'-'));
    let digits: Vec<u8> = text.chars().filter(|c| *c != '-').map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    if !dashes || !rest.is_empty() {
        return None;
    }
    let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    bytes.try_into().ok()
}

/// UUID text of the form 8-4-4-4-12, lower case.
pub fn format_uuid(uuid: [u8; 16]) -> String {
    let digits = hex(&uuid);
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}
