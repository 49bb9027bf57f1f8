use std::path::Path;

use super::*;
use crate::testing::{RUN, START_UTC_MS, item, item_of, stream, ticket as ticket_in};

const BYTES: usize = 1000;

/// What a fragment of [`BYTES`] counts for.
fn memory() -> u64 {
    item(0, BYTES).memory_bytes()
}

/// What a writer would have been told, in words.
#[derive(Default)]
struct Recorder {
    roots: Vec<u32>,
    told: Vec<String>,
    held: Vec<Item>,
    dropped: Vec<(u64, i64, i64)>,
    failed: usize,
}

impl Outlet for Recorder {
    fn write(&mut self, root: u32, order: WriterOrder) -> bool {
        if !self.roots.contains(&root) {
            return false;
        }
        self.told.push(match order {
            WriterOrder::Open { ticket, item, .. } => {
                let text = format!("open {} with {}", ticket.sequence, item.fragment.sequence);
                assert!(item.fragment.random_access, "{text}: a segment begins with a random access point");
                self.held.push(item);
                text
            }
            WriterOrder::Append { key, item } => {
                let text = format!("{} += {}", key.sequence, item.fragment.sequence);
                self.held.push(item);
                text
            }
            WriterOrder::End { key, reason } => format!("end {} {reason:?}", key.sequence),
            WriterOrder::Reclaim { key, .. } => format!("reclaim {}", key.sequence),
            other => panic!("{other:?}"),
        });
        true
    }

    fn fact(&mut self, fact: Fact) {
        match fact {
            Fact::Dropped { fragments, from_utc_ms, to_utc_ms, .. } => {
                self.dropped.push((fragments, from_utc_ms - START_UTC_MS, to_utc_ms - START_UTC_MS));
            }
            Fact::SegmentFailed { .. } => self.failed += 1,
            other => panic!("{other:?}"),
        }
    }
}

/// A recording with a writer that makes everything durable at once, unless told to stall.
struct Bench {
    recording: Recording,
    shared: Arc<StreamShared>,
    out: Recorder,
    stalled: bool,
}

impl Bench {
    fn new(queue_bytes: u64) -> Self {
        let shared = stream(queue_bytes);
        let out = Recorder { roots: vec![1], ..Recorder::default() };
        Self { recording: Recording::new(Arc::clone(&shared)), shared, out, stalled: false }
    }

    fn settle(&mut self) {
        if !self.stalled {
            for item in self.out.held.drain(..) {
                self.shared.remove_in_flight(item.memory_bytes());
            }
        }
    }

    fn push(&mut self, mut item: Item) {
        item.run = self.recording.run();
        self.shared.ring().push(item.clone());
        self.recording.fragment(item, &mut self.out);
        self.settle();
    }

    fn fragments(&mut self, sequences: std::ops::Range<u64>) {
        for sequence in sequences {
            self.push(item(sequence, BYTES));
        }
    }

    fn ticket(&mut self, sequence: u32) {
        self.recording.ticket(ticket_in(Path::new("/nowhere"), sequence), &mut self.out);
        self.settle();
    }

    fn told(&mut self) -> String {
        std::mem::take(&mut self.out.told).join(", ")
    }
}

fn key(sequence: u32) -> SegmentKey {
    SegmentKey { run: RUN, sequence }
}

#[test]
fn media_before_the_first_ticket_is_taken_from_the_ring() {
    let mut bench = Bench::new(1 << 20);
    bench.fragments(0..3);
    assert_eq!(bench.told(), "");
    bench.ticket(0);
    assert_eq!(bench.told(), "open 0 with 0, 0 += 1, 0 += 2");
}

