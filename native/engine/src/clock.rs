//! The clocks of the machine, and the wall clock that all media is stamped by. Parsing and writing get their readings passed in.

use std::sync::{Mutex, MutexGuard, PoisonError};

use easyrms_media::assembler::Now;
use rustix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC` in microseconds.
pub fn mono_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1000
}

/// `CLOCK_MONOTONIC` in milliseconds.
pub fn mono_ms() -> u64 {
    mono_us() / 1000
}

/// What the wall clock is made of: the monotonic clock and this. One for the process, like the clocks it stands for.
#[derive(Debug, Clone, Copy)]
struct Wall {
    /// UTC minus monotonic time, microseconds; `None`: as the host's clock says, at every reading.
    offset_us: Option<i64>,
    steps: u32,
}

static WALL: Mutex<Wall> = Mutex::new(Wall { offset_us: None, steps: 0 });

fn wall() -> MutexGuard<'static, Wall> {
    WALL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Both clocks.
pub fn now() -> Now {
    let wall = *wall();
    let mono_us = mono_us();
    let mono = i64::try_from(mono_us).unwrap_or(i64::MAX);
    let offset_us = wall.offset_us.unwrap_or_else(|| host_utc_us().saturating_sub(mono));
    Now { mono_us, utc_ms: mono.saturating_add(offset_us).div_euclid(1000), offset_us, steps: wall.steps }
}

/// Makes UTC the monotonic clock plus `offset_us`. `step`: what was stamped before is of another clock, so each stream begins another run
/// at its next random access point; without it the change is taken for drift.
pub fn set(offset_us: i64, step: bool) {
    let mut wall = wall();
    wall.offset_us = Some(offset_us);
    wall.steps = wall.steps.wrapping_add(u32::from(step));
}

/// The host's clocks as they are.
#[derive(Debug, Clone, Copy)]
pub struct HostClocks {
    pub mono_us: u64,
    /// UTC, microseconds since 1970.
    pub utc_us: i64,
    /// The kernel says that something keeps its clock right (NTP, PTP): `STA_UNSYNC` of adjtimex(2) is not set.
    pub synchronised: bool,
}

/// Reads the host's clocks.
pub fn host() -> HostClocks {
    HostClocks { mono_us: mono_us(), utc_us: host_utc_us(), synchronised: synchronised() }
}

/// Through libc: what tests put in front of it to move the clock is not seen by system calls made past it.
fn host_utc_us() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is ours and as large as the call writes; the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut now) };
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}

/// Where the question is not allowed the answer is no.
fn synchronised() -> bool {
    // SAFETY: all zero is a valid value: modes 0 changes nothing and asks.
    let mut clock: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is ours and of the type the call fills.
    let state = unsafe { libc::adjtimex(&raw mut clock) };
    state >= 0 && clock.status & libc::STA_UNSYNC == 0
}
