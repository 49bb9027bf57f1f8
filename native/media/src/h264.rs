//! H.264 NAL units: the little of them that recording depends on (ITU-T H.264 section 7).

/// `nal_unit_type` (table 7-1).
pub mod nal {
    pub const SLICE: u8 = 1;
    pub const PARTITION_C: u8 = 4;
    pub const IDR_SLICE: u8 = 5;
    pub const SEI: u8 = 6;
    pub const SPS: u8 = 7;
    pub const PPS: u8 = 8;
    pub const ACCESS_UNIT_DELIMITER: u8 = 9;
    pub const PREFIX: u8 = 14;
    pub const RESERVED_18: u8 = 18;
}

/// `payloadType` of the recovery point SEI message (section D.1.8).
const RECOVERY_POINT: u32 = 6;
/// Sets kept per kind; the standard knows 32 and 256.
const MAX_SPS: usize = 32;
const MAX_PPS: usize = 256;
/// Longest parameter set that is kept.
const MAX_SET_BYTES: usize = 4096;

/// `nal_unit_type` of a unit; 0 (unspecified) for an empty one.
pub fn nal_type(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |header| header & 0x1f)
}

/// Slice data of a picture.
pub fn is_vcl(kind: u8) -> bool {
    (nal::SLICE..=nal::IDR_SLICE).contains(&kind)
}

/// Units that stand before the first slice of a picture, so behind slices they begin the next one (section 7.4.1.2.3).
pub fn begins_access_unit(kind: u8) -> bool {
    matches!(kind, nal::SEI..=nal::ACCESS_UNIT_DELIMITER | nal::PREFIX..=nal::RESERVED_18)
}

/// Whether a slice is the first of its picture: `first_mb_in_slice` is 0 exactly if its first bit is set (section 7.3.3).
pub fn is_first_slice(unit: &[u8]) -> bool {
    unit.get(1).is_some_and(|byte| byte & 0x80 != 0)
}

/// Whether an SEI unit has a recovery point message from which decoding is exact at once (`recovery_frame_cnt` 0).
pub fn has_instant_recovery_point(sei: &[u8]) -> bool {
    let mut rest = sei.get(1..).unwrap_or_default();
    while rest.len() > 2 {
        let (Some(kind), Some(size)) = (take_ff_coded(&mut rest), take_ff_coded(&mut rest)) else { return false };
        let Some(message) = rest.get(..size as usize) else { return false };
        if kind == RECOVERY_POINT {
            // ue(v) 0 is a single set bit.
            return message.first().is_some_and(|byte| byte & 0x80 != 0);
        }
        rest = rest.get(size as usize..).unwrap_or_default();
    }
    false
}

/// A number written as a run of 255s and a last byte (section 7.3.2.3.1).
fn take_ff_coded(rest: &mut &[u8]) -> Option<u32> {
    let mut value = 0_u32;
    loop {
        let (&byte, behind) = rest.split_first()?;
        *rest = behind;
        value = value.checked_add(u32::from(byte))?;
        if byte != 0xff {
            return Some(value);
        }
    }
}

/// The parameter sets in force, by their ids; the stream's own replace those of the SDP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParameterSets {
    sps: Vec<(u32, Vec<u8>)>,
    pps: Vec<(u32, Vec<u8>)>,
}

impl ParameterSets {
    /// Takes a NAL unit if it is a parameter set; true if it differs from what was known.
    pub fn take(&mut self, unit: &[u8]) -> bool {
        if unit.len() > MAX_SET_BYTES {
            return false;
        }
        let (sets, id, limit) = match nal_type(unit) {
            // profile_idc, constraint flags and level_idc stand before the id (section 7.3.2.1.1).
            nal::SPS if unit.len() >= 5 => (&mut self.sps, first_golomb(unit.get(4..).unwrap_or_default()), MAX_SPS),
            nal::PPS if unit.len() >= 2 => (&mut self.pps, first_golomb(unit.get(1..).unwrap_or_default()), MAX_PPS),
            _ => return false,
        };
        let Some(id) = id.filter(|id| (*id as usize) < limit) else { return false };
        match sets.binary_search_by_key(&id, |(known, _)| *known) {
            Ok(at) => {
                let Some((_, known)) = sets.get_mut(at) else { return false };
                if known == unit {
                    return false;
                }
                unit.clone_into(known);
            }
            Err(at) => sets.insert(at, (id, unit.to_vec())),
        }
        true
    }

    /// Enough to describe the video to a player.
    pub fn complete(&self) -> bool {
        !self.sps.is_empty() && !self.pps.is_empty()
    }

    /// SPS and PPS units in order of their ids.
    pub fn lists(&self) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let units = |sets: &[(u32, Vec<u8>)]| sets.iter().map(|(_, unit)| unit.clone()).collect();
        (units(&self.sps), units(&self.pps))
    }
}

/// The ue(v) number that `bytes` begin with (section 9.1); ids are short enough that emulation prevention cannot touch them.
fn first_golomb(bytes: &[u8]) -> Option<u32> {
    let mut word = [0; 4];
    for (to, from) in word.iter_mut().zip(bytes) {
        *to = *from;
    }
    let bits = u32::from_be_bytes(word);
    let zeros = bits.leading_zeros();
    if zeros > 15 {
        return None;
    }
    Some((bits << zeros >> (31 - zeros)) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPS_0: [u8; 5] = [0x67, 66, 0, 30, 0x80];
    const SPS_1: [u8; 5] = [0x67, 66, 0, 30, 0x40];

    #[test]
    fn keeps_sets_by_id_and_tells_changes() {
        let mut sets = ParameterSets::default();
        assert!(sets.take(&SPS_1));
        assert!(sets.take(&SPS_0));
        assert!(!sets.take(&SPS_0));
        assert!(!sets.complete());
        assert!(sets.take(&[0x68, 0x80]));
        assert!(sets.complete());
        let changed = [0x67, 77, 0, 30, 0x80];
        assert!(sets.take(&changed));
        assert_eq!(sets.lists(), (vec![changed.to_vec(), SPS_1.to_vec()], vec![vec![0x68, 0x80]]));
    }

    #[test]
    fn refuses_what_is_no_set() {
        let mut sets = ParameterSets::default();
        for unit in [&[][..], &[0x67], &[0x67, 1, 2, 3], &[0x65, 0x80, 0, 0, 0], &[0x68, 0], &[0x67, 66, 0, 30, 0]] {
            assert!(!sets.take(unit), "{unit:?}");
        }
        assert!(!sets.take(&[0x67; MAX_SET_BYTES + 1]));
    }

    #[test]
    fn golomb_numbers() {
        assert_eq!(first_golomb(&[0x80]), Some(0));
        assert_eq!(first_golomb(&[0b0100_0000]), Some(1));
        assert_eq!(first_golomb(&[0b0110_0000]), Some(2));
        assert_eq!(first_golomb(&[0b0010_0000]), Some(3));
        assert_eq!(first_golomb(&[0]), None);
    }

    #[test]
    fn finds_a_recovery_point_behind_other_messages() {
        assert!(has_instant_recovery_point(&[6, 6, 1, 0x80, 0x80]));
        assert!(has_instant_recovery_point(&[6, 5, 2, 1, 2, 6, 1, 0xc0, 0x80]));
        assert!(!has_instant_recovery_point(&[6, 6, 1, 0x40, 0x80]));
        assert!(!has_instant_recovery_point(&[6, 5, 200, 1, 2, 3]));
        assert!(!has_instant_recovery_point(&[6, 0xff, 0xff, 0xff]));
        assert!(!has_instant_recovery_point(&[]));
    }
}
