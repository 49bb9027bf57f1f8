//! RTP timestamps of one track on a continuous 64-bit clock.

use std::num::NonZeroU32;

/// A step forward that is longer than the time that passed by more than this is not believed, microseconds.
const TOLERANCE_US: i64 = 5_000_000;
/// Nor is one back that is longer than this and than the newest step forward: reordered pictures fill what was stepped over.
const BACK_US: i64 = 1_000_000;
/// Of the time between two units at most so much counts as running, where media may be slower than arrival; the rest is a stall.
const RUNNING_US: i64 = 1_000_000;
/// Media that runs slower than arrival by less than this share makes no backlog.
const SLOW_SHARE: i64 = 4;
/// So many units in a row that agree with each other make a new time base.
const AGREEING_UNITS: u32 = 3;

/// Where a unit lies on the track's clock, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    Continuous(i64),
    /// The timestamp was not believed; the unit is put one nominal step behind the one before.
    Outlier(i64),
    /// The camera goes on with another time base; joined without the jump.
    Jump(i64),
}

impl Placement {
    pub fn ticks(self) -> i64 {
        match self {
            Self::Continuous(ticks) | Self::Outlier(ticks) | Self::Jump(ticks) => ticks,
        }
    }
}

/// Unwraps 32-bit timestamps (RFC 3550 section 5.1) and joins what does not fit.
///
/// Units may step back as far as pictures are reordered: no further than the newest step forward, or a second where that was shorter. A step
/// forward is judged against the time that passed between arrivals, and against what a stall has left behind: a backlog arrives at once, and the camera may have dropped a part of it.
#[derive(Debug)]
pub struct Timeline {
    clock_rate: NonZeroU32,
    last: Option<Last>,
    /// Added to the unwrapped timestamp.
    offset: i64,
    nominal_ticks: i64,
    /// The newest step forward, microseconds.
    forward_us: i64,
    /// By how much media is behind arrival since the newest stall, microseconds.
    backlog_us: i64,
    /// The newest unit that did not fit, and how many before it agreed.
    stray: Option<(Last, u32)>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    timestamp: u32,
    unwrapped: i64,
    placed: i64,
    arrival_us: i64,
}

impl Timeline {
    pub fn new(clock_rate: NonZeroU32) -> Self {
        Self {
            clock_rate,
            last: None,
            offset: 0,
            nominal_ticks: i64::from(clock_rate.get()) / 25,
            forward_us: 0,
            backlog_us: 0,
            stray: None,
        }
    }

    /// Places a unit and advances the clock to it. The first one lies at its own timestamp.
    pub fn place(&mut self, timestamp: u32, arrival_us: i64) -> Placement {
        let Some(last) = self.last else {
            let unwrapped = i64::from(timestamp);
            self.last = Some(Last { timestamp, unwrapped, placed: unwrapped, arrival_us });
            return Placement::Continuous(unwrapped);
        };
        let unwrapped = unwrap_after(last, timestamp);
        let (step_us, passed_us) = self.step(last, unwrapped, arrival_us);
        if self.believes(step_us, passed_us + self.backlog_us) {
            if step_us > 0 {
                self.forward_us = step_us;
            }
            let running_us = passed_us.min(RUNNING_US);
            self.backlog_us = (self.backlog_us + passed_us - step_us - running_us / SLOW_SHARE).max(0);
            let placed = unwrapped + self.offset;
            let step = placed - last.placed;
            if step > 0 && step < i64::from(self.clock_rate.get()) {
                self.nominal_ticks = step;
            }
            self.stray = None;
            self.last = Some(Last { timestamp, unwrapped, placed, arrival_us });
            return Placement::Continuous(placed);
        }
        let placed = last.placed + self.nominal_ticks;
        let here = Last { timestamp, unwrapped, placed, arrival_us };
        let agreeing = match self.stray {
            Some((before, count)) => {
                let (step_us, passed_us) = self.step(before, unwrap_after(before, timestamp), arrival_us);
                if self.believes(step_us, passed_us) { count + 1 } else { 1 }
            }
            None => 1,
        };
        if agreeing >= AGREEING_UNITS {
            return self.join(here);
        }
        self.stray = Some((here, agreeing));
        // The clock goes on without the stray timestamp, so that a good one fits again.
        self.last = Some(Last { placed, ..last });
        Placement::Outlier(placed)
    }

    /// Where a timestamp lies, without moving the clock: sender reports may lag or lead (RFC 3550 section 6.4.1).
    pub fn peek(&self, timestamp: u32) -> Option<i64> {
        self.last.map(|last| unwrap_after(last, timestamp) + self.offset)
    }