#[test]
fn cuts_at_the_first_random_access_point_after_the_limit_with_a_ticket_in_hand() {
    let mut bench = Bench::new(1 << 20);
    bench.ticket(0);
    bench.fragments(0..3);
    bench.ticket(1);
    bench.fragments(3..6);
    assert_eq!(bench.told(), "open 0 with 0, 0 += 1, 0 += 2, 0 += 3, end 0 Cut, open 1 with 4, 1 += 5");
    bench.fragments(6..13);
    assert!(!bench.told().contains("end"), "without a ticket nothing is cut by time");
    bench.ticket(2);
    bench.fragments(13..15);
    assert_eq!(bench.told(), "1 += 13, end 1 Cut, open 2 with 14");
}

#[test]
fn cuts_at_midnight() {
    let mut bench = Bench::new(1 << 20);
    bench.ticket(0);
    bench.fragments(0..1);
    let mut next = ticket_in(Path::new("/nowhere"), 1);
    next.max_duration_ms = 60_000;
    next.cut_at_utc_ms = vec![START_UTC_MS, START_UTC_MS + 1500, START_UTC_MS + 100_000];
    bench.recording.ticket(next, &mut bench.out);
    bench.fragments(1..4);
    assert_eq!(bench.told(), "open 0 with 0, 0 += 1, end 0 Cut, open 1 with 2, 1 += 3");
}

#[test]
fn a_discontinuity_ends_the_segment_and_waits_for_a_ticket() {
    for (discontinuity, end) in [
        (Discontinuity::ParameterChange, "ParameterChange"),
        (Discontinuity::TimeJump, "TimeJump"),
        (Discontinuity::ClockStep, "ClockStep"),
        (Discontinuity::RunStart, "Disconnected"),
    ] {
        let mut bench = Bench::new(1 << 20);
        bench.ticket(0);
        bench.fragments(0..1);
        bench.push(item_of(1, BYTES, true, Some(discontinuity)));
        bench.push(item_of(2, BYTES, false, None));
        assert_eq!(bench.told(), format!("open 0 with 0, end 0 {end}"));
        assert_eq!(bench.recording.waiting_bytes(), 2 * memory());
        assert!(!bench.recording.is_blocked(), "a missing ticket comes as an order: nothing to tick for");
        bench.ticket(1);
        assert_eq!(bench.told(), "open 1 with 1, 1 += 2");
    }
}

#[test]
fn a_ticket_from_before_the_end_of_a_run_is_not_used_for_the_next() {
    let mut bench = Bench::new(1 << 20);
    bench.ticket(0);
    bench.fragments(0..2);
    bench.ticket(1);
    bench.recording.run_ended(SegmentEnd::Disconnected, &mut bench.out);
    assert_eq!(bench.told(), "open 0 with 0, 0 += 1, end 0 Disconnected");
    bench.fragments(2..4);
    assert_eq!(bench.told(), "", "ticket 1 belonged to the run before");
    bench.ticket(5);
    assert_eq!(bench.told(), "open 5 with 2, 5 += 3");
}

#[test]
fn a_ticket_from_after_a_clock_step_takes_nothing_that_was_stamped_before() {
    let mut bench = Bench::new(1 << 20);
    bench.ticket(0);
    bench.fragments(0..1);
    // The disk is slow: what follows waits here, and with it the end of the run.
    bench.stalled = true;
    bench.fragments(1..4);
    bench.shared.add_in_flight(600 << 10);
    bench.fragments(4..7);
    bench.recording.run_ended(SegmentEnd::ClockStep, &mut bench.out);
    bench.ticket(9);
    bench.fragments(8..10);
    bench.told();
    bench.stalled = false;
    bench.shared.remove_in_flight(600 << 10);
    bench.settle();
    bench.recording.pump(&mut bench.out);
    assert_eq!(bench.told(), "0 += 4, 0 += 5, 0 += 6, end 0 ClockStep, open 9 with 8, 9 += 9", "not cut by the limit of ticket 9");
}

#[test]
fn what_was_stamped_before_a_clock_step_and_has_no_segment_any_more_is_dropped_and_counted() {
    let mut bench = Bench::new(1 << 20);
    bench.ticket(0);
    bench.fragments(0..1);
    bench.push(item_of(1, BYTES, true, Some(Discontinuity::ParameterChange)));
    bench.recording.run_ended(SegmentEnd::ClockStep, &mut bench.out);
    bench.told();
    bench.ticket(9);
    bench.fragments(2..3);
    assert_eq!(bench.told(), "open 9 with 2");
    assert_eq!(bench.out.dropped, [(1, 1000, 2000)]);
}

