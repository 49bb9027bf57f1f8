//! One PLAY of a stream: its assembler, its interleaved channels, and the receiver reports owed to the camera.

use std::sync::Arc;

use easyrms_media::assembler::{Assembler, AssemblerConfig, Counters, Now};
use easyrms_media::fragment::BufferPool;

use super::hub::Hub;
use crate::orders::PlayTrack;

/// Mean time between two receiver reports of a track (RFC 3550 section 6.2: the recommended minimum).
const REPORT_US: u64 = 5_000_000;
const UNUSED: u8 = u8::MAX;
/// Low bit of a channel table entry.
const RTCP: u8 = 1;

/// Media of one connection from PLAY to its end.
pub struct Run {
    pub connection: u32,
    /// Something came on a channel of this run.
    pub has_media: bool,
    assembler: Assembler,
    /// For each interleaved channel the track index doubled, plus [`RTCP`]; or [`UNUSED`].
    channels: [u8; 256],
    rtcp_channels: Vec<u8>,
    reports_due_us: Vec<u64>,
    report: Vec<u8>,
    foreign_packets: u64,
}

impl Run {
    pub fn new(
        connection: u32,
        tracks: Vec<PlayTrack>,
        fragment_ms: u32,
        first_sequence: u64,
        pool: Arc<BufferPool>,
        now: Now,
        hub: &mut Hub,
    ) -> Self {
        let mut channels = [UNUSED; 256];
        let mut rtcp_channels = Vec::with_capacity(tracks.len());
        let mut setups = Vec::with_capacity(tracks.len());
        for (index, track) in tracks.into_iter().enumerate() {
            for (channel, flag) in [(track.rtp_channel, 0), (track.rtcp_channel, RTCP)] {
                if let Some(entry) = channels.get_mut(usize::from(channel)) {
                    *entry = (index as u8) << 1 | flag;
                }
            }
            rtcp_channels.push(track.rtcp_channel);
            setups.push(track.setup);
        }
        let reports_due_us = setups.iter().map(|_| now.mono_us + report_pause_us(hub)).collect();
        let assembler = Assembler::new(AssemblerConfig { fragment_ms, first_sequence }, setups, pool);
        Self { connection, has_media: false, assembler, channels, rtcp_channels, reports_due_us, report: Vec::new(), foreign_packets: 0 }
    }

    /// An interleaved frame.
    pub fn frame(&mut self, channel: u8, payload: &[u8], now: Now) {
        match self.channels.get(usize::from(channel)).copied().unwrap_or(UNUSED) {
            UNUSED => self.foreign_packets += 1,
            entry => {
                self.has_media = true;
                let track = usize::from(entry >> 1);
                if entry & RTCP == 0 { self.assembler.rtp(track, payload, now) } else { self.assembler.rtcp(track, payload, now) }
            }
        }
    }

    pub fn assembler(&mut self) -> &mut Assembler {
        &mut self.assembler
    }

    pub fn counters(&self) -> &Counters {
        self.assembler.counters()
    }

    /// Frames on channels that no track has.
    pub fn foreign_packets(&self) -> u64 {
        self.foreign_packets
    }

    /// Appends the receiver reports that are due, framed for their channels (RFC 2326 section 10.12).
    pub fn reports(&mut self, now: Now, hub: &mut Hub, out: &mut Vec<u8>) {
        for (track, due_us) in self.reports_due_us.iter_mut().enumerate() {
            if now.mono_us < *due_us {
                continue;
            }
            *due_us = now.mono_us + report_pause_us(hub);
            self.report.clear();
            let Some(channel) = self.rtcp_channels.get(track).copied() else { continue };
            if self.assembler.receiver_report(track, now, &mut self.report)
                && let Ok(length) = u16::try_from(self.report.len())
            {
                out.extend_from_slice(&[b'$', channel]);
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(&self.report);
            }
        }
    }
}

/// RFC 3550 section 6.2: varied between half and one and a half times the interval, so that reports do not fall into step.
fn report_pause_us(hub: &mut Hub) -> u64 {
    REPORT_US / 2 + hub.random_below(REPORT_US)
}
