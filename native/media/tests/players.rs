//! Segments before the judges: ffprobe, ffmpeg and `GStreamer` must read and decode them whole and without a word.

// All of this target is test code, which clippy sees only in functions marked as tests.
#![allow(clippy::unwrap_used)]

mod clip;

use std::path::Path;

use clip::{Clip, FRAMES_PER_SECOND, HEIGHT, SECONDS, Scratch, SoundBegins, WIDTH, run, text};
use easyrms_media::identity::{ClockTrust, Identity, StreamKind};
use easyrms_media::mp4::{Scan, SegmentScanner, SegmentState};
use easyrms_media::track::{Codec, CodecConfig, Track};

fn identity() -> Identity {
    Identity {
        serial: "EDGE-0001".to_owned(),
        channel: 1,
        stream: StreamKind::Main,
        run: *b"0123456789abcdef",
        sequence: 0,
        start_mono_ms: 5000,
        start_utc_ms: 1_790_000_000_000,
        clock: ClockTrust::Trusted,
        zone: "Asia/Shanghai".to_owned(),
    }
}

/// A segment of all the clip's fragments from `first` on: its bytes and where its fragments end.
fn write_segment(clip: &Clip, tracks: &[Track], first: usize, sealed: bool) -> (Vec<u8>, Vec<usize>) {
    let mut file = Vec::new();
    let mut state = SegmentState::new(tracks, &identity(), &mut file).unwrap();
    let mut ends = Vec::new();
    for fragment in &clip.fragments[first..] {
        let mut headers = Vec::new();
        let ranges = state.append(fragment, &mut headers).unwrap();
        for (range, part) in ranges.iter().zip(&fragment.parts) {
            file.extend_from_slice(&headers[range]);
            file.extend_from_slice(&part.data);
        }
        assert_eq!(state.bytes(), file.len() as u64);
        ends.push(file.len());
    }
    if sealed {
        let summary = state.seal(None, &mut file);
        assert_eq!(summary.bytes, file.len() as u64);
    }
    (file, ends)
}

fn scan(file: &[u8]) -> Scan {
    let mut scanner = SegmentScanner::new();
    file.chunks(4096).for_each(|chunk| scanner.push(chunk));
    scanner.finish()
}

/// Decodes everything with ffmpeg: no warning, and so many pictures.
fn assert_ffmpeg_decodes(path: &Path, pictures: usize) {
    run("ffprobe", &["-v", "warning", text(path)]);
    run("ffmpeg", &["-v", "warning", "-xerror", "-i", text(path), "-f", "null", "-"]);
    if pictures > 0 {
        let entries = ["-count_frames", "-select_streams", "v:0", "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"];
        let counted = run("ffprobe", &[["-v", "warning"].as_slice(), &entries, &[text(path)]].concat());
        assert_eq!(String::from_utf8(counted).unwrap().trim(), pictures.to_string());
    }
}

/// Decodes one track with `GStreamer`; gives the bytes of raw pictures or sound.
fn gstreamer_bytes(path: &Path, pad: &str, raw: &str) -> usize {
    let pipeline = format!("filesrc location={} ! qtdemux name=d d.{pad} ! queue ! decodebin ! {raw} ! fdsink fd=1 sync=false", text(path));
    let arguments: Vec<&str> = ["-q"].into_iter().chain(pipeline.split(' ')).collect();
    run("gst-launch-1.0", &arguments).len()
}

fn assert_gstreamer_decodes(path: &Path, pictures: usize, sound_samples: usize) {
    if pictures > 0 {
        let bytes = gstreamer_bytes(path, "video_0", "videoconvert ! video/x-raw,format=I420");
        assert_eq!(bytes, pictures * usize::from(WIDTH) * usize::from(HEIGHT) * 3 / 2, "{}", path.display());
    }
    if sound_samples > 0 {
        let bytes = gstreamer_bytes(path, "audio_0", "audioconvert ! audio/x-raw,format=S16LE,channels=1");
        assert_eq!(bytes, sound_samples * 2, "{}", path.display());
    }
}

/// Start of each stream in seconds as ffprobe sees it, by kind.
fn start_time(path: &Path, kind: &str) -> f64 {
    let arguments = ["-v", "warning", "-select_streams", kind, "-show_entries", "packet=pts_time", "-of", "csv=p=0", text(path)];
    let listing = String::from_utf8(run("ffprobe", &arguments)).unwrap();
    listing.lines().map(|line| line.trim_end_matches(',').parse::<f64>().unwrap()).fold(f64::INFINITY, f64::min)
}

fn check(name: &str, video: bool, b_frames: usize, sound: Option<Codec>) {
    let scratch = Scratch::new(name);
    let clip = Clip::make(&scratch, video, b_frames, sound, SoundBegins::Together, 0);
    let (file, _) = write_segment(&clip, &clip.tracks, 0, true);
    let path = scratch.path("segment.mp4");
    std::fs::write(&path, &file).unwrap();
    assert_ffmpeg_decodes(&path, clip.pictures);
    assert_gstreamer_decodes(&path, clip.pictures, clip.sound_samples);

    let scan = scan(&file);
    assert_eq!(scan.problems, Vec::<String>::new());
    assert_eq!(scan.fragments.len(), SECONDS);
    assert!(scan.seal.is_some());
    let head = scan.head.unwrap();
    assert!(head.tracks.iter().map(|track| &track.track).eq(clip.tracks.iter()));
    if video {
        assert_eq!((head.tracks[0].width, head.tracks[0].height), (WIDTH, HEIGHT));
    }
}

#[test]
fn h264_alone() {
    check("h264", true, 0, None);
}

#[test]
fn h264_with_aac() {
    check("aac", true, 0, Some(Codec::Aac));
}

