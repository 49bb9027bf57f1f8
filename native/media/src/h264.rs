//! H.264 NAL units: the little of them that recording depends on (ITU-T H.264 section 7).

use crate::bits::Bits;

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

/// Whether a slice, given from behind its NAL header, is the first of its picture: `first_mb_in_slice` is 0 exactly if its first
/// bit is set (section 7.3.3).
pub fn is_first_slice(slice: &[u8]) -> bool {
    slice.first().is_some_and(|byte| byte & 0x80 != 0)
}

/// What the first slice of a picture says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceHead {
    /// Slice type I (table 7-6).
    pub intra: bool,
    /// `pic_parameter_set_id`.
    pub pps: u32,
}

impl SliceHead {
    /// Reads a first slice from behind its NAL header (section 7.3.3); so far in front, emulation prevention cannot occur in one.
    pub fn read(slice: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(slice);
        let (_first_mb, kind, pps) = (bits.golomb()?, bits.golomb()?, bits.golomb()?);
        Some(Self { intra: matches!(kind, 2 | 7), pps })
    }
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
    /// Those of an SDP; what is no set is left out.
    pub fn of(sps: &[Vec<u8>], pps: &[Vec<u8>]) -> Self {
        let mut sets = Self::default();
        for unit in sps.iter().chain(pps) {
            sets.take(unit);
        }
        sets
    }

    /// Takes a NAL unit if it is a parameter set; true if it differs from what was known.
    pub fn take(&mut self, unit: &[u8]) -> bool {
        if unit.len() > MAX_SET_BYTES {
            return false;
        }
        let (sets, id, limit) = match nal_type(unit) {
            // profile_idc, constraint flags and level_idc stand before the id (section 7.3.2.1.1).
            nal::SPS if unit.len() >= 5 => (&mut self.sps, number_at(unit, 4), MAX_SPS),
            nal::PPS if unit.len() >= 2 => (&mut self.pps, number_at(unit, 1), MAX_PPS),
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

    /// The sets that pictures of this PPS are decoded with: its SPS, and all PPS of that (section 7.4.1.2.1: a coded video sequence has
    /// one SPS). All there are where that cannot be told. What is left over from the SDP, or from before a change, is thus not in force.
    #[must_use]
    pub fn in_force(&self, pps: Option<u32>) -> Self {
        let of = |(_, unit): &(u32, Vec<u8>)| sps_of_pps(unit);
        let used = pps.and_then(|id| self.pps.iter().find(|(known, _)| *known == id)).and_then(of);
        let Some(sps) = used.and_then(|id| self.sps.iter().find(|(known, _)| *known == id)) else { return self.clone() };
        Self { sps: vec![sps.clone()], pps: self.pps.iter().filter(|pps| of(pps) == used).cloned().collect() }
    }

    /// SPS and PPS units in order of their ids.
    pub fn lists(&self) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let units = |sets: &[(u32, Vec<u8>)]| sets.iter().map(|(_, unit)| unit.clone()).collect();
        (units(&self.sps), units(&self.pps))
    }
}

/// `seq_parameter_set_id`, which stands behind the PPS's own id (section 7.3.2.2).
fn sps_of_pps(unit: &[u8]) -> Option<u32> {
    let mut bits = Bits::new(unit.get(1..)?);
    bits.golomb()?;
    bits.golomb()
}

/// The ue(v) number at this byte; ids are short enough that emulation prevention cannot touch them.
fn number_at(unit: &[u8], at: usize) -> Option<u32> {
    Bits::new(unit.get(at..)?).golomb()
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
        assert!(sets.take(&[0x68, 0x80]));
        let changed = [0x67, 77, 0, 30, 0x80];
        assert!(sets.take(&changed));
        assert_eq!(sets.lists(), (vec![changed.to_vec(), SPS_1.to_vec()], vec![vec![0x68, 0x80]]));
    }

    #[test]
    fn in_force_is_what_the_picture_refers_to() {
        // PPS 0 and 1 are of SPS 1, PPS 2 of SPS 0, PPS 3 of one that is missing.
        let pps: [&[u8]; 4] = [&[0x68, 0b1010_0000], &[0x68, 0b0100_1000], &[0x68, 0b0111_0000], &[0x68, 0b0010_0011]];
        let mut sets = ParameterSets::default();
        for unit in [&SPS_0[..], &SPS_1].iter().chain(&pps) {
            assert!(sets.take(unit));
        }
        let lists = |sps: &[u8], pps: &[&[u8]]| (vec![sps.to_vec()], pps.iter().map(|unit| unit.to_vec()).collect::<Vec<_>>());
        assert_eq!(sets.in_force(Some(1)).lists(), lists(&SPS_1, &pps[..2]));
        assert_eq!(sets.in_force(Some(2)).lists(), lists(&SPS_0, &pps[2..3]));
        for unknown in [None, Some(3), Some(9)] {
            assert_eq!(sets.in_force(unknown), sets);
        }
    }

    #[test]
    fn reads_the_head_of_a_slice() {
        assert_eq!(SliceHead::read(&[0x88, 0x80]), Some(SliceHead { intra: true, pps: 0 }));
        assert_eq!(SliceHead::read(&[0b1011_0100]), Some(SliceHead { intra: true, pps: 1 }));
        assert_eq!(SliceHead::read(&[0x9a, 3]), Some(SliceHead { intra: false, pps: 0 }));
        assert_eq!(SliceHead::read(&[0x88]), None);
        assert_eq!(SliceHead::read(&[]), None);
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
    fn finds_a_recovery_point_behind_other_messages() {
        assert!(has_instant_recovery_point(&[6, 6, 1, 0x80, 0x80]));
        assert!(has_instant_recovery_point(&[6, 5, 2, 1, 2, 6, 1, 0xc0, 0x80]));
        assert!(!has_instant_recovery_point(&[6, 6, 1, 0x40, 0x80]));
        assert!(!has_instant_recovery_point(&[6, 5, 200, 1, 2, 3]));
        assert!(!has_instant_recovery_point(&[6, 0xff, 0xff, 0xff]));
        assert!(!has_instant_recovery_point(&[]));
    }
}
