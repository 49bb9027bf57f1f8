//! RTP payloads to access units: push/pull state machines without I/O. Bytes are appended to the sink's buffer once and stay there.

mod aac;
mod g711;
mod h264;

pub use aac::{AacDepacketizer, AacLengths};
pub use g711::G711Depacketizer;
pub use h264::H264Depacketizer;

use crate::h264::ParameterSets;

/// Largest access unit that is kept; a camera that never ends one must not fill memory.
pub const MAX_UNIT_BYTES: usize = 8 * 1024 * 1024;

/// What a packet's payload comes with.
#[derive(Debug, Clone, Copy)]
pub struct PayloadHead {
    pub timestamp: u32,
    pub marker: bool,
    /// Packets before this one are missing.
    pub after_loss: bool,
}

/// A finished access unit; its bytes are all that was appended since the unit before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnitInfo {
    pub timestamp: u32,
    pub random_access: bool,
    /// Known length in ticks for sound; 0 for video, whose units last until the next.
    pub duration_ticks: u32,
}

/// Takes access units. Between packets it may put another buffer in place, into which the unit in progress is moved.
pub trait UnitSink {
    /// Where the unit in progress is appended.
    fn buffer(&mut self) -> &mut Vec<u8>;
    /// Where the unit in progress begins in `buffer`; moves when another buffer is put in place.
    fn start(&self) -> usize;
    /// Makes the newest finished unit the one in progress again, what was appended since included, as more of it came; false if it is
    /// gone already.
    fn reopen(&mut self) -> bool;
    /// The unit in progress, a random access point that `unit` is about to end, is decoded with these sets, which may differ from those before.
    fn parameter_sets(&mut self, sets: &ParameterSets);
    /// The unit in progress is whole.
    fn unit(&mut self, info: UnitInfo);
    /// The unit in progress is not whole and must be forgotten: cut the buffer back to the end of the unit before.
    fn discard(&mut self);
    /// A payload makes no sense.
    fn malformed(&mut self);
}

#[cfg(test)]
pub(crate) mod testing {
    use super::{ParameterSets, PayloadHead, UnitInfo, UnitSink};

    /// Keeps every unit's bytes.
    #[derive(Default)]
    pub struct Collector {
        buffer: Vec<u8>,
        /// Units are gone as soon as they are whole.
        pub forgetful: bool,
        pub units: Vec<(UnitInfo, Vec<u8>)>,
        pub discarded: usize,
        pub malformed: usize,
        pub sets: Vec<ParameterSets>,
    }

    impl UnitSink for Collector {
        fn buffer(&mut self) -> &mut Vec<u8> {
            &mut self.buffer
        }
        fn start(&self) -> usize {
            0
        }
        fn reopen(&mut self) -> bool {
            if self.forgetful {
                return false;
            }
            let Some((_, bytes)) = self.units.pop() else { return false };
            let since = std::mem::replace(&mut self.buffer, bytes);
            self.buffer.extend(since);
            true
        }
        fn parameter_sets(&mut self, sets: &ParameterSets) {
            self.sets.push(sets.clone());
        }
        fn unit(&mut self, info: UnitInfo) {
            self.units.push((info, std::mem::take(&mut self.buffer)));
        }
        fn discard(&mut self) {
            self.buffer.clear();
            self.discarded += 1;
        }
        fn malformed(&mut self) {
            self.malformed += 1;
        }
    }

    impl Collector {
        pub fn bytes(&self) -> Vec<&[u8]> {
            self.units.iter().map(|(_, bytes)| bytes.as_slice()).collect()
        }
    }

    pub fn head(timestamp: u32, marker: bool) -> PayloadHead {
        PayloadHead { timestamp, marker, after_loss: false }
    }

    pub fn lossy(timestamp: u32, marker: bool) -> PayloadHead {
        PayloadHead { timestamp, marker, after_loss: true }
    }
}