#[test]
fn h264_with_pcma() {
    check("pcma", true, 0, Some(Codec::Pcma));
}

#[test]
fn h264_with_pcmu() {
    check("pcmu", true, 0, Some(Codec::Pcmu));
}

#[test]
fn h264_with_reordered_pictures() {
    check("reordered", true, 3, Some(Codec::Aac));
}

#[test]
fn aac_alone() {
    check("aac-alone", false, 0, Some(Codec::Aac));
}

#[test]
fn pcma_alone() {
    check("pcma-alone", false, 0, Some(Codec::Pcma));
}

/// Reordered pictures are shown at their times: one every 40 ms.
#[test]
fn composition_offsets_give_even_presentation_times() {
    let scratch = Scratch::new("offsets");
    let clip = Clip::make(&scratch, true, 3, None, SoundBegins::Together, 0);
    assert!(clip.fragments[0].parts[0].samples.iter().any(|sample| sample.composition_offset_ticks < 0));
    let path = scratch.path("segment.mp4");
    std::fs::write(&path, write_segment(&clip, &clip.tracks, 0, true).0).unwrap();
    let arguments = ["-v", "warning", "-show_entries", "frame=pts_time", "-of", "csv=p=0", text(&path)];
    let listing = String::from_utf8(run("ffprobe", &arguments)).unwrap();
    // Side data of a frame makes ffprobe end lines early.
    let fields = listing.lines().map(|line| line.trim_end_matches(',')).filter(|field| !field.is_empty());
    let times: Vec<f64> = fields.map(|field| field.parse().unwrap()).collect();
    assert_eq!(times.len(), clip.pictures);
    assert!(times.windows(2).all(|pair| (pair[1] - pair[0] - 0.04).abs() < 0.001), "{times:?}");
}

/// A segment cut in the middle of a run starts at 0 and keeps the distance of sound and video.
#[test]
fn tracks_keep_their_relation() {
    for (name, begins, video_at, sound_at) in [("before", SoundBegins::First, 0.2, 0.0), ("after", SoundBegins::Last, 0.0, 0.2)] {
        let scratch = Scratch::new(name);
        let clip = Clip::make(&scratch, true, 0, Some(Codec::Pcma), begins, 7_200_000);
        for first in [0, 2] {
            let path = scratch.path("segment.mp4");
            std::fs::write(&path, write_segment(&clip, &clip.tracks, first, true).0).unwrap();
            let starts = (start_time(&path, "v:0"), start_time(&path, "a:0"));
            assert!((starts.0 - video_at).abs() < 0.001 && (starts.1 - sound_at).abs() < 0.001, "{name} {first}: {starts:?}");
            assert_ffmpeg_decodes(&path, clip.pictures - first * FRAMES_PER_SECOND);
            assert_gstreamer_decodes(&path, clip.pictures - first * FRAMES_PER_SECOND, 0);
        }
    }
}

/// What a crash leaves is playable up to its last whole fragment, before recovery has touched it and after.
#[test]
fn plays_when_cut_off_behind_any_fragment() {
    let scratch = Scratch::new("cut");
    let clip = Clip::make(&scratch, true, 0, Some(Codec::Aac), SoundBegins::Together, 0);
    let (file, ends) = write_segment(&clip, &clip.tracks, 0, false);
    for (index, end) in ends.iter().enumerate() {
        let mut prefix = file[..*end].to_vec();
        let path = scratch.path("segment.mp4");
        std::fs::write(&path, &prefix).unwrap();
        let pictures = (index + 1) * FRAMES_PER_SECOND;
        assert_ffmpeg_decodes(&path, pictures);
        assert_gstreamer_decodes(&path, pictures, 0);

        let draft = scan(&prefix).draft.unwrap();
        assert_eq!(draft.bytes(), prefix.len() as u64);
        draft.seal(None, &mut prefix);
        assert_eq!(scan(&prefix).problems, Vec::<String>::new());
        std::fs::write(&path, &prefix).unwrap();
        assert_ffmpeg_decodes(&path, pictures);
    }
}

/// Recording does not depend on understanding the SPS: where it cannot be read the header says 0x0, and decoders read it themselves.
#[test]
fn plays_without_a_size_in_the_header() {
    let scratch = Scratch::new("no-size");
    let clip = Clip::make(&scratch, true, 0, None, SoundBegins::Together, 0);
    let (mut file, _) = write_segment(&clip, &clip.tracks, 0, true);
    // Width and height behind the box type: ISO/IEC 14496-12 sections 12.1.3.2 and 8.3.2.2 (version 1).
    for (kind, at, bytes) in [(b"avc1", 28, 4), (b"tkhd", 92, 8)] {
        let size = file.windows(4).position(|window| window == kind).unwrap() + at;
        assert!(file[size..size + bytes].iter().any(|byte| *byte != 0));
        file[size..size + bytes].fill(0);
    }
    let path = scratch.path("segment.mp4");
    std::fs::write(&path, &file).unwrap();
    assert_ffmpeg_decodes(&path, clip.pictures);
    assert_gstreamer_decodes(&path, clip.pictures, 0);

    // An SPS cut off behind the level is of no use to anybody; the stream brings the whole one in band.
    let CodecConfig::H264 { sps, pps } = &clip.tracks[0].config else { panic!("not H.264") };
    let broken = CodecConfig::H264 { sps: vec![sps[0][..4].to_vec()], pps: pps.clone() };
    let tracks = [Track { config: broken, ..clip.tracks[0].clone() }];
    let (file, _) = write_segment(&clip, &tracks, 0, true);
    assert_eq!(scan(&file).head.map(|head| (head.tracks[0].width, head.tracks[0].height)), Some((0, 0)));
    std::fs::write(&path, &file).unwrap();
    assert_gstreamer_decodes(&path, clip.pictures, 0);
}
