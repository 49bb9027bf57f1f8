//! The two clocks of the machine. Parsing and writing get their readings passed in.

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

/// UTC by the host's clock, milliseconds since 1970.
pub fn utc_ms() -> i64 {
    let now = clock_gettime(ClockId::Realtime);
    now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}
