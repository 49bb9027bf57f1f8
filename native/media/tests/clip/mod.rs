//! Real H.264 and sound from ffmpeg, cut into fragments as a stream's assembler cuts them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use easyrms_media::fragment::{Fragment, FragmentTimes, Sample, TrackFragment};
use easyrms_media::track::{Codec, CodecConfig, Track};

pub const SECONDS: usize = 6;
pub const FRAMES_PER_SECOND: usize = 25;
pub const WIDTH: u16 = 176;
pub const HEIGHT: u16 = 144;
const VIDEO_CLOCK: u32 = 90_000;
const FRAME_TICKS: i64 = 3600;

/// A directory that is gone when the test is over.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("easyrms-players-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a tool to its end; it must be installed, succeed and have nothing to say on stderr.
pub fn run(tool: &str, arguments: &[&str]) -> Vec<u8> {
    let Output { status, stdout, stderr } = Command::new(tool).args(arguments).output().unwrap_or_else(|error| panic!("{tool}: {error}"));
    let said = String::from_utf8_lossy(&stderr);
    assert!(status.success() && said.trim().is_empty(), "{tool} {arguments:?}: {status}\n{said}");
    stdout
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// One access unit with its presentation time in frames.
struct Picture {
    presentation: i64,
    random_access: bool,
    data: Vec<u8>,
}

/// Sound as it comes off the wire: frames of equal length.
struct Sound {
    track: Track,
    frame_ticks: u32,
    frames: Vec<Vec<u8>>,
}

/// How the sound lies to the video at the start of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SoundBegins {
    Together,
    /// The video begins 200 ms after the sound.
    First,
    /// The sound begins 200 ms after the video.
    Last,
}

pub struct Clip {
    pub tracks: Arc<[Track]>,
    pub fragments: Vec<Fragment>,
    pub pictures: usize,
    /// Sample frames of the decoded sound.
    pub sound_samples: usize,
}

impl Clip {
    /// `b_frames` between two others; the clip begins `run_ms` into the media time of its run.
    pub fn make(scratch: &Scratch, video: bool, b_frames: usize, sound: Option<Codec>, begins: SoundBegins, run_ms: i64) -> Self {
        let (video_track, pictures) = if video { make_video(scratch, b_frames) } else { (None, Vec::new()) };
        let sound = sound.map(|codec| make_sound(scratch, codec));
        let tracks: Arc<[Track]> = video_track.iter().chain(sound.iter().map(|sound| &sound.track)).cloned().collect();
        let (video_ms, sound_ms) = match begins {
            SoundBegins::Together => (run_ms, run_ms),
            SoundBegins::First => (run_ms + 200, run_ms),
            SoundBegins::Last => (run_ms, run_ms + 200),
        };
        let fragments = (0..SECONDS)
            .map(|second| {
                let mut parts = Vec::new();
                if video {
                    parts.push(video_part(&pictures, second, video_ms));
                }
                if let Some(sound) = &sound {
                    parts.push(sound_part(sound, second, sound_ms, tracks.len() - 1));
                }
                let start_us = (run_ms + second as i64 * 1000) * 1000;
                let times = FragmentTimes { start_us, duration_us: 1_000_000, start_utc_ms: 1_790_000_000_000 + start_us / 1000 };
                let random_access = !video || parts.first().is_some_and(|part| part.samples[0].random_access);
                Fragment::new(second as u64, Arc::clone(&tracks), parts, random_access, None, times, 0, None)
            })
            .collect();
        let sound_samples = sound.map_or(0, |sound| sound.frames.len() * sound.frame_ticks as usize);
        Self { tracks, fragments, pictures: pictures.len(), sound_samples }
    }
}

/// The pictures that arrive in this second. Decode times count arrivals, which are the presentation times in order.
fn video_part(pictures: &[Picture], second: usize, start_ms: i64) -> TrackFragment {
    let first = second * FRAMES_PER_SECOND;
    let mut part = TrackFragment { track: 0, start_ticks: start_ms * 90 + first as i64 * FRAME_TICKS, ..TrackFragment::default() };
    for (arrival, picture) in pictures.iter().enumerate().skip(first).take(FRAMES_PER_SECOND) {
        part.samples.push(Sample {
            size: picture.data.len() as u32,
            duration_ticks: FRAME_TICKS as u32,
            composition_offset_ticks: ((picture.presentation - arrival as i64) * FRAME_TICKS) as i32,
            random_access: picture.random_access,
        });
        part.data.extend_from_slice(&picture.data);
    }
    part
}

/// The sound frames that begin in this second.
fn sound_part(sound: &Sound, second: usize, start_ms: i64, track: usize) -> TrackFragment {
    let rate = sound.track.clock_rate as usize;
    let first_at = |second: usize| (second * rate).div_ceil(sound.frame_ticks as usize);
    let end = if second + 1 == SECONDS { sound.frames.len() } else { first_at(second + 1) };
    let frames = &sound.frames[first_at(second)..end];
    let start_ticks = start_ms * rate as i64 / 1000 + first_at(second) as i64 * i64::from(sound.frame_ticks);
    let sample = |frame: &Vec<u8>| Sample {
        size: frame.len() as u32,
        duration_ticks: sound.frame_ticks,
        composition_offset_ticks: 0,
        random_access: true,
    };
    TrackFragment { track, start_ticks, samples: frames.iter().map(sample).collect(), data: frames.concat() }
}

