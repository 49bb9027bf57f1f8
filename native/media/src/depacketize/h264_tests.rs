use super::super::testing::{Collector, head, lossy};
use super::*;

const SPS: &[u8] = &[0x67, 66, 0, 30, 0x80];
const PPS: &[u8] = &[0x68, 0x80];
/// First slices: the bit behind the header is set.
const IDR: &[u8] = &[0x65, 0x88, 1, 2];
const P: &[u8] = &[0x41, 0x9a, 3];
const SECOND_SLICE: &[u8] = &[0x41, 0x20, 4];

fn depacketizer() -> H264Depacketizer {
    H264Depacketizer::new(ParameterSets::default())
}

fn unit(nals: &[&[u8]]) -> Vec<u8> {
    nals.iter().flat_map(|nal| (nal.len() as u32).to_be_bytes().into_iter().chain(nal.iter().copied())).collect()
}

fn fu(nal: &[u8], from: usize, to: usize) -> Vec<u8> {
    let start = if from == 1 { 0x80 } else { 0 };
    let end = if to == nal.len() { 0x40 } else { 0 };
    let mut bytes = vec![nal[0] & 0xe0 | FU_A, start | end | nal[0] & 0x1f];
    bytes.extend(&nal[from..to]);
    bytes
}

#[test]
fn a_marker_behind_a_slice_ends_the_unit_at_once() {
    let (mut depacketizer, mut out) = (depacketizer(), Collector::default());
    depacketizer.push(head(0, true), SPS, &mut out);
    depacketizer.push(head(0, true), PPS, &mut out);
    depacketizer.push(head(0, true), IDR, &mut out);
    assert_eq!(out.bytes(), [unit(&[SPS, PPS, IDR])]);
    assert!(out.units[0].0.random_access);
    depacketizer.push(head(3600, true), SPS, &mut out);
    depacketizer.push(head(3600, true), IDR, &mut out);
    assert_eq!(out.sets.len(), 1);
}

#[test]
fn without_markers_the_timestamp_ends_it() {
    let (mut depacketizer, mut out) = (depacketizer(), Collector::default());
    depacketizer.push(head(0, false), IDR, &mut out);
    depacketizer.push(head(0, false), SECOND_SLICE, &mut out);
    depacketizer.push(head(3600, false), P, &mut out);
    assert_eq!(out.bytes(), [unit(&[IDR, SECOND_SLICE])]);
    depacketizer.flush(&mut out);
    assert_eq!(out.units[1].0, UnitInfo { timestamp: 3600, random_access: false, duration_ticks: 0 });
}

#[test]
fn parameter_sets_with_the_time_of_the_picture_before_belong_to_the_next() {
    let (mut depacketizer, mut out) = (depacketizer(), Collector::default());
    depacketizer.push(head(0, false), P, &mut out);
    depacketizer.push(head(0, false), SPS, &mut out);
    depacketizer.push(head(0, false), PPS, &mut out);
    depacketizer.push(head(3600, true), IDR, &mut out);
    assert_eq!(out.bytes(), [unit(&[P]), unit(&[SPS, PPS, IDR])]);
    assert_eq!(out.units[1].0.timestamp, 3600);
}

#[test]
fn parameter_sets_before_each_slice_of_a_picture_divide_nothing() {
    const LATER: &[u8] = &[0x65, 0x20, 9];
    for marked in [false, true] {
        let (mut depacketizer, mut out) = (depacketizer(), Collector::default());
        for timestamp in [0, 3600] {
            for nal in [SPS, PPS, IDR, SPS, PPS] {
                depacketizer.push(head(timestamp, marked && nal == IDR), nal, &mut out);
            }
            depacketizer.push(head(timestamp, false), &fu(LATER, 1, 2), &mut out);
            depacketizer.push(head(timestamp, true), &fu(LATER, 2, 3), &mut out);
        }
        depacketizer.flush(&mut out);
        assert_eq!(out.bytes(), [unit(&[SPS, PPS, IDR, SPS, PPS, LATER]), unit(&[SPS, PPS, IDR, SPS, PPS, LATER])]);
        assert!(out.units.iter().all(|(info, _)| info.random_access));
        assert_eq!((out.discarded, out.sets.len()), (0, 1));
    }
}

#[test]
fn a_camera_that_marks_every_slice_is_found_out() {
    let (mut depacketizer, mut out) = (depacketizer(), Collector::default());
    for timestamp in [0, 3600, 7200] {
        depacketizer.push(head(timestamp, true), P, &mut out);
        depacketizer.push(head(timestamp, true), SECOND_SLICE, &mut out);
    }
    depacketizer.flush(&mut out);
    assert_eq!(out.bytes(), [unit(&[P, SECOND_SLICE]), unit(&[P, SECOND_SLICE]), unit(&[P, SECOND_SLICE])]);
    assert_eq!(out.discarded, 0);
}