#[test]
fn a_ticket_given_between_two_runs_is_for_the_next() {
    let mut bench = Bench::new(1 << 20);
    bench.recording.run_ended(SegmentEnd::Disconnected, &mut bench.out);
    bench.ticket(0);
    bench.fragments(0..1);
    assert_eq!(bench.told(), "open 0 with 0");
}

#[test]
fn a_double_of_a_used_ticket_is_ignored() {
    let mut bench = Bench::new(1 << 20);
    bench.ticket(0);
    bench.fragments(0..1);
    bench.ticket(0);
    bench.fragments(1..8);
    assert!(!bench.told().contains("end"));
}

#[test]
fn stop_withdraws_the_ticket_and_a_new_start_repeats_nothing() {
    let mut bench = Bench::new(1 << 20);
    bench.ticket(0);
    bench.fragments(0..3);
    bench.ticket(1);
    bench.recording.stop(&mut bench.out);
    assert_eq!(bench.told(), "open 0 with 0, 0 += 1, 0 += 2, end 0 Requested");
    bench.fragments(3..6);
    assert_eq!(bench.told(), "");
    bench.ticket(2);
    assert_eq!(bench.told(), "open 2 with 4, 2 += 5", "from the ring, what was not recorded, from a random access point");
}

#[test]
fn stop_before_a_stalled_writer_still_stores_what_came_before() {
    let mut bench = Bench::new(8 * memory());
    bench.ticket(0);
    bench.stalled = true;
    bench.fragments(0..6);
    assert_eq!(bench.told(), "open 0 with 0, 0 += 1, 0 += 2, 0 += 3", "the writer holds half of the queue");
    assert!(bench.recording.is_blocked());
    bench.recording.stop(&mut bench.out);
    bench.ticket(1);
    bench.fragments(6..8);
    assert_eq!(bench.told(), "");
    bench.stalled = false;
    bench.settle();
    bench.recording.pump(&mut bench.out);
    bench.settle();
    assert_eq!(bench.told(), "0 += 4, 0 += 5, end 0 Requested, open 1 with 6, 1 += 7");
}

#[test]
fn stop_leaves_to_the_ring_what_no_segment_can_take() {
    let mut bench = Bench::new(1 << 20);
    bench.ticket(0);
    bench.fragments(0..1);
    bench.push(item_of(1, BYTES, true, Some(Discontinuity::TimeJump)));
    bench.recording.stop(&mut bench.out);
    assert_eq!(bench.recording.waiting_bytes(), 0);
    bench.told();
    bench.ticket(1);
    assert_eq!(bench.told(), "open 1 with 1");
}

#[test]
fn the_queue_drops_whole_gops_oldest_first_and_says_so() {
    let mut bench = Bench::new(5 * memory());
    bench.ticket(0);
    bench.fragments(0..1);
    bench.push(item_of(1, BYTES, true, Some(Discontinuity::ParameterChange)));
    bench.fragments(2..8);
    assert_eq!(bench.out.dropped, [(1, 1000, 2000), (2, 2000, 4000)]);
    assert_eq!(bench.recording.waiting_bytes(), 4 * memory());
    bench.told();
    bench.ticket(1);
    bench.recording.pump(&mut bench.out);
    assert_eq!(bench.told(), "open 1 with 4, 1 += 5, 1 += 6, 1 += 7");
}

#[test]
fn a_segment_ends_where_fragments_behind_it_were_dropped() {
    let mut bench = Bench::new(4 * memory());
    bench.ticket(0);
    bench.stalled = true;
    bench.fragments(0..5);
    bench.ticket(1);
    assert_eq!(bench.out.dropped, [(2, 2000, 4000)]);
    bench.stalled = false;
    bench.settle();
    bench.recording.pump(&mut bench.out);
    assert_eq!(bench.told(), "open 0 with 0, 0 += 1, end 0 Dropped, open 1 with 4");
}

