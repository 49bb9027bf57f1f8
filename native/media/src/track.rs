//! What a track is: codec, clock, and the configuration a decoder needs before the first sample.

use std::num::NonZeroU32;

/// Codecs the recorder can store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// ITU-T H.264 over RFC 6184.
    H264,
    /// MPEG-4 AAC over RFC 3640 (mode AAC-hbr).
    Aac,
    /// ITU-T G.711 A-law, RFC 3551 section 4.5.14.
    Pcma,
    /// ITU-T G.711 mu-law, RFC 3551 section 4.5.14.
    Pcmu,
}

impl Codec {
    pub const fn is_video(self) -> bool {
        matches!(self, Self::H264)
    }

    /// The name used in facts and listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::Aac => "aac",
            Self::Pcma => "pcma",
            Self::Pcmu => "pcmu",
        }
    }
}

/// Decoder configuration, as told by SDP and then by the stream itself, which wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodecConfig {
    /// H.264 parameter sets as bare NAL units (no start code, no length), in order of their ids.
    /// Either list may be empty until the stream brings them in band.
    H264 { sps: Vec<Vec<u8>>, pps: Vec<Vec<u8>> },
    /// `AudioSpecificConfig`, ISO/IEC 14496-3 section 1.6.2.1.
    Aac { audio_specific_config: Vec<u8> },
    /// G.711 needs none.
    Pcm,
}

/// One track of a stream as the segment writer needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    pub codec: Codec,
    /// RTP clock rate in Hz, also the MP4 timescale of the track.
    pub clock_rate: u32,
    /// Audio channels; 0 for video.
    pub channels: u8,
    pub config: CodecConfig,
}

impl Track {
    /// The clock rate; 1 for one of 0, which nothing can be timed by.
    pub fn ticks_per_second(&self) -> NonZeroU32 {
        NonZeroU32::new(self.clock_rate).unwrap_or(NonZeroU32::MIN)
    }
}
