//! Media formats of the recorder: RTP in, MP4 out. No I/O, no clock, no panic on any input.

#![forbid(unsafe_code)]

pub mod fragment;
pub mod identity;
pub mod mp4;
pub mod track;
