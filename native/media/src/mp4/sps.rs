//! As much of an H.264 sequence parameter set as a sample entry repeats (ITU-T H.264 sections 7.3.2.1.1 and 7.4.2.1.1).

use crate::bits::Bits;

/// Picture size and sample format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sps {
    /// Luma samples after cropping.
    pub width: u16,
    pub height: u16,
    /// `chroma_format_idc`.
    pub chroma_format: u8,
    pub luma_depth_minus_8: u8,
    pub chroma_depth_minus_8: u8,
}

/// Width and height in luma samples, after cropping, of a bare SPS NAL unit; `None` if it cannot be read.
pub fn dimensions(sps: &[u8]) -> Option<(u16, u16)> {
    parse(sps).map(|sps| (sps.width, sps.height))
}

/// Whether an SPS of this profile states chroma format and bit depths, which `avcC` then repeats.
pub(super) fn has_chroma_format(profile: u8) -> bool {
    matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135)
}

/// Parses a bare SPS NAL unit; `None` if it makes no sense.
pub(super) fn parse(unit: &[u8]) -> Option<Sps> {
    let payload = without_emulation_prevention(unit.get(1..)?);
    let mut bits = Bits::new(&payload);
    let profile = bits.take(8)? as u8;
    bits.take(16)?;
    bits.golomb()?;
    let (mut chroma_format, mut luma_depth_minus_8, mut chroma_depth_minus_8, mut separate_planes) = (1, 0, 0, false);
    if has_chroma_format(profile) {
        chroma_format = bits.golomb().filter(|format| *format <= 3)? as u8;
        separate_planes = chroma_format == 3 && bits.flag()?;
        luma_depth_minus_8 = bits.golomb().filter(|depth| *depth <= 6)? as u8;
        chroma_depth_minus_8 = bits.golomb().filter(|depth| *depth <= 6)? as u8;
        bits.take(1)?;
        if bits.flag()? {
            for list in 0..if chroma_format == 3 { 12 } else { 8 } {
                if bits.flag()? {
                    skip_scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.golomb()?;
    match bits.golomb()? {
        0 => {
            bits.golomb()?;
        }
        1 => {
            bits.take(1)?;
            bits.golomb()?;
            bits.golomb()?;
            for _ in 0..bits.golomb().filter(|cycle| *cycle <= 255)? {
                bits.golomb()?;
            }
        }
        2 => {}
        _ => return None,
    }
    bits.golomb()?;
    bits.take(1)?;
    let width_mbs = bits.golomb()?.checked_add(1)?;
    let height_map_units = bits.golomb()?.checked_add(1)?;
    let frame_mbs_only = bits.flag()?;
    if !frame_mbs_only {
        bits.take(1)?;
    }
    bits.take(1)?;
    let crop = if bits.flag()? { [bits.golomb()?, bits.golomb()?, bits.golomb()?, bits.golomb()?] } else { [0; 4] };

    let field_factor = if frame_mbs_only { 1 } else { 2 };
    let (unit_x, unit_y) = match chroma_format {
        1 if !separate_planes => (2, 2),
        2 if !separate_planes => (2, 1),
        _ => (1, 1),
    };
    let [left, right, top, bottom] = crop.map(u64::from);
    let width = (u64::from(width_mbs) * 16).checked_sub((left + right) * unit_x)?;
    let height = (u64::from(height_map_units) * 16 * field_factor).checked_sub((top + bottom) * unit_y * field_factor)?;
    let size = |samples: u64| u16::try_from(samples).ok().filter(|samples| *samples > 0);
    Some(Sps { width: size(width)?, height: size(height)?, chroma_format, luma_depth_minus_8, chroma_depth_minus_8 })
}

/// The RBSP: without the 3 of each 0 0 3 (ITU-T H.264 section 7.4.1).
fn without_emulation_prevention(bytes: &[u8]) -> Vec<u8> {
    let mut zeros = 0;
    let mut payload = Vec::with_capacity(bytes.len());
    for &byte in bytes {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        payload.push(byte);
    }
    payload
}

/// ITU-T H.264 section 7.3.2.1.1.1. Only the length matters: it ends early when the next scale comes to 0.
fn skip_scaling_list(bits: &mut Bits<'_>, entries: u32) -> Option<()> {
    let mut last = 8;
    for _ in 0..entries {
        let code = i64::from(bits.golomb()?);
        let delta = if code & 1 == 1 { (code + 1) / 2 } else { -code / 2 };
        last = (last + delta).rem_euclid(256);
        if last == 0 {
            break;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unit(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    /// What x264 writes for `ffmpeg -f lavfi -i testsrc2=size=WxH`, by profile and pixel format.
    #[test]
    fn reads_sizes_of_all_profiles() {
        let parsed = |hex: &str| parse(&unit(hex)).map(|sps| (sps.width, sps.height, sps.chroma_format, sps.luma_depth_minus_8));
        assert_eq!(parsed("67640028acd940780227e5c044000003000400000300c83c60c658"), Some((1920, 1080, 1, 0)), "High");
        assert_eq!(parsed("6742c01ed900b0126c0440000003004000000c83c58b92"), Some((704, 576, 1, 0)), "Baseline");
        assert_eq!(parsed("674d401feca02802dd80880000030008000003019078c18cb0"), Some((1280, 720, 1, 0)), "Main");
        assert_eq!(parsed("6764001eacd940b424d8088000000300800000190f8a14cb"), Some((720, 576, 1, 0)), "interlaced");
        assert_eq!(parsed("67f4001e919b281485fc7cf808800000030080000019078b16cb"), Some((642, 362, 3, 0)), "4:4:4");
        assert_eq!(parsed("677a0028bcd940780227e27011000003000100000300320f183196"), Some((1920, 1080, 2, 0)), "4:2:2");
    }

    /// Bits as text, spaces for the reader.
    fn bits(text: &str) -> Vec<u8> {
        let bits: Vec<u8> = text.bytes().filter(|bit| *bit != b' ').map(|bit| bit - b'0').collect();
        bits.chunks(8).map(|byte| byte.iter().enumerate().fold(0, |value, (at, bit)| value | bit << (7 - at))).collect()
    }

    #[test]
    fn steps_over_scaling_lists() {
        let header = "01100100 00000000 00101000";
        // Id 0, 4:2:0, 8 bit twice, no bypass, matrix present: first list ends at once (8 - 8 = 0), second has 16 equal entries, no others.
        let lists = format!("1 010 1 1 0 1  1 000010001  1 {}  000000", "1".repeat(16));
        // Frame number bits, order type 2, one reference, no gaps, 2 by 1 macroblocks, frames only, direct inference, no cropping, no VUI.
        let size = "1 011 010 0 010 1 1 1 0 0 1";
        let payload = bits(&format!("{header} {lists} {size}"));
        let sps = parse(&[&[0x67], payload.as_slice()].concat()).unwrap();
        assert_eq!((sps.width, sps.height), (32, 16));
    }

    #[test]
    fn refuses_what_is_cut_off_or_impossible() {
        let whole = unit("67640028acd940780227e5c044000003000400000300c83c60c658");
        assert_eq!(dimensions(&whole), Some((1920, 1080)));
        for end in 0..11 {
            assert_eq!(dimensions(&whole[..end]), None);
        }
        assert_eq!(parse(&[0x67; 40]), None);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&bytes);
            let _ = parse(&[b"\x67\x64\0\x28", bytes.as_slice()].concat());
        }
    }
}
