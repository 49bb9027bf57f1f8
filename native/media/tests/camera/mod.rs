//! A camera that numbers and stamps for itself, and the assembler that it feeds.

// Each test binary uses its part of this.
#![allow(dead_code)]

use std::sync::Arc;

use easyrms_media::assembler::{Assembler, AssemblerConfig, Counters, Now, TrackSetup};
use easyrms_media::fragment::{BufferPool, Fragment};
use easyrms_media::track::{Codec, CodecConfig, Track};

pub const SPS: &[u8] = &[0x67, 66, 0, 30, 0x80];
pub const OTHER_SPS: &[u8] = &[0x67, 77, 0, 30, 0x80];
pub const PPS: &[u8] = &[0x68, 0xc0];
/// An I slice (type 7) for PPS 0.
pub const IDR: &[u8] = &[0x65, 0x88, 0x81, 2];
/// A P slice (type 5) for PPS 0.
pub const P: &[u8] = &[0x41, 0x9a, 3];
pub const SECOND_SLICE: &[u8] = &[0x41, 0x20, 4];
pub const FRAME_TICKS: u32 = 3600;
pub const FRAME_US: u64 = 40_000;
/// Where the camera's clocks begin; any value.
pub const VIDEO_EPOCH: u32 = 4_000_000_000;
pub const SOUND_EPOCH: u32 = 77;
/// UTC of monotonic 0.
pub const UTC_MS: i64 = 1_700_000_000_000;
/// Sources of video and sound.
pub const SSRC: [u32; 2] = [1, 2];
pub const FIRST_SEQUENCE: u64 = 5;

pub fn video(sps: &[&[u8]]) -> TrackSetup {
    let sps = sps.iter().map(|set| set.to_vec()).collect::<Vec<_>>();
    let pps = if sps.is_empty() { vec![] } else { vec![PPS.to_vec()] };
    let track = Track { codec: Codec::H264, clock_rate: 90_000, channels: 0, config: CodecConfig::H264 { sps, pps } };
    TrackSetup { track, payload_type: 96, ssrc: None, aac: None }
}

pub fn sound() -> TrackSetup {
    let track = Track { codec: Codec::Pcma, clock_rate: 8000, channels: 1, config: CodecConfig::Pcm };
    TrackSetup { track, payload_type: 8, ssrc: None, aac: None }
}

pub fn aac() -> TrackSetup {
    let config = CodecConfig::Aac { audio_specific_config: vec![0x14, 0x08] };
    TrackSetup { track: Track { codec: Codec::Aac, clock_rate: 16_000, channels: 1, config }, payload_type: 97, ssrc: None, aac: None }
}

pub fn now(mono_us: u64) -> Now {
    Now { mono_us, utc_ms: UTC_MS + (mono_us / 1000) as i64, offset_us: UTC_MS * 1000, steps: 0 }
}

/// Makes `packet` an RTP packet.
pub fn write_packet(packet: &mut Vec<u8>, payload_type: u8, sequence: u16, timestamp: u32, ssrc: u32, marker: bool, payload: &[u8]) {
    packet.clear();
    packet.extend([0x80, payload_type | if marker { 0x80 } else { 0 }]);
    packet.extend(sequence.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend_from_slice(payload);
}

pub struct Camera {
    pub assembler: Assembler,
    pub pool: Arc<BufferPool>,
    /// Of the next packet, for each track.
    pub sequences: [u16; 2],
    pub ssrcs: [u32; 2],
    pub fragments: Vec<Fragment>,
    payload_types: Vec<u8>,
    packet: Vec<u8>,
}

impl Camera {
    /// At most two tracks.
    pub fn new(setups: Vec<TrackSetup>) -> Self {
        let pool = BufferPool::new(8, 1 << 20);
        let payload_types = setups.iter().map(|setup| setup.payload_type).collect();
        let config = AssemblerConfig { fragment_ms: 1000, first_sequence: FIRST_SEQUENCE };
        let assembler = Assembler::new(config, setups, Arc::clone(&pool));
        Self { assembler, pool, sequences: [65_530, 9], ssrcs: SSRC, fragments: vec![], payload_types, packet: vec![] }
    }

    pub fn packet(&mut self, track: usize, timestamp: u32, marker: bool, payload: &[u8], at: Now) {
        let sequence = self.sequences[track];
        self.sequences[track] = sequence.wrapping_add(1);
        write_packet(&mut self.packet, self.payload_types[track], sequence, timestamp, self.ssrcs[track], marker, payload);
        self.assembler.rtp(track, &self.packet, at);
        self.collect();
    }

    pub fn collect(&mut self) {
        self.fragments.extend(std::iter::from_fn(|| self.assembler.next_fragment()));
    }

    /// A picture shown as number `shown`, arriving as number `n`.
    pub fn picture(&mut self, n: u64, shown: i64, slice: &[u8]) {
        self.picture_at(shown, slice, n * FRAME_US);
    }

    /// A picture shown as number `shown`, arriving at `mono_us`.
    pub fn picture_at(&mut self, shown: i64, slice: &[u8], mono_us: u64) {
        let timestamp = VIDEO_EPOCH.wrapping_add((shown * i64::from(FRAME_TICKS)) as u32);
        self.packet(0, timestamp, true, slice, now(mono_us));
    }

    /// `count` pictures in order, a random access point each `group`.
    pub fn pictures(&mut self, from: u64, count: u64, group: u64) {
        for n in from..from + count {
            self.picture(n, n as i64, if n % group == 0 { IDR } else { P });
        }
    }

    /// 40 ms of sound, numbered like pictures.
    pub fn sound(&mut self, n: u64) {
        let timestamp = SOUND_EPOCH.wrapping_add((n as u32).wrapping_mul(320));
        self.packet(1, timestamp, false, &[n as u8; 320], now(n * FRAME_US));
    }

    pub fn sender_report(&mut self, track: usize, ssrc: u32, ntp_us: u64, rtp: u32) {
        let mut bytes = vec![0x80, 200, 0, 6];
        bytes.extend(ssrc.to_be_bytes());
        bytes.extend(((ntp_us / 1_000_000) as u32).to_be_bytes());
        bytes.extend((((ntp_us % 1_000_000) << 32) / 1_000_000).to_be_bytes()[4..].iter());
        bytes.extend(rtp.to_be_bytes());
        bytes.extend([0; 8]);
        self.assembler.rtcp(track, &bytes, now(0));
    }

    pub fn counters(&self) -> Counters {
        *self.assembler.counters()
    }

    pub fn end(self) -> (Vec<Fragment>, Counters) {
        self.end_at(0)
    }

    pub fn end_at(mut self, mono_us: u64) -> (Vec<Fragment>, Counters) {
        self.assembler.flush(now(mono_us));
        self.collect();
        (self.fragments, *self.assembler.counters())
    }
}

/// Presentation times of a fragment's video, in frames.
pub fn shown(fragment: &Fragment) -> Vec<i64> {
    let part = &fragment.parts[0];
    let mut decode = part.start_ticks;
    part.samples
        .iter()
        .map(|sample| {
            let at = decode + i64::from(sample.composition_offset_ticks);
            decode += i64::from(sample.duration_ticks);
            at / i64::from(FRAME_TICKS)
        })
        .collect()
}

/// The same over many fragments.
pub fn all_shown(fragments: &[Fragment]) -> Vec<i64> {
    fragments.iter().flat_map(shown).collect()
}
