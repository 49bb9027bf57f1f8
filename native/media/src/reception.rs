//! What a receiver knows of one RTP source: order, loss and jitter (RFC 3550 sections 6.4.1, A.1, A.3 and A.8).
//!
//! A packet of another source, or numbered out of nowhere, proves nothing: two in a row do (A.1, `MIN_SEQUENTIAL` 2).

/// A step forward of at most this many packets is loss, a longer one another numbering.
const MAX_DROPOUT: u16 = 3000;
/// A packet behind by at most this many is late or a duplicate.
const MAX_MISORDER: u16 = 100;

/// How a packet fits to those before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The packet follows; `lost` of its predecessors have not come.
    InOrder { lost: u16 },
    /// Already passed: late or a duplicate.
    Late,
    /// Of another source or numbering. To be kept: it counts if the next packet follows it.
    Unproven,
    /// Follows the unproven packet before, which counts with it; whatever was in progress is over.
    Restart { other_source: bool },
}

/// Sequence state and statistics of one source.
#[derive(Debug, Default)]
pub struct Reception {
    /// SSRC: announced, until a packet was taken.
    source: Option<u32>,
    started: bool,
    /// SSRC and number that would prove the unproven packet before.
    proof: Option<(u32, u16)>,
    highest: u16,
    cycles: u32,
    base: u32,
    received: u32,
    expected_before: u32,
    received_before: u32,
    /// Interarrival jitter, ticks × 16 (RFC 3550 section A.8).
    jitter_16: u32,
    transit: Option<u32>,
}

/// One block of a receiver report, without the source it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportBlock {
    /// Lost since the report before, as a fraction of 256.
    pub fraction_lost: u8,
    /// Lost since the start, 24 bits signed, clamped.
    pub cumulative_lost: i32,
    pub highest_sequence: u32,
    pub jitter_ticks: u32,
}

impl Reception {
    /// `announced` is the SSRC that signalling promised; cameras belie it.
    pub fn new(announced: Option<u32>) -> Self {
        Self { source: announced, ..Self::default() }
    }

    /// SSRC of the packets taken; `None` until one was.
    pub fn source(&self) -> Option<u32> {
        self.source.filter(|_| self.started)
    }

    pub fn arrive(&mut self, ssrc: u32, sequence: u16) -> Arrival {
        let own = self.source.is_none_or(|source| source == ssrc);
        if own && !self.started {
            self.begin(ssrc, sequence);
            return Arrival::InOrder { lost: 0 };
        }
        let step = sequence.wrapping_sub(self.highest);
        if own && (step <= MAX_DROPOUT || step > u16::MAX - MAX_MISORDER) {
            self.proof = None;
            if step == 0 || step > MAX_DROPOUT {
                return Arrival::Late;
            }
            self.advance(sequence);
            return Arrival::InOrder { lost: step - 1 };
        }
        if self.proof != Some((ssrc, sequence)) {
            self.proof = Some((ssrc, sequence.wrapping_add(1)));
            return Arrival::Unproven;
        }
        let other_source = self.started && !own;
        self.begin(ssrc, sequence.wrapping_sub(1));
        self.advance(sequence);
        Arrival::Restart { other_source }
    }

    fn begin(&mut self, ssrc: u32, sequence: u16) {
        *self = Self { source: Some(ssrc), started: true, highest: sequence, base: u32::from(sequence), received: 1, ..Self::default() };
    }

    fn advance(&mut self, sequence: u16) {
        if sequence < self.highest {
            self.cycles = self.cycles.wrapping_add(1 << 16);
        }
        self.highest = sequence;
        self.received = self.received.wrapping_add(1);
    }

    /// `arrival_ticks` is the arrival on the track's clock, from any start.
    pub fn time(&mut self, timestamp: u32, arrival_ticks: u32) {
        let transit = arrival_ticks.wrapping_sub(timestamp);
        if let Some(before) = self.transit {
            let change = (transit.wrapping_sub(before) as i32).unsigned_abs().min(1 << 24);
            self.jitter_16 = self.jitter_16 + change - ((self.jitter_16 + 8) >> 4);
        }
        self.transit = Some(transit);
    }

    pub fn jitter_ticks(&self) -> u32 {
        self.jitter_16 >> 4
    }

