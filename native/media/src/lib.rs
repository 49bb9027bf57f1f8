//! Media formats of the recorder: RTP in, MP4 out. No I/O, no clock, no panic on any input.

#![forbid(unsafe_code)]

pub mod assembler;
mod bits;
mod builder;
pub mod depacketize;
pub mod fragment;
pub mod h264;
pub mod identity;
pub mod interleaved;
pub mod mp4;
mod reception;
pub mod rtcp;
pub mod rtp;
mod timeline;
pub mod track;
