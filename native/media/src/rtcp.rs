//! RTCP (RFC 3550 section 6): sender reports and BYE are read, receiver reports written.

use crate::reception::ReportBlock;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const BYE: u8 = 203;
/// Canonical name of this receiver (section 6.5.1); says nothing of the box.
const CNAME: &[u8] = b"easyrms";

/// Wall clock against RTP clock, as the camera states it (section 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderReport {
    pub ssrc: u32,
    /// 32.32 fixed-point seconds since 1900.
    pub ntp: u64,
    pub rtp_timestamp: u32,
}

/// What of a compound packet matters to a recorder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    Sender(SenderReport),
    Bye,
}

/// A compound packet whose lengths do not add up, or that is of another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("RTCP packet at offset {offset} of {len} is malformed")]
pub struct RtcpError {
    pub offset: usize,
    pub len: usize,
}

/// Calls `each` for the reports of a compound packet, up to the first malformed one.
pub fn parse(bytes: &[u8], mut each: impl FnMut(Report)) -> Result<(), RtcpError> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let malformed = RtcpError { offset: bytes.len() - rest.len(), len: bytes.len() };
        let &[first, kind, high, low] = rest.first_chunk::<4>().ok_or(malformed)?;
        let size = 4 + usize::from(u16::from_be_bytes([high, low])) * 4;
        if first >> 6 != 2 || rest.len() < size {
            return Err(malformed);
        }
        let (packet, behind) = rest.split_at(size);
        match kind {
            SENDER_REPORT => {
                let word = |at: usize| packet.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
                let (Some(ssrc), Some(seconds), Some(fraction), Some(rtp_timestamp)) = (word(4), word(8), word(12), word(16)) else {
                    return Err(malformed);
                };
                each(Report::Sender(SenderReport { ssrc, ntp: u64::from(seconds) << 32 | u64::from(fraction), rtp_timestamp }));
            }
            BYE => each(Report::Bye),
            _ => {}
        }
        rest = behind;
    }
    Ok(())
}

/// The last sender report as a receiver report refers to it (section 6.4.1, LSR and DLSR).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LastSenderReport {
    /// Middle 32 bits of its NTP time; 0 when none came.
    pub middle: u32,
    /// Time since it came, units of 1/65536 s.
    pub delay_65536: u32,
}

/// Appends a compound packet: receiver report about `source`, and the source description that must follow (section 6.1).
pub fn write_receiver_report(own_ssrc: u32, source: u32, block: &ReportBlock, last: LastSenderReport, out: &mut Vec<u8>) {
    out.extend([0x81, RECEIVER_REPORT, 0, 7]);
    out.extend(own_ssrc.to_be_bytes());
    out.extend(source.to_be_bytes());
    let [_, cumulative @ ..] = block.cumulative_lost.to_be_bytes();
    out.push(block.fraction_lost);
    out.extend(cumulative);
    out.extend(block.highest_sequence.to_be_bytes());
    out.extend(block.jitter_ticks.to_be_bytes());
    out.extend(last.middle.to_be_bytes());
    out.extend(last.delay_65536.to_be_bytes());

    let item = 2 + CNAME.len();
    // The list of items ends with at least one zero byte, and on a word boundary.
    let chunk = 4 + (item / 4 + 1) * 4;
    out.extend([0x81, SOURCE_DESCRIPTION, 0, (chunk / 4) as u8]);
    out.extend(own_ssrc.to_be_bytes());
    out.extend([1, CNAME.len() as u8]);
    out.extend(CNAME);
    out.resize(out.len() + chunk - 4 - item, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports(bytes: &[u8]) -> (Vec<Report>, Result<(), RtcpError>) {
        let mut found = Vec::new();
        let result = parse(bytes, |report| found.push(report));
        (found, result)
    }

    #[test]
    fn reads_sender_report_and_bye_of_a_compound() {
        let mut bytes = vec![0x80, 200, 0, 6];
        bytes.extend(7_u32.to_be_bytes());
        bytes.extend([0, 0, 0, 1, 0x80, 0, 0, 0]);
        bytes.extend(90_000_u32.to_be_bytes());
        bytes.extend([0; 8]);
        bytes.extend([0x81, 202, 0, 1, 0, 0, 0, 7]);
        bytes.extend([0x81, 203, 0, 1, 0, 0, 0, 7]);
        let sender = SenderReport { ssrc: 7, ntp: 1 << 32 | 1 << 31, rtp_timestamp: 90_000 };
        assert_eq!(reports(&bytes), (vec![Report::Sender(sender), Report::Bye], Ok(())));
    }

    #[test]
    fn a_malformed_packet_ends_the_compound() {
        let good = [0x81, 203, 0, 1, 0, 0, 0, 7];
        for bad in [&[0x81_u8, 203][..], &[0x41, 203, 0, 0], &[0x80, 200, 0, 9], &[0x80, 200, 0, 0]] {
            let bytes = [&good[..], bad].concat();
            assert_eq!(reports(&bytes), (vec![Report::Bye], Err(RtcpError { offset: 8, len: bytes.len() })));
        }
    }

    #[test]
    fn writes_words_that_a_parser_takes() {
        let block = ReportBlock { fraction_lost: 3, cumulative_lost: -2, highest_sequence: 0x1_0005, jitter_ticks: 9 };
        let mut out = Vec::new();
        write_receiver_report(1, 2, &block, LastSenderReport { middle: 4, delay_65536: 5 }, &mut out);
        assert_eq!(reports(&out), (vec![], Ok(())));
        assert_eq!(out[..8], [0x81, 201, 0, 7, 0, 0, 0, 1]);
        assert_eq!(out[12..16], [3, 0xff, 0xff, 0xfe]);
        assert_eq!(out.len() % 4, 0);
        assert_eq!(out[32..36], [0x81, 202, 0, 4]);
        assert_eq!(&out[42..49], CNAME);
        assert_eq!(out[49..], [0; 3]);
    }
}
