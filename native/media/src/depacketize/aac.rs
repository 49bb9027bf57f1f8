use super::{MAX_UNIT_BYTES, PayloadHead, UnitInfo, UnitSink};
use crate::bits::Bits;

/// Field widths of the AU headers in bits, from the SDP (RFC 3640 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AacLengths {
    pub size: u8,
    pub index: u8,
    pub index_delta: u8,
}

impl AacLengths {
    /// Those of mode `AAC-hbr` (RFC 3640 section 3.3.6).
    pub const HBR: Self = Self { size: 13, index: 3, index_delta: 3 };
}

/// MPEG-4 AAC (RFC 3640): several units a packet, or one unit over several packets.
#[derive(Debug)]
pub struct AacDepacketizer {
    /// Those of the SDP, until a packet shows that they are wrong.
    lengths: AacLengths,
    /// Samples per unit: 1024, or 960.
    samples: u32,
    /// A unit that goes on in the next packet: its timestamp, its size, what is there.
    partial: Option<Partial>,
}

#[derive(Debug, Clone, Copy)]
struct Partial {
    timestamp: u32,
    size: usize,
    have: usize,
}

/// ADTS header without and with CRC (ISO/IEC 13818-7 section 6.2); some cameras leave it before each unit.
const ADTS_HEADER: usize = 7;

impl AacDepacketizer {
    /// `audio_specific_config` tells the samples per unit (`frameLengthFlag`, ISO/IEC 14496-3 section 4.4.1).
    pub fn new(lengths: AacLengths, audio_specific_config: &[u8]) -> Self {
        let short = match audio_specific_config {
            // An escaped sampling rate moves the flag; those configurations are rare enough to take the usual length.
            &[first, second, ..] if ((first & 7) << 1 | second >> 7) != 15 => second & 0x04 != 0,
            _ => false,
        };
        Self { lengths, samples: if short { 960 } else { 1024 }, partial: None }
    }

    pub fn push(&mut self, head: PayloadHead, payload: &[u8], sink: &mut impl UnitSink) {
        if let Some(partial) = self.partial.take() {
            if head.after_loss || head.timestamp != partial.timestamp {
                sink.discard();
            } else {
                return self.go_on(partial, head, payload, sink);
            }
        }
        let Some((&[high, low], rest)) = payload.split_first_chunk::<2>() else { return sink.malformed() };
        let header_bits = usize::from(u16::from_be_bytes([high, low]));
        let header_bytes = header_bits.div_ceil(8);
        let (Some(headers), Some(mut data)) = (rest.get(..header_bytes), rest.get(header_bytes..)) else { return sink.malformed() };
        let mut bits = Bits::new(headers).until(header_bits);
        if !fit(bits, self.lengths, data.len()) && fit(bits, AacLengths::HBR, data.len()) {
            self.lengths = AacLengths::HBR;
        }
        let mut index = 0_u32;
        let mut first = true;
        while !data.is_empty() {
            let delta_bits = if first { self.lengths.index } else { self.lengths.index_delta };
            let (Some(size), Some(delta)) = (bits.take(self.lengths.size.into()), bits.take(delta_bits.into())) else {
                if first {
                    sink.malformed();
                }
                return;
            };
            if size == 0 {
                // Not only is this no unit: headers of no width at all would never end.
                return sink.malformed();
            }
            index = index.wrapping_add(if first { 0 } else { delta.wrapping_add(1) });
            let size = size as usize;
            let timestamp = head.timestamp.wrapping_add(index.wrapping_mul(self.samples));
            if size > data.len() {
                return self.begin_partial(Partial { timestamp, size, have: data.len() }, first && !head.marker, data, sink);
            }
            let (unit, behind) = data.split_at(size);
            self.whole(timestamp, unit, sink);
            data = behind;
            first = false;
        }
        if first {
            sink.malformed();
        }
    }

    /// A unit that claims more than is there goes on in the next packet if it is alone; otherwise the size is wrong.
    fn begin_partial(&mut self, partial: Partial, goes_on: bool, data: &[u8], sink: &mut impl UnitSink) {
        if !goes_on || partial.size > MAX_UNIT_BYTES {
            return sink.malformed();
        }
        sink.buffer().extend_from_slice(data);
        self.partial = Some(partial);
    }

    /// Every piece repeats the header section with the size of the whole unit (RFC 3640 section 3.2.3.1).
    fn go_on(&mut self, mut partial: Partial, head: PayloadHead, payload: &[u8], sink: &mut impl UnitSink) {
        let skip = payload.first_chunk::<2>().map_or(payload.len(), |bits| 2 + usize::from(u16::from_be_bytes(*bits)).div_ceil(8));
        let data = payload.get(skip..).unwrap_or_default();
        partial.have += data.len();
        if data.is_empty() || partial.have > partial.size {
            sink.malformed();
            return sink.discard();
        }
        sink.buffer().extend_from_slice(data);
        if partial.have == partial.size {
            sink.unit(UnitInfo { timestamp: partial.timestamp, random_access: true, duration_ticks: self.samples });
        } else if head.marker {
            sink.discard();
        } else {
            self.partial = Some(partial);
        }
    }

    fn whole(&self, timestamp: u32, unit: &[u8], sink: &mut impl UnitSink) {
        let unit = without_adts(unit);
        if unit.is_empty() {
            return;
        }
        sink.buffer().extend_from_slice(unit);
        sink.unit(UnitInfo { timestamp, random_access: true, duration_ticks: self.samples });
    }
}