#[test]
fn one_endless_gop_is_dropped_too_and_resumes_at_a_random_access_point() {
    let mut bench = Bench::new(2 * memory());
    bench.ticket(0);
    bench.stalled = true;
    bench.push(item_of(0, BYTES, true, None));
    for sequence in 1..5 {
        bench.push(item_of(sequence, BYTES, false, None));
    }
    assert!(bench.recording.waiting_bytes() <= memory());
    bench.ticket(1);
    bench.stalled = false;
    bench.settle();
    bench.push(item_of(5, BYTES, false, None));
    bench.push(item_of(6, BYTES, true, None));
    let told = bench.told();
    assert!(told.ends_with("end 0 Dropped, open 1 with 6"), "{told}");
    let dropped: u64 = bench.out.dropped.iter().map(|dropped| dropped.0).sum();
    assert_eq!(dropped + bench.shared.stats.get(StreamSlot::DroppedFragments), 2 * dropped, "facts and counter agree");
}

#[test]
fn a_failed_segment_gives_its_fragments_to_the_next() {
    let mut bench = Bench::new(1 << 20);
    bench.ticket(0);
    bench.stalled = true;
    bench.fragments(0..3);
    bench.ticket(1);
    bench.recording.failed(key(0), 1, &mut bench.out);
    bench.fragments(3..4);
    assert_eq!(bench.told(), "open 0 with 0, 0 += 1, 0 += 2, reclaim 0", "nothing is handed out before they are back");
    let items = std::mem::take(&mut bench.out.held);
    bench.recording.reclaimed(key(0), items, &mut bench.out);
    assert_eq!(bench.told(), "open 1 with 0, 1 += 1, 1 += 2, 1 += 3");
    assert!(bench.out.dropped.is_empty());
}

#[test]
fn what_a_failed_segment_gives_back_in_mid_gop_is_led_in_from_the_ring() {
    let mut bench = Bench::new(1 << 20);
    bench.ticket(0);
    bench.fragments(0..1);
    bench.stalled = true;
    bench.fragments(1..4);
    bench.recording.failed(key(0), 1, &mut bench.out);
    let items = std::mem::take(&mut bench.out.held);
    bench.recording.reclaimed(key(0), items, &mut bench.out);
    bench.told();
    bench.ticket(1);
    assert_eq!(bench.told(), "open 1 with 0, 1 += 1, 1 += 2, 1 += 3");
    assert!(bench.out.dropped.is_empty());
}

#[test]
fn what_is_given_back_in_mid_gop_without_its_beginning_in_the_ring_is_dropped_up_to_the_next_random_access_point() {
    let mut bench = Bench::new(1 << 20);
    bench.ticket(0);
    bench.fragments(0..1);
    bench.stalled = true;
    bench.fragments(1..4);
    *bench.shared.ring() = crate::ring::Ring::new(1, 1);
    bench.recording.failed(key(0), 1, &mut bench.out);
    let items = std::mem::take(&mut bench.out.held);
    bench.recording.reclaimed(key(0), items, &mut bench.out);
    bench.told();
    assert_eq!(bench.out.dropped, [(1, 1000, 2000)]);
    bench.ticket(1);
    assert_eq!(bench.told(), "open 1 with 2, 1 += 3");
}

#[test]
fn stop_while_fragments_are_on_their_way_back_does_not_hang() {
    let mut bench = Bench::new(1 << 20);
    bench.ticket(0);
    bench.stalled = true;
    bench.fragments(0..2);
    bench.recording.failed(key(0), 1, &mut bench.out);
    bench.recording.stop(&mut bench.out);
    let items = std::mem::take(&mut bench.out.held);
    bench.recording.reclaimed(key(0), items, &mut bench.out);
    assert_eq!(bench.recording.waiting_bytes(), 0);
    assert_eq!(bench.shared.in_flight_bytes(), 0);
    bench.told();
    bench.ticket(1);
    assert_eq!(bench.told(), "open 1 with 0, 1 += 1");
}