fn make_video(scratch: &Scratch, b_frames: usize) -> (Option<Track>, Vec<Picture>) {
    let (mp4, raw) = (scratch.path("video.mp4"), scratch.path("video.h264"));
    let source = format!("testsrc2=size={WIDTH}x{HEIGHT}:rate={FRAMES_PER_SECOND}");
    // Closed groups of two seconds, of a length that ends with a reference picture: `b_frames` divides 49.
    let parameters = format!("keyint=50:min-keyint=50:scenecut=0:bframes={b_frames}:b-adapt=0:b-pyramid=none:open-gop=0");
    let duration = SECONDS.to_string();
    let encode = ["-v", "error", "-y", "-f", "lavfi", "-i", &source, "-t", &duration, "-pix_fmt", "yuv420p", "-c:v", "libx264"];
    run("ffmpeg", &[encode.as_slice(), &["-x264-params", &parameters, text(&mp4)]].concat());
    run("ffmpeg", &["-v", "error", "-y", "-i", text(&mp4), "-c", "copy", "-bsf:v", "h264_mp4toannexb", "-f", "h264", text(&raw)]);
    let listing = run("ffprobe", &["-v", "error", "-show_entries", "packet=pts", "-of", "csv=p=0", text(&mp4)]);
    let listing = String::from_utf8(listing).unwrap();
    let times: Vec<i64> = listing.lines().map(|line| line.trim_end_matches(',').parse().unwrap()).collect();
    let mut ordered = times.clone();
    ordered.sort_unstable();

    let stream = std::fs::read(&raw).unwrap();
    let (mut sps, mut pps, mut units) = (Vec::new(), Vec::new(), Vec::<Vec<&[u8]>>::new());
    // x264 makes one slice of a picture, so an access unit ends with its slice.
    let mut ended = true;
    for unit in split_annex_b(&stream) {
        if std::mem::take(&mut ended) {
            units.push(Vec::new());
        }
        match unit[0] & 0x1F {
            7 => sps = vec![unit.to_vec()],
            8 => pps = vec![unit.to_vec()],
            1 | 5 => ended = true,
            _ => {}
        }
        units.last_mut().unwrap().push(unit);
    }
    assert_eq!(units.len(), times.len());
    let pictures = units.iter().zip(&times).map(|(unit, time)| Picture {
        presentation: ordered.binary_search(time).unwrap() as i64,
        random_access: unit.iter().any(|nal| nal[0] & 0x1F == 5),
        data: unit.iter().flat_map(|nal| (nal.len() as u32).to_be_bytes().into_iter().chain(nal.iter().copied())).collect(),
    });
    let config = CodecConfig::H264 { sps, pps };
    (Some(Track { codec: Codec::H264, clock_rate: VIDEO_CLOCK, channels: 0, config }), pictures.collect())
}

/// NAL units between start codes of three or four bytes.
fn split_annex_b(stream: &[u8]) -> Vec<&[u8]> {
    let starts: Vec<usize> = stream.windows(3).enumerate().filter(|(_, window)| *window == [0, 0, 1]).map(|(at, _)| at).collect();
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    let trimmed = |start: usize, end: usize| {
        let unit = &stream[start + 3..end];
        let zeros = unit.iter().rev().take_while(|byte| **byte == 0).count();
        &unit[..unit.len() - zeros]
    };
    starts.iter().zip(ends).map(|(start, end)| trimmed(*start, end)).collect()
}

fn make_sound(scratch: &Scratch, codec: Codec) -> Sound {
    let raw = scratch.path("sound.raw");
    let (rate, arguments) = match codec {
        Codec::Aac => (16_000, ["-c:a", "aac", "-f", "adts"]),
        Codec::Pcma => (8000, ["-c:a", "pcm_alaw", "-f", "alaw"]),
        Codec::Pcmu => (8000, ["-c:a", "pcm_mulaw", "-f", "mulaw"]),
        Codec::H264 => panic!("not sound"),
    };
    let source = format!("sine=frequency=440:sample_rate={rate}");
    let duration = SECONDS.to_string();
    let encode = ["-v", "error", "-y", "-f", "lavfi", "-i", &source, "-t", &duration, "-ac", "1"];
    run("ffmpeg", &[encode.as_slice(), &arguments, &[text(&raw)]].concat());
    let stream = std::fs::read(&raw).unwrap();
    let track = |config| Track { codec, clock_rate: rate, channels: 1, config };
    if codec == Codec::Aac {
        let (audio_specific_config, frames) = split_adts(&stream);
        Sound { track: track(CodecConfig::Aac { audio_specific_config }), frame_ticks: 1024, frames }
    } else {
        let frames = stream.chunks_exact(160).map(<[u8]>::to_vec).collect();
        Sound { track: track(CodecConfig::Pcm), frame_ticks: 160, frames }
    }
}

/// ADTS frames (ISO/IEC 14496-3 section 1.A.3.2) without their 7-byte headers, and the configuration these repeat.
fn split_adts(mut stream: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let object_type = (stream[2] >> 6) + 1;
    let frequency = stream[2] >> 2 & 0xF;
    let channels = (stream[2] & 1) << 2 | stream[3] >> 6;
    let config = vec![object_type << 3 | frequency >> 1, (frequency & 1) << 7 | channels << 3];
    let mut frames = Vec::new();
    while stream.len() > 7 {
        let length = usize::from(stream[3] & 3) << 11 | usize::from(stream[4]) << 3 | usize::from(stream[5] >> 5);
        frames.push(stream[7..length].to_vec());
        stream = &stream[length..];
    }
    (config, frames)
}