#[test]
fn a_slice_behind_a_unit_that_is_gone_is_no_unit() {
    let (mut depacketizer, mut out) = (depacketizer(), Collector::default());
    out.forgetful = true;
    for timestamp in [0, 3600] {
        depacketizer.push(head(timestamp, true), P, &mut out);
        depacketizer.push(head(timestamp, true), SECOND_SLICE, &mut out);
    }
    depacketizer.flush(&mut out);
    assert_eq!(out.bytes(), [unit(&[P]), unit(&[P, SECOND_SLICE])]);
    assert_eq!(out.discarded, 1);
}

#[test]
fn filler_behind_the_marker_stays_with_its_picture() {
    let (mut depacketizer, mut out) = (depacketizer(), Collector::default());
    depacketizer.push(head(0, true), P, &mut out);
    depacketizer.push(head(0, false), &[12, 0xff, 0x80], &mut out);
    depacketizer.push(head(3600, true), P, &mut out);
    assert_eq!(out.bytes(), [unit(&[P, &[12, 0xff, 0x80]]), unit(&[P])]);
}

#[test]
fn the_rest_of_a_picture_is_no_picture() {
    let (mut depacketizer, mut out) = (depacketizer(), Collector::default());
    depacketizer.push(head(0, false), &fu(IDR, 1, 2), &mut out);
    depacketizer.push(head(0, true), SECOND_SLICE, &mut out);
    depacketizer.push(head(3600, true), P, &mut out);
    assert_eq!(out.bytes(), [unit(&[P])]);
}

#[test]
fn a_picture_behind_a_start_code_in_pieces_is_found() {
    let (mut depacketizer, mut out) = (depacketizer(), Collector::default());
    let picture = [SPS, &[0, 0, 0, 1], PPS, &[0, 0, 0, 1], IDR].concat();
    depacketizer.push(head(0, false), &fu(&picture, 1, 7), &mut out);
    depacketizer.push(head(0, true), &fu(&picture, 7, picture.len()), &mut out);
    depacketizer.push(head(3600, true), P, &mut out);
    assert_eq!(out.bytes(), [unit(&[SPS, PPS, IDR]), unit(&[P])]);
    assert!(out.units[0].0.random_access);
    assert_eq!(out.sets.len(), 1);
}

#[test]
fn fragments_and_aggregates_are_put_together() {
    let (mut depacketizer, mut out) = (depacketizer(), Collector::default());
    let stap = [&[STAP_A, 0, 5][..], SPS, &[0, 2], PPS].concat();
    depacketizer.push(head(0, false), &stap, &mut out);
    depacketizer.push(head(0, false), &fu(IDR, 1, 2), &mut out);
    depacketizer.push(head(0, false), &fu(IDR, 2, 2), &mut out);
    depacketizer.push(head(0, true), &fu(IDR, 2, 4), &mut out);
    // Start and end in one.
    depacketizer.push(head(3600, true), &fu(P, 1, 3), &mut out);
    assert_eq!(out.bytes(), [unit(&[SPS, PPS, IDR]), unit(&[P])]);
    assert_eq!(out.sets[0].lists(), (vec![SPS.to_vec()], vec![PPS.to_vec()]));
}

#[test]
fn a_unit_with_a_hole_is_discarded_whole_and_the_next_goes_on() {
    let (mut depacketizer, mut out) = (depacketizer(), Collector::default());
    depacketizer.push(head(0, false), &fu(IDR, 1, 2), &mut out);
    depacketizer.push(lossy(0, true), &fu(IDR, 3, 4), &mut out);
    depacketizer.push(head(3600, true), P, &mut out);
    assert_eq!(out.bytes(), [unit(&[P])]);
    assert!(out.discarded >= 1);
}

#[test]
fn loss_between_units_costs_nothing_but_what_was_lost() {
    let (mut depacketizer, mut out) = (depacketizer(), Collector::default());
    depacketizer.push(head(0, true), IDR, &mut out);
    depacketizer.push(lossy(7200, true), P, &mut out);
    assert_eq!(out.bytes(), [unit(&[IDR]), unit(&[P])]);
}

#[test]
fn after_loss_a_later_slice_alone_is_no_picture() {
    let (mut depacketizer, mut out) = (depacketizer(), Collector::default());
    depacketizer.push(lossy(0, true), SECOND_SLICE, &mut out);
    depacketizer.push(lossy(3600, false), &fu(IDR, 2, 3), &mut out);
    depacketizer.push(head(3600, true), &fu(IDR, 3, 4), &mut out);
    depacketizer.push(head(7200, true), P, &mut out);
    assert_eq!(out.bytes(), [unit(&[P])]);
}