    /// The report since the one before; `None` until a packet came.
    pub fn report(&mut self) -> Option<ReportBlock> {
        if !self.started {
            return None;
        }
        let highest_sequence = self.cycles | u32::from(self.highest);
        let expected = highest_sequence.wrapping_sub(self.base).wrapping_add(1);
        let expected_since = expected.wrapping_sub(self.expected_before);
        let lost_since = i64::from(expected_since) - i64::from(self.received.wrapping_sub(self.received_before));
        self.expected_before = expected;
        self.received_before = self.received;
        let fraction = if expected_since == 0 || lost_since <= 0 { 0 } else { (lost_since << 8) / i64::from(expected_since) };
        let lost = i64::from(expected) - i64::from(self.received);
        Some(ReportBlock {
            fraction_lost: fraction.min(255) as u8,
            cumulative_lost: lost.clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest_sequence,
            jitter_ticks: self.jitter_ticks(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_over_the_wrap() {
        let mut reception = Reception::default();
        for sequence in [65_534, 65_535, 0, 1] {
            assert_eq!(reception.arrive(7, sequence), Arrival::InOrder { lost: 0 });
        }
        let report = reception.report().unwrap();
        assert_eq!((report.highest_sequence, report.cumulative_lost, report.fraction_lost), (0x1_0001, 0, 0));
    }

    #[test]
    fn tells_loss_from_lateness_and_from_a_new_numbering() {
        let mut reception = Reception::default();
        reception.arrive(7, 10);
        assert_eq!(reception.arrive(7, 14), Arrival::InOrder { lost: 3 });
        assert_eq!(reception.arrive(7, 14), Arrival::Late);
        assert_eq!(reception.arrive(7, 12), Arrival::Late);
        let report = reception.report().unwrap();
        assert_eq!((report.cumulative_lost, report.fraction_lost), (3, (3 * 256 / 5) as u8));
        assert_eq!(reception.report().unwrap().fraction_lost, 0);
        assert_eq!(reception.arrive(7, 40_000), Arrival::Unproven);
        assert_eq!(reception.arrive(7, 40_001), Arrival::Restart { other_source: false });
        assert_eq!(reception.arrive(7, 40_002), Arrival::InOrder { lost: 0 });
        assert_eq!(reception.report().unwrap().cumulative_lost, 0);
    }

    #[test]
    fn another_source_needs_two_packets_in_a_row() {
        let mut reception = Reception::new(None);
        reception.arrive(7, 10);
        assert_eq!(reception.arrive(8, 50), Arrival::Unproven);
        assert_eq!(reception.arrive(8, 52), Arrival::Unproven);
        assert_eq!(reception.arrive(7, 11), Arrival::InOrder { lost: 0 });
        assert_eq!(reception.arrive(8, 53), Arrival::Unproven, "another came between");
        assert_eq!(reception.source(), Some(7));
        assert_eq!(reception.arrive(8, 54), Arrival::Restart { other_source: true });
        assert_eq!(reception.arrive(8, 55), Arrival::InOrder { lost: 0 });
        assert_eq!(reception.source(), Some(8));
    }

    #[test]
    fn an_announced_source_is_no_other() {
        let mut reception = Reception::new(Some(8));
        assert_eq!(reception.arrive(7, 65_535), Arrival::Unproven);
        assert_eq!(reception.source(), None);
        assert_eq!(reception.arrive(7, 0), Arrival::Restart { other_source: false }, "there was none before");
        let mut reception = Reception::new(Some(8));
        assert_eq!(reception.arrive(7, 1), Arrival::Unproven);
        assert_eq!(reception.arrive(8, 900), Arrival::InOrder { lost: 0 });
    }

    #[test]
    fn even_arrivals_have_no_jitter_and_uneven_ones_do() {
        let mut reception = Reception::default();
        reception.arrive(7, 0);
        for n in 0..100_u32 {
            reception.time(n * 3600, n * 3600 + 77);
        }
        assert_eq!(reception.jitter_ticks(), 0);
        for n in 100..200_u32 {
            reception.time(n * 3600, n * 3600 + 77 + (n % 2) * 900);
        }
        assert!((600..=900).contains(&reception.jitter_ticks()), "{}", reception.jitter_ticks());
    }
}
