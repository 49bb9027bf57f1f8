//! The addon: the engine as `src/engine/types.ts` declares it. Names and order are the same there; a missing value is `null`.
//!
//! Loaded on the main thread only. Owned values go down, copies come up; no JavaScript value is kept but the one callback.

// The glue that napi-derive writes hands arguments over as owned values.
#![allow(clippy::needless_pass_by_value)]
// It registers nothing in test builds, where all exports look unused.
#![cfg_attr(test, allow(dead_code))]

mod clock;
mod convert;
mod engine;
mod failure;
mod files;

use napi::bindgen_prelude::Object;
use napi_derive::napi;

/// Sets what is a plain value: the version of the addon, which is that of the product.
#[napi(module_exports)]
pub fn exports(mut exports: Object) -> napi::Result<()> {
    exports.set("version", env!("CARGO_PKG_VERSION"))
}

/// Names of the slots of a stream's stats page, in order.
#[napi]
pub fn stream_stats() -> Vec<&'static str> {
    easyrms_engine::STREAM_STATS.to_vec()
}

/// Names of the slots of a writer's stats page, in order.
#[napi]
pub fn writer_stats() -> Vec<&'static str> {
    easyrms_engine::WRITER_STATS.to_vec()
}

/// Names of the slots of the engine's stats page, in order.
#[napi]
pub fn engine_stats() -> Vec<&'static str> {
    easyrms_engine::ENGINE_STATS.to_vec()
}