#[test]
fn a_ticket_for_a_root_that_is_gone_fails_and_loses_nothing() {
    let mut bench = Bench::new(1 << 20);
    bench.out.roots.clear();
    bench.ticket(0);
    bench.fragments(0..1);
    assert_eq!((bench.out.failed, bench.recording.waiting_bytes()), (1, memory()));
    bench.out.roots.push(1);
    bench.ticket(1);
    assert_eq!(bench.told(), "open 1 with 0");
}

#[test]
fn a_closing_root_withdraws_its_ticket_and_what_its_writer_gives_back_goes_to_another() {
    let mut bench = Bench::new(1 << 20);
    bench.ticket(0);
    bench.stalled = true;
    bench.fragments(0..2);
    bench.ticket(1);
    bench.recording.root_closing(1);
    bench.out.roots = vec![2];
    bench.fragments(2..4);
    // The writer had failed by itself before it learned that its root is gone.
    bench.recording.failed(key(0), 1, &mut bench.out);
    assert_eq!(bench.told(), "open 0 with 0, 0 += 1", "nothing is handed out before the rest is back");
    let items = std::mem::take(&mut bench.out.held);
    bench.recording.reclaimed(key(0), items, &mut bench.out);
    assert_eq!(bench.told(), "", "the ticket was for the root that is gone");
    let mut elsewhere = ticket_in(Path::new("/elsewhere"), 1);
    elsewhere.root = 2;
    bench.recording.ticket(elsewhere, &mut bench.out);
    assert_eq!(bench.told(), "open 1 with 0, 1 += 1, 1 += 2, 1 += 3");
    assert!(bench.out.dropped.is_empty());
}

#[test]
fn a_segment_given_up_with_all_it_had_durable_is_followed_from_the_beginning_of_the_gop() {
    let mut bench = Bench::new(1 << 20);
    bench.ticket(0);
    bench.fragments(0..3);
    bench.recording.root_closing(1);
    bench.recording.reclaimed(key(0), Vec::new(), &mut bench.out);
    bench.told();
    bench.ticket(1);
    bench.fragments(3..5);
    assert_eq!(bench.told(), "open 1 with 2, 1 += 3, 1 += 4");
}

/// Whatever happens in whatever order: fragments reach the writer in order and once, segments begin with a random access point
/// (asserted by [`Recorder`]), memory is bounded, and nothing is lost without being counted.
#[test]
fn invariants_hold_over_random_histories() {
    for seed in 1..200_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut random = |limit: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % limit
        };
        let limit = 6 * memory();
        let mut bench = Bench::new(limit);
        let (mut sequence, mut next_ticket) = (0, 0);
        for _ in 0..200 {
            match random(20) {
                0..12 => {
                    let mut next = item(sequence, BYTES);
                    if random(10) == 0 {
                        next = item_of(sequence, BYTES, true, Some(Discontinuity::TimeJump));
                    }
                    bench.push(next);
                    sequence += 1;
                }
                12..16 => {
                    bench.ticket(next_ticket);
                    next_ticket += 1;
                }
                16 => bench.stalled = !bench.stalled,
                17 => bench.recording.run_ended(SegmentEnd::Disconnected, &mut bench.out),
                18 => bench.recording.stop(&mut bench.out),
                _ => bench.recording.pump(&mut bench.out),
            }
            bench.settle();
            let queued = bench.recording.waiting_bytes() + bench.shared.in_flight_bytes();
            assert!(queued <= limit + memory(), "seed {seed}: {queued} bytes");
        }
        let written: Vec<u64> = bench
            .out
            .told
            .iter()
            .filter(|text| !text.starts_with("end"))
            .filter_map(|text| text.rsplit(' ').next()?.parse().ok())
            .collect();
        assert!(written.is_sorted_by(|a, b| a < b), "seed {seed}: {written:?}");
    }
}
