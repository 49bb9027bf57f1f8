//! Track descriptions from signalling, as the assembler wants them.

use easyrms_media::assembler::{AacLengths, TrackSetup};
use easyrms_media::mp4::MAX_TRACKS;
use easyrms_media::track::{Codec, CodecConfig, Track};

use crate::error::EngineError;
use crate::orders::PlayTrack;

/// A track as TypeScript describes it; see `TrackSetup` in `src/engine/types.ts`.
#[derive(Debug, Clone)]
pub struct TrackOrder {
    pub codec: String,
    pub clock_rate_hz: u32,
    pub channels: u32,
    pub payload_type: u32,
    pub rtp_channel: u32,
    pub rtcp_channel: u32,
    pub ssrc: Option<u32>,
    /// Base64.
    pub config: Vec<String>,
    pub aac: Option<AacLengths>,
}

/// Checks what would break the pipeline. Parameter sets that cannot be read are left out: cameras repeat them in band.
pub fn play_tracks(orders: &[TrackOrder]) -> Result<Vec<PlayTrack>, EngineError> {
    if orders.is_empty() || orders.len() > MAX_TRACKS {
        return Err(EngineError::Input(format!("{} tracks to play, 1 to {MAX_TRACKS} are possible", orders.len())));
    }
    let mut tracks = orders.iter().map(play_track).collect::<Result<Vec<_>, _>>()?;
    let mut channels: Vec<u8> = tracks.iter().flat_map(|track| [track.rtp_channel, track.rtcp_channel]).collect();
    channels.sort_unstable();
    if let Some(channel) = channels.windows(2).find_map(|pair| if let [a, b] = pair { (a == b).then_some(a) } else { None }) {
        return Err(EngineError::Input(format!("interleaved channel {channel} is given twice")));
    }
    if tracks.iter().filter(|track| track.setup.track.codec.is_video()).count() > 1 {
        return Err(EngineError::Input("more than one video track, a segment holds one".to_owned()));
    }
    // Fragments and files have video first, whatever the order in SDP.
    tracks.sort_by_key(|track| !track.setup.track.codec.is_video());
    Ok(tracks)
}

fn play_track(order: &TrackOrder) -> Result<PlayTrack, EngineError> {
    let units = || order.config.iter().filter_map(|text| decode_base64(text)).filter(|unit| !unit.is_empty());
    let of_type = |kind: u8| units().filter(|unit| unit.first().is_some_and(|byte| byte & 31 == kind)).collect();
    let (codec, config) = match order.codec.as_str() {
        // ITU-T H.264 table 7-1: 7 is a sequence, 8 a picture parameter set.
        "h264" => (Codec::H264, CodecConfig::H264 { sps: of_type(7), pps: of_type(8) }),
        "aac" => (Codec::Aac, CodecConfig::Aac { audio_specific_config: units().next().unwrap_or_default() }),
        "pcma" => (Codec::Pcma, CodecConfig::Pcm),
        "pcmu" => (Codec::Pcmu, CodecConfig::Pcm),
        other => return Err(EngineError::Input(format!("codec {other:?}, possible are h264, aac, pcma and pcmu"))),
    };
    if order.clock_rate_hz == 0 {
        return Err(EngineError::Input(format!("{} with a clock rate of 0 Hz", order.codec)));
    }
    Ok(PlayTrack {
        setup: TrackSetup {
            track: Track { codec, clock_rate: order.clock_rate_hz, channels: narrow(order.channels, "channels", u8::MAX)?, config },
            payload_type: narrow(order.payload_type, "payload type", 127)?,
            ssrc: order.ssrc,
            aac: order.aac,
        },
        rtp_channel: narrow(order.rtp_channel, "RTP channel", u8::MAX)?,
        rtcp_channel: narrow(order.rtcp_channel, "RTCP channel", u8::MAX)?,
    })
}

fn narrow(value: u32, what: &str, max: u8) -> Result<u8, EngineError> {
    u8::try_from(value)
        .ok()
        .filter(|value| *value <= max)
        .ok_or_else(|| EngineError::Input(format!("{what} {value}, at most {max} is possible")))
}

/// RFC 4648 section 4; padding may be missing, as it is in some cameras' SDP. `None` for anything else.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim().trim_end_matches('=');
    let mut out = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0);
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(codec: &str, config: &[&str]) -> TrackOrder {
        TrackOrder {
            codec: codec.to_owned(),
            clock_rate_hz: 90_000,
            channels: 0,
            payload_type: 96,
            rtp_channel: 0,
            rtcp_channel: 1,
            ssrc: None,
            config: config.iter().map(|text| (*text).to_owned()).collect(),
            aac: None,
        }
    }

    #[test]
    fn base64_with_and_without_padding() {
        // RFC 4648 section 10.
        for (text, plain) in [("", ""), ("Zg==", "f"), ("Zg", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmFy", "foobar")] {
            assert_eq!(decode_base64(text).unwrap(), plain.as_bytes());
        }
        assert_eq!(decode_base64("Zm9v!"), None);
    }

    #[test]
    fn parameter_sets_are_told_apart_and_nonsense_is_left_out() {
        let tracks = play_tracks(&[order("h264", &["Z0LAHg==", "aM4=", "***", ""])]).unwrap();
        let CodecConfig::H264 { sps, pps } = &tracks[0].setup.track.config else { panic!() };
        assert_eq!((sps.len(), pps.len()), (1, 1));
    }

    #[test]
    fn video_comes_first() {
        let mut sound = order("pcma", &[]);
        (sound.rtp_channel, sound.rtcp_channel) = (2, 3);
        let tracks = play_tracks(&[sound, order("h264", &[])]).unwrap();
        assert_eq!(tracks[0].setup.track.codec, Codec::H264);
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        assert!(play_tracks(&[]).is_err());
        assert!(play_tracks(&[order("h264", &[]), order("pcma", &[])]).unwrap_err().to_string().contains("channel 0 is given twice"));
        let mut second = order("h264", &[]);
        (second.rtp_channel, second.rtcp_channel) = (2, 3);
        assert!(play_tracks(&[order("h264", &[]), second]).unwrap_err().to_string().contains("one video track"));
        assert!(play_tracks(&[order("h265", &[])]).unwrap_err().to_string().contains("h265"));
        let mut wide = order("h264", &[]);
        wide.rtp_channel = 256;
        assert_eq!(play_tracks(&[wide]).unwrap_err().code(), "INPUT_INVALID");
    }
}