    /// Another source took over (RFC 3550 section 8.2): its clock is joined one nominal step behind.
    pub fn restart(&mut self, timestamp: u32, arrival_us: i64) -> Placement {
        let Some(last) = self.last else { return self.place(timestamp, arrival_us) };
        self.join(Last { timestamp, unwrapped: i64::from(timestamp), placed: last.placed + self.nominal_ticks, arrival_us })
    }

    /// Makes the time base the one in which this unit is where it was placed.
    fn join(&mut self, here: Last) -> Placement {
        self.offset = here.placed - here.unwrapped;
        self.backlog_us = 0;
        self.forward_us = 0;
        self.stray = None;
        self.last = Some(here);
        Placement::Jump(here.placed)
    }

    /// Microseconds by which timestamps and arrivals differ.
    fn step(&self, from: Last, unwrapped: i64, arrival_us: i64) -> (i64, i64) {
        let step_us = ticks_to_us(unwrapped - from.unwrapped, self.clock_rate);
        (step_us, (arrival_us - from.arrival_us).max(0))
    }

    fn believes(&self, step_us: i64, possible_us: i64) -> bool {
        step_us <= possible_us + TOLERANCE_US && step_us >= -self.forward_us.clamp(BACK_US, TOLERANCE_US)
    }
}

/// Rounded down; exact and without overflow also where the product would not fit.
pub fn ticks_to_us(ticks: i64, rate: NonZeroU32) -> i64 {
    scale(ticks, 1_000_000, i64::from(rate.get()))
}

/// The other way.
pub fn us_to_ticks(us: i64, rate: NonZeroU32) -> i64 {
    scale(us, i64::from(rate.get()), 1_000_000)
}

/// `value * factor / divisor`; factor and divisor fit into 32 bits and are not 0.
fn scale(value: i64, factor: i64, divisor: i64) -> i64 {
    let (whole, rest) = (value.div_euclid(divisor), value.rem_euclid(divisor));
    whole.saturating_mul(factor).saturating_add(rest * factor / divisor)
}