/// The raw unit behind an ADTS header whose length fits exactly; anything else as it is.
fn without_adts(unit: &[u8]) -> &[u8] {
    let Some(&[sync, flags, _, high, middle, low, _]) = unit.first_chunk::<ADTS_HEADER>() else { return unit };
    let length = usize::from(high & 3) << 11 | usize::from(middle) << 3 | usize::from(low >> 5);
    if sync != 0xff || flags & 0xf6 != 0xf0 || length != unit.len() {
        return unit;
    }
    unit.get(if flags & 1 == 0 { ADTS_HEADER + 2 } else { ADTS_HEADER }..).unwrap_or_default()
}

/// Whether AU headers of these widths fill the header section and their sizes the data; one unit alone may go on in later packets.
fn fit(mut headers: Bits<'_>, lengths: AacLengths, data_bytes: usize) -> bool {
    let (mut units, mut bytes) = (0, 0);
    while !headers.is_empty() {
        let index_bits = if units == 0 { lengths.index } else { lengths.index_delta };
        let (Some(size), Some(_)) = (headers.take(lengths.size.into()), headers.take(index_bits.into())) else { return false };
        units += 1;
        bytes += size as usize;
        if size == 0 {
            return false;
        }
    }
    bytes == data_bytes || units == 1 && bytes > data_bytes
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Collector, head, lossy};
    use super::*;

    fn depacketizer() -> AacDepacketizer {
        AacDepacketizer::new(AacLengths::HBR, &[0x14, 0x08])
    }

    fn packet(sizes: &[u16], data: &[u8]) -> Vec<u8> {
        let mut bytes = ((sizes.len() * 16) as u16).to_be_bytes().to_vec();
        bytes.extend(sizes.iter().flat_map(|size| (size << 3).to_be_bytes()));
        bytes.extend(data);
        bytes
    }

    #[test]
    fn several_units_follow_each_other_by_their_length() {
        let mut out = Collector::default();
        depacketizer().push(head(5000, true), &packet(&[2, 3], &[1, 2, 3, 4, 5]), &mut out);
        assert_eq!(out.bytes(), [&[1, 2][..], &[3, 4, 5]]);
        assert_eq!(out.units[1].0, UnitInfo { timestamp: 6024, random_access: true, duration_ticks: 1024 });
    }

    #[test]
    fn a_unit_may_come_in_pieces() {
        let mut out = Collector::default();
        let mut aac = depacketizer();
        aac.push(head(0, false), &packet(&[5], &[1, 2]), &mut out);
        aac.push(head(0, false), &packet(&[5], &[3]), &mut out);
        aac.push(head(0, true), &packet(&[5], &[4, 5]), &mut out);
        assert_eq!(out.bytes(), [[1, 2, 3, 4, 5]]);
    }

    #[test]
    fn a_unit_with_a_lost_piece_is_discarded() {
        let mut out = Collector::default();
        let mut aac = depacketizer();
        aac.push(head(0, false), &packet(&[5], &[1, 2]), &mut out);
        aac.push(lossy(1024, true), &packet(&[1], &[9]), &mut out);
        assert_eq!(out.bytes(), [[9]]);
        assert_eq!(out.discarded, 1);
    }

    #[test]
    fn wrong_sizes_are_malformed_and_keep_what_fits() {
        let mut out = Collector::default();
        let mut aac = depacketizer();
        aac.push(head(0, true), &packet(&[1, 9], &[7, 8]), &mut out);
        aac.push(head(0, true), &[0, 99, 1], &mut out);
        aac.push(head(0, true), &[], &mut out);
        assert_eq!(out.bytes(), [[7]]);
        assert_eq!(out.malformed, 3);
    }

    #[test]
    fn an_adts_header_is_taken_off() {
        let mut out = Collector::default();
        let unit = [0xff, 0xf1, 0x60, 0x40, 0x01, 0x3f, 0xfc, 0x21, 0x22];
        depacketizer().push(head(0, true), &packet(&[9], &unit), &mut out);
        assert_eq!(out.bytes(), [[0x21, 0x22]]);
    }

    #[test]
    fn widths_that_do_not_fit_give_way_to_those_of_the_mode() {
        for size in [0, 6, 12, 14, 32, 255] {
            let mut out = Collector::default();
            let mut aac = AacDepacketizer::new(AacLengths { size, index: 3, index_delta: 3 }, &[0x14, 0x08]);
            aac.push(head(0, true), &packet(&[2, 3], &[1, 2, 3, 4, 5]), &mut out);
            assert_eq!(out.bytes(), [&[1, 2][..], &[3, 4, 5]], "{size} bits");
            assert_eq!(out.malformed, 0);
        }
    }

    #[test]
    fn headers_without_width_come_to_an_end() {
        let mut out = Collector::default();
        let mut aac = AacDepacketizer::new(AacLengths { size: 0, index: 0, index_delta: 0 }, &[0x14, 0x08]);
        aac.push(head(0, true), &[0, 16, 0xff, 0xff, 1], &mut out);
        aac.push(head(0, true), &[0, 0, 1, 2, 3], &mut out);
        assert_eq!((out.units.len(), out.malformed), (0, 2));
    }

    #[test]
    fn widths_that_fit_are_kept() {
        let mut out = Collector::default();
        let mut aac = AacDepacketizer::new(AacLengths { size: 6, index: 2, index_delta: 2 }, &[0x14, 0x08]);
        aac.push(head(0, true), &[0, 16, 2 << 2, 1 << 2, 7, 8, 9], &mut out);
        assert_eq!(out.bytes(), [&[7, 8][..], &[9]]);
    }

    #[test]
    fn units_of_960_samples() {
        let mut out = Collector::default();
        AacDepacketizer::new(AacLengths::HBR, &[0x14, 0x0c]).push(head(0, true), &packet(&[1], &[1]), &mut out);
        assert_eq!(out.units[0].0.duration_ticks, 960);
    }
}
