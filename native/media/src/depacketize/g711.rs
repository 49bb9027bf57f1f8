use super::{PayloadHead, UnitInfo, UnitSink};

/// G.711 (RFC 3551 sections 4.5.14 and 4.2): a packet is a unit, a byte a sample of a channel.
#[derive(Debug)]
pub struct G711Depacketizer {
    channels: u8,
}

impl G711Depacketizer {
    pub fn new(channels: u8) -> Self {
        Self { channels: channels.max(1) }
    }

    pub fn push(&mut self, head: PayloadHead, payload: &[u8], sink: &mut impl UnitSink) {
        let samples = payload.len() / usize::from(self.channels);
        if samples == 0 {
            return sink.malformed();
        }
        sink.buffer().extend_from_slice(payload);
        sink.unit(UnitInfo { timestamp: head.timestamp, random_access: true, duration_ticks: samples as u32 });
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Collector, head};
    use super::*;

    #[test]
    fn a_packet_lasts_as_long_as_its_samples() {
        let mut out = Collector::default();
        let mut stereo = G711Depacketizer::new(2);
        stereo.push(head(800, false), &[1, 2, 3, 4], &mut out);
        stereo.push(head(802, false), &[], &mut out);
        assert_eq!(out.units, [(UnitInfo { timestamp: 800, random_access: true, duration_ticks: 2 }, vec![1, 2, 3, 4])]);
        assert_eq!(out.malformed, 1);
    }
}