/// A step of less than half the range is forward, anything else backward.
fn unwrap_after(last: Last, timestamp: u32) -> i64 {
    last.unwrapped + i64::from(timestamp.wrapping_sub(last.timestamp) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Placement::{Continuous, Jump, Outlier};

    const RATE: u32 = 90_000;
    const FRAME: i64 = 3600;
    const FRAME_US: i64 = 40_000;

    fn timeline() -> Timeline {
        Timeline::new(NonZeroU32::new(RATE).unwrap())
    }

    /// Places frame `n` with the timestamp of frame `shown`.
    fn frame(line: &mut Timeline, n: i64, shown: i64) -> Placement {
        line.place((shown * FRAME) as u32, n * FRAME_US)
    }

    #[test]
    fn goes_on_over_the_wrap() {
        let mut line = timeline();
        let start = u32::MAX - 5000;
        assert_eq!(line.place(start, 0), Continuous(i64::from(start)));
        assert_eq!(line.place(start.wrapping_add(3600), 40_000), Continuous(i64::from(start) + 3600));
        assert_eq!(line.place(start.wrapping_add(7200), 80_000), Continuous(i64::from(start) + 7200));
        assert_eq!(line.peek(start), Some(i64::from(start)));
    }

    #[test]
    fn lets_reordered_pictures_step_back() {
        let mut line = timeline();
        for (n, shown) in [0, 3, 1, 2, 6].into_iter().enumerate() {
            assert_eq!(frame(&mut line, n as i64, shown), Continuous(shown * FRAME));
        }
    }

    #[test]
    fn lets_reordered_pictures_of_a_slow_camera_step_back_for_seconds() {
        let mut line = timeline();
        // A picture a second, three of them shown before the one that is sent ahead of them.
        for (n, shown) in [0, 4, 2, 1, 3, 8, 6, 5, 7].into_iter().enumerate() {
            let place = line.place(shown * RATE, n as i64 * 1_000_000);
            assert_eq!(place, Continuous(i64::from(shown * RATE)));
        }
    }

    #[test]
    fn a_clock_that_is_set_back_by_seconds_is_joined_without_a_squeeze() {
        for back in [30, 50, 124] {
            let mut line = timeline();
            for n in 0..1000 {
                frame(&mut line, n, n);
            }
            for n in 1000..1200 {
                let expected = match n {
                    1000 | 1001 => Outlier(n * FRAME),
                    1002 => Jump(n * FRAME),
                    _ => Continuous(n * FRAME),
                };
                assert_eq!(frame(&mut line, n, n - back), expected, "{back} pictures back, picture {n}");
            }
        }
    }

    #[test]
    fn a_single_stamp_seconds_back_is_restamped() {
        let mut line = timeline();
        for n in 0..100 {
            frame(&mut line, n, n);
        }
        assert_eq!(frame(&mut line, 100, 50), Outlier(100 * FRAME));
        assert_eq!(frame(&mut line, 101, 101), Continuous(101 * FRAME));
    }

    #[test]
    fn restamps_single_outliers() {
        let mut line = timeline();
        frame(&mut line, 0, 0);
        frame(&mut line, 1, 1);
        assert_eq!(frame(&mut line, 2, 2 + 25 * 3600), Outlier(2 * FRAME));
        assert_eq!(frame(&mut line, 3, 3), Continuous(3 * FRAME));
    }

    #[test]
    fn two_outliers_that_disagree_are_no_new_base() {
        let mut line = timeline();
        frame(&mut line, 0, 0);
        frame(&mut line, 1, 1);
        for (n, shown) in [(2, 90_000), (3, 200_000), (4, 90_000), (5, 200_000)] {
            assert!(matches!(frame(&mut line, n, shown), Outlier(_)));
        }
        assert_eq!(frame(&mut line, 6, 6), Continuous(6 * FRAME));
    }

    #[test]
    fn joins_a_jump_after_three_that_agree() {
        for jump in [25 * 3600, -25 * 3600] {
            let mut line = timeline();
            frame(&mut line, 0, 100_000);
            frame(&mut line, 1, 100_001);
            let base = 100_001 * FRAME;
            assert_eq!(frame(&mut line, 2, 100_002 + jump), Outlier(base + FRAME));
            assert_eq!(frame(&mut line, 3, 100_003 + jump), Outlier(base + 2 * FRAME));
            assert_eq!(frame(&mut line, 4, 100_004 + jump), Jump(base + 3 * FRAME));
            assert_eq!(frame(&mut line, 5, 100_005 + jump), Continuous(base + 4 * FRAME));
        }
    }

    #[test]
    fn believes_a_long_pause_and_a_backlog() {
        let mut line = timeline();
        frame(&mut line, 0, 0);
        assert_eq!(line.place(20 * RATE, 20_000_000), Continuous(20 * i64::from(RATE)));
        // Twenty seconds of silence, then what was held back arrives at once.
        assert_eq!(line.place(20 * RATE + 3600, 40_000_000), Continuous(20 * i64::from(RATE) + 3600));
        assert_eq!(line.place(20 * RATE + 7200, 40_000_000), Continuous(20 * i64::from(RATE) + 7200));
    }

    #[test]
    fn what_a_stall_held_back_may_have_holes() {
        let mut line = timeline();
        frame(&mut line, 0, 0);
        // Twenty seconds of silence. The camera kept two, dropped seventeen, and goes on; all that arrives at once.
        for shown in (1..50).chain(475..500) {
            assert_eq!(frame(&mut line, 500, shown), Continuous(shown * FRAME));
        }
        // The backlog is used up: the same step again is a jump.
        assert!(matches!(frame(&mut line, 501, 925), Outlier(_)));
    }

    #[test]
    fn a_clock_that_is_slow_makes_no_backlog() {
        let mut line = timeline();
        for n in 0..100_000 {
            // 25 frames a second by their stamps, 21 by the clock.
            assert_eq!(line.place((n * FRAME) as u32, n * 47_619), Continuous(n * FRAME));
        }
        assert!(matches!(line.place((100_000 * FRAME + 6 * i64::from(RATE)) as u32, 100_000 * 47_619), Outlier(_)));
    }

    #[test]
    fn scales_without_overflow() {
        let rate = NonZeroU32::new(RATE).unwrap();
        assert_eq!(us_to_ticks(10 * 365 * 86_400_000_000, rate), 10 * 365 * 86_400 * 90_000, "ten years of uptime");
        let far_us = i64::MAX / 100_000;
        assert!((0..12).contains(&(far_us - ticks_to_us(us_to_ticks(far_us, rate), rate))));
        assert_eq!((ticks_to_us(-1, rate), us_to_ticks(-1, rate)), (-12, -1));
        assert_eq!(us_to_ticks(i64::MAX, NonZeroU32::MAX), i64::MAX);
    }

    #[test]
    fn a_new_source_follows_one_step_behind() {
        let mut line = timeline();
        frame(&mut line, 0, 0);
        frame(&mut line, 1, 1);
        assert_eq!(line.restart(0xdead_beef, 80_000), Jump(2 * FRAME));
        assert_eq!(line.place(0xdead_beef_u32.wrapping_add(3600), 120_000), Continuous(3 * FRAME));
    }
}
