//! RTP packets (RFC 3550 section 5.1): validated once, then read without errors.

/// Why bytes are not an RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RtpError {
    #[error("RTP packet of {len} bytes is shorter than its header of {need}")]
    Truncated { len: usize, need: usize },
    #[error("RTP version is {0}, only 2 is known")]
    Version(u8),
    #[error("padding of {padding} bytes in a payload of {len}")]
    Padding { padding: usize, len: usize },
}

/// A validated packet; `payload` is without header extension and padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpPacket<'a> {
    pub marker: bool,
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    pub payload: &'a [u8],
}

const FIXED_HEADER: usize = 12;

impl<'a> RtpPacket<'a> {
    /// ```text
    ///  0                   1                   2                   3
    ///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    /// |V=2|P|X|  CC   |M|     PT      |       sequence number         |
    /// |                           timestamp                           |
    /// |                             SSRC                              |
    /// |                        CSRC × CC …                            |
    /// ```
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RtpError> {
        let truncated = |need: usize| RtpError::Truncated { len: bytes.len(), need };
        let Some((&[first, second, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3], _)) = bytes.split_first_chunk::<FIXED_HEADER>() else {
            return Err(truncated(FIXED_HEADER));
        };
        if first >> 6 != 2 {
            return Err(RtpError::Version(first >> 6));
        }
        let mut start = FIXED_HEADER + usize::from(first & 0x0f) * 4;
        if first & 0x10 != 0 {
            // Two bytes of profile, two of length in words (section 5.3.1).
            let Some(&[_, _, high, low]) = bytes.get(start..start + 4) else {
                return Err(truncated(start + 4));
            };
            start += 4 + usize::from(u16::from_be_bytes([high, low])) * 4;
        }
        let payload = bytes.get(start..).ok_or_else(|| truncated(start))?;
        let padding = if first & 0x20 == 0 { 0 } else { payload.last().copied().map_or(0, usize::from) };
        if first & 0x20 != 0 && (padding == 0 || padding > payload.len()) {
            return Err(RtpError::Padding { padding, len: payload.len() });
        }
        let payload = payload.get(..payload.len() - padding).unwrap_or_default();
        Ok(Self {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([i0, i1, i2, i3]),
            payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_field() {
        let bytes = [0x80, 0xe0, 0x12, 0x34, 1, 2, 3, 4, 0xa, 0xb, 0xc, 0xd, 9, 8];
        let packet = RtpPacket::parse(&bytes).unwrap();
        assert!(packet.marker);
        assert_eq!(packet.payload_type, 96);
        assert_eq!(packet.sequence, 0x1234);
        assert_eq!(packet.timestamp, 0x0102_0304);
        assert_eq!(packet.ssrc, 0x0a0b_0c0d);
        assert_eq!(packet.payload, [9, 8]);
    }

    #[test]
    fn skips_sources_extension_and_padding() {
        let mut bytes = vec![0x80 | 0x20 | 0x10 | 1, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend([0; 4]); // one CSRC
        bytes.extend([0xbe, 0xde, 0, 1, 1, 2, 3, 4]); // extension of one word
        bytes.extend([5, 6, 7, 0, 0, 3]); // payload, three bytes of padding
        assert_eq!(RtpPacket::parse(&bytes).unwrap().payload, [5, 6, 7]);
    }

    #[test]
    fn names_what_is_wrong() {
        assert_eq!(RtpPacket::parse(&[0x80; 11]), Err(RtpError::Truncated { len: 11, need: 12 }));
        assert_eq!(RtpPacket::parse(&[0x40; 12]), Err(RtpError::Version(1)));
        let mut padded = vec![0xa0, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 9];
        assert_eq!(RtpPacket::parse(&padded), Err(RtpError::Padding { padding: 9, len: 1 }));
        *padded.last_mut().unwrap() = 0;
        assert_eq!(RtpPacket::parse(&padded), Err(RtpError::Padding { padding: 0, len: 1 }));
        assert_eq!(RtpPacket::parse(&[0x82; 12]), Err(RtpError::Truncated { len: 12, need: 20 }));
    }
}
