//! `NativeClock`: the host's clocks, and the wall clock of the process.

use easyrms_engine::clock;
use napi_derive::napi;

use crate::failure::{Result, misuse};

/// Further from the host's monotonic clock no time is that anybody means, milliseconds.
const MAX_OFFSET_MS: f64 = 1e14;

/// As `HostClocks` in `src/engine/types.ts`.
#[napi(object)]
pub struct HostClocks {
    pub mono_ms: f64,
    pub utc_ms: f64,
    pub synchronised: bool,
}

#[napi(namespace = "clock")]
pub fn host() -> HostClocks {
    let host = clock::host();
    HostClocks { mono_ms: host.mono_us as f64 / 1000.0, utc_ms: host.utc_us as f64 / 1000.0, synchronised: host.synchronised }
}

#[napi(namespace = "clock")]
pub fn utc_ms() -> f64 {
    clock::now().utc_ms as f64
}

#[napi(namespace = "clock")]
pub fn set(offset_ms: f64, step: bool) -> Result<()> {
    if !offset_ms.is_finite() || offset_ms.abs() > MAX_OFFSET_MS {
        return Err(misuse(format!("offsetMs is {offset_ms}, a number within {MAX_OFFSET_MS} of 0 is needed")));
    }
    clock::set((offset_ms * 1000.0).round() as i64, step);
    Ok(())
}