#[test]
fn a_fragment_that_never_ended_takes_its_unit_along() {
    let (mut depacketizer, mut out) = (depacketizer(), Collector::default());
    depacketizer.push(head(0, false), &fu(IDR, 1, 2), &mut out);
    depacketizer.push(head(3600, true), P, &mut out);
    assert_eq!(out.bytes(), [unit(&[P])]);
    assert_eq!(out.discarded, 1);
}

#[test]
fn start_codes_inside_a_payload_are_taken_apart() {
    let (mut depacketizer, mut out) = (depacketizer(), Collector::default());
    let payload = [SPS, &[0, 0, 0, 1], PPS, &[0, 0, 1], IDR].concat();
    depacketizer.push(head(0, true), &payload, &mut out);
    depacketizer.push(head(3600, true), &[&[0, 0, 0, 1], P].concat(), &mut out);
    assert_eq!(out.bytes(), [unit(&[SPS, PPS, IDR]), unit(&[P])]);
}

#[test]
fn a_recovery_point_opens_a_stream_if_its_picture_is_intra() {
    // Slice types 7, 2 (I), 5, 0 (P) and 6 (B).
    for (second, intra) in [(0x88, true), (0b1011_0000, true), (0x9a, false), (0b1100_0000, false), (0b1001_1100, false)] {
        let (mut depacketizer, mut out) = (depacketizer(), Collector::default());
        depacketizer.push(head(0, false), &[6, 6, 1, 0x80, 0x80], &mut out);
        depacketizer.push(head(0, true), &[0x41, second, 0x80], &mut out);
        depacketizer.push(head(3600, true), &[0x41, 0x88, 0x80], &mut out);
        assert_eq!(out.units.iter().map(|unit| unit.0.random_access).collect::<Vec<_>>(), [intra, false], "{second:#x}");
    }
}

#[test]
fn after_loss_several_later_slices_in_one_packet_are_no_picture() {
    let aggregate = [&[STAP_A, 0, 3][..], SECOND_SLICE, &[0, 3], SECOND_SLICE].concat();
    let annex_b = [&[0, 0, 1][..], SECOND_SLICE, &[0, 0, 1], SECOND_SLICE].concat();
    for payload in [aggregate, annex_b] {
        let (mut depacketizer, mut out) = (depacketizer(), Collector::default());
        depacketizer.push(lossy(0, true), &payload, &mut out);
        depacketizer.push(head(3600, true), P, &mut out);
        assert_eq!(out.bytes(), [unit(&[P])]);
    }
}

/// The sets before the second slice end the unit; that it goes on is then known, so a hole where the slice was takes it along.
#[test]
fn a_picture_that_goes_on_behind_its_sets_is_no_picture_without_its_last_slice() {
    for forgetful in [false, true] {
        let (mut depacketizer, mut out) = (depacketizer(), Collector::default());
        out.forgetful = forgetful;
        for payload in [SPS, PPS, IDR, SPS, PPS] {
            depacketizer.push(head(0, false), payload, &mut out);
        }
        depacketizer.push(lossy(3600, true), P, &mut out);
        let kept = unit(&[SPS, PPS, IDR]);
        assert_eq!(out.bytes(), if forgetful { vec![kept, unit(&[P])] } else { vec![unit(&[P])] });
    }
}

/// What comes before the next picture says nothing of the one before.
#[test]
fn loss_behind_the_sets_of_the_next_picture_leaves_the_one_before() {
    let (mut depacketizer, mut out) = (depacketizer(), Collector::default());
    for (timestamp, payload) in [(0, IDR), (3600, SPS), (3600, PPS)] {
        depacketizer.push(head(timestamp, false), payload, &mut out);
    }
    depacketizer.push(lossy(7200, true), P, &mut out);
    assert_eq!(out.bytes(), [unit(&[IDR]), unit(&[P])]);
}

#[test]
fn unknown_packet_types_are_malformed() {
    let (mut depacketizer, mut out) = (depacketizer(), Collector::default());
    for payload in [&[][..], &[25, 0], &[29, 0, 0], &[0], &[28]] {
        depacketizer.push(head(0, true), payload, &mut out);
    }
    assert_eq!(out.malformed, 5);
    assert!(out.units.is_empty());
}

#[test]
fn an_endless_unit_is_given_up() {
    let (mut depacketizer, mut out) = (depacketizer(), Collector::default());
    let slice = [vec![0x65, 0x88], vec![1; 1 << 20]].concat();
    for _ in 0..9 {
        depacketizer.push(head(0, false), &slice, &mut out);
    }
    depacketizer.push(head(3600, true), P, &mut out);
    assert_eq!(out.bytes(), [unit(&[P])]);
}
