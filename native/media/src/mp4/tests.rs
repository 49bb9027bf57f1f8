//! Segments of made-up samples: what goes in comes out, and every way of breaking one is seen for what it is.

use std::sync::Arc;

use proptest::prelude::*;

use super::boxes::{child, children};
use super::*;
use crate::fragment::{Fragment, FragmentTimes, Sample, TrackFragment};
use crate::identity::{ClockTrust, Identity, StreamKind};
use crate::track::{Codec, CodecConfig, Track};

/// High profile, 1920x1080, as x264 writes it.
const SPS: [u8; 26] = *b"\x67\x64\0\x28\xac\xd9\x40\x78\x02\x27\xe5\xc0\x44\0\0\x03\0\x04\0\0\x03\0\xc8\x3c\x60\xc6";
const PPS: [u8; 4] = [0x68, 0xEB, 0xE3, 0xCB];

fn h264() -> Track {
    let config = CodecConfig::H264 { sps: vec![SPS.to_vec()], pps: vec![PPS.to_vec(), PPS.to_vec()] };
    Track { codec: Codec::H264, clock_rate: 90_000, channels: 0, config }
}

fn aac() -> Track {
    Track { codec: Codec::Aac, clock_rate: 48_000, channels: 2, config: CodecConfig::Aac { audio_specific_config: vec![0x11, 0x90] } }
}

fn g711(codec: Codec) -> Track {
    Track { codec, clock_rate: 8000, channels: 1, config: CodecConfig::Pcm }
}

fn identity() -> Identity {
    Identity {
        serial: "EDGE-0001".to_owned(),
        channel: 7,
        stream: StreamKind::Sub,
        run: *b"a run's own name",
        sequence: 41,
        start_mono_ms: 123_456,
        start_utc_ms: -5,
        clock: ClockTrust::Untrusted,
        zone: "Asia/Shanghai".to_owned(),
    }
}

fn sample(size: u32, duration_ticks: u32, random_access: bool) -> Sample {
    Sample { size, duration_ticks, composition_offset_ticks: 0, random_access }
}

fn part(track: usize, start_ticks: i64, samples: Vec<Sample>) -> TrackFragment {
    let bytes: u32 = samples.iter().map(|sample| sample.size).sum();
    let data = (0..bytes).map(|at| (at * 7 + start_ticks as u32) as u8 | 1).collect();
    TrackFragment { track, start_ticks, samples, data }
}

fn fragment(tracks: &Arc<[Track]>, parts: Vec<TrackFragment>, second: i64) -> Fragment {
    let times = FragmentTimes { start_us: second * 1_000_000, duration_us: 1_000_000, start_utc_ms: 1_790_000_000_000 + second * 1000 };
    Fragment::new(second as u64, Arc::clone(tracks), parts, second % 2 == 0, None, times, 0, None)
}

/// Video of three pictures and sound of two frames, for the given second of the run.
fn second(tracks: &Arc<[Track]>, second: i64) -> Fragment {
    let pictures = vec![sample(60, 30_000, second % 2 == 0), sample(11, 30_000, false), sample(5 + second as u32 % 3, 30_000, false)];
    let frames = vec![sample(20, 4000, true); 2];
    fragment(tracks, vec![part(0, second * 90_000, pictures), part(1, second * 8000, frames)], second)
}

struct Written {
    file: Vec<u8>,
    /// Where the header and each fragment end.
    ends: Vec<usize>,
    summary: Option<SealedSummary>,
}

fn append(state: &mut SegmentState, fragment: &Fragment, file: &mut Vec<u8>) {
    let mut headers = vec![0xAA; 3];
    let ranges: Vec<_> = state.append(fragment, &mut headers).unwrap().iter().collect();
    assert_eq!(ranges.len(), fragment.parts.len());
    assert_eq!((ranges[0].start, ranges[ranges.len() - 1].end), (3, headers.len()));
    for (range, part) in ranges.into_iter().zip(&fragment.parts) {
        file.extend_from_slice(&headers[range]);
        file.extend_from_slice(&part.data);
    }
    assert_eq!(state.bytes(), file.len() as u64);
}

fn write(identity: &Identity, seconds: std::ops::Range<i64>, previous: Option<[u8; 32]>, sealed: bool) -> Written {
    let tracks: Arc<[Track]> = Arc::new([h264(), g711(Codec::Pcma)]);
    let mut file = Vec::new();
    let mut state = SegmentState::new(&tracks, identity, &mut file).unwrap();
    let mut ends = vec![file.len()];
    for at in seconds {
        append(&mut state, &second(&tracks, at), &mut file);
        ends.push(file.len());
    }
    let summary = sealed.then(|| state.seal(previous, &mut file));
    Written { file, ends, summary }
}

fn sealed() -> Written {
    write(&identity(), 4..9, Some([9; 32]), true)
}

fn open() -> Written {
    write(&identity(), 4..9, None, false)
}

fn scan_in(file: &[u8], chunk_bytes: usize) -> Scan {
    let mut scanner = SegmentScanner::new();
    file.chunks(chunk_bytes).for_each(|chunk| scanner.push(chunk));
    scanner.finish()
}

fn scan(file: &[u8]) -> Scan {
    scan_in(file, 4096)
}

fn problems(file: &[u8]) -> Vec<String> {
    scan(file).problems
}

/// The bodies of all boxes on a path, outermost first.
fn bodies<'a>(file: &'a [u8], path: &[[u8; 4]]) -> Vec<&'a [u8]> {
    path.iter().fold(vec![file], |found, kind| {
        found
            .into_iter()
            .flat_map(|body| children(body).filter(|(name, _)| name == kind).map(|(_, body)| body).collect::<Vec<_>>())
            .collect()
    })
}

/// Length of each pair of a fragment that has one for each of the first tracks.
fn pair_bytes(fragment: &[u8]) -> [u32; MAX_TRACKS] {
    let boxes: Vec<_> = children(fragment).map(|(_, body)| body.len() as u32 + 8).collect();
    std::array::from_fn(|pair| boxes.iter().skip(2 * pair).take(2).sum())
}

/// `tfdt` of every pair, with its track.
fn decode_times(file: &[u8]) -> Vec<(u32, u64)> {
    let word = |body: &[u8], at: usize| u32::from_be_bytes(body[at..at + 4].try_into().unwrap());
    let times = |traf: &[u8]| {
        let tfdt = child(traf, *b"tfdt").unwrap();
        (word(child(traf, *b"tfhd").unwrap(), 4), u64::from_be_bytes(tfdt[4..12].try_into().unwrap()))
    };
    bodies(file, &[*b"moof", *b"traf"]).into_iter().map(times).collect()
}

#[test]
fn head_round_trips() {
    let tracks = [vec![h264(), aac()], vec![h264(), g711(Codec::Pcmu)], vec![h264()], vec![aac()], vec![g711(Codec::Pcma)]];
    for tracks in tracks {
        let mut header = vec![];
        write_init(&tracks, &identity(), &mut header).unwrap();
        let mut needed = 0;
        let head = loop {
            match read_head(&header[..needed]).unwrap() {
                HeadRead::NeedMore(more) => {
                    assert!(more > needed && more <= header.len());
                    needed = more;
                }
                HeadRead::Whole(head) => break head,
            }
        };
        assert_eq!(head.identity, identity());
        assert_eq!(head.bytes, header.len());
        assert!(head.tracks.iter().map(|track| &track.track).eq(&tracks));
        let size = if tracks[0].codec.is_video() { (1920, 1080) } else { (0, 0) };
        assert_eq!((head.tracks[0].width, head.tracks[0].height), size);
    }
}

#[test]
fn head_keeps_a_trusted_clock_and_full_names() {
    let full =
        Identity { serial: "s".repeat(64), zone: "z".repeat(64), clock: ClockTrust::Trusted, stream: StreamKind::Main, ..identity() };
    let mut header = vec![];
    write_init(&[h264()], &full, &mut header).unwrap();
    let HeadRead::Whole(head) = read_head(&header).unwrap() else { panic!("not whole") };
    assert_eq!(head.identity, full);
}

#[test]
fn head_refuses_what_cannot_be_stored() {
    let refused = |tracks: &[Track], identity: &Identity| {
        let mut out = vec![1];
        let error = write_init(tracks, identity, &mut out).unwrap_err().to_string();
        assert_eq!(out, [1]);
        error
    };
    let config = |sps: Vec<Vec<u8>>, pps: Vec<Vec<u8>>| Track { config: CodecConfig::H264 { sps, pps }, ..h264() };
    assert_eq!(refused(&[], &identity()), "0 tracks where 1 to 8 can be stored");
    assert_eq!(refused(&vec![aac(); 9], &identity()), "9 tracks where 1 to 8 can be stored");
    assert_eq!(refused(&[aac(), h264()], &identity()), "track 1 (h264): video is stored as the first track only");
    assert_eq!(refused(&[Track { clock_rate: 0, ..aac() }], &identity()), "track 0 (aac): clock rate is 0");
    assert_eq!(refused(&[config(vec![], vec![PPS.to_vec()])], &identity()), "track 0 (h264): a parameter set is missing");
    assert_eq!(refused(&[Track { codec: Codec::Aac, ..h264() }], &identity()), "track 0 (aac): the configuration is of another codec");
    let long = Identity { zone: "z".repeat(65), ..identity() };
    assert_eq!(refused(&[aac()], &long), "identity: zone is 65 bytes long, at most 64 can be stored");
    let huge = config(vec![SPS.to_vec()], vec![vec![0x68; 65_535]; 5]);
    assert!(refused(&[huge], &identity()).ends_with("is over 262144"));
}

#[test]
fn any_harm_to_a_header_is_seen() {
    let mut header = vec![];
    write_init(&[h264(), aac()], &identity(), &mut header).unwrap();
    for at in 0..header.len() {
        let mut harmed = header.clone();
        harmed[at] ^= 0x10;
        assert!(!matches!(read_head(&harmed), Ok(HeadRead::Whole(_))), "byte {at}");
    }
    assert!(matches!(read_head(b"RIFF____WAVEfmt "), Err(Mp4Error::Foreign { .. })));
}

#[test]
fn whole_segment_scans_clean_in_any_chunks() {
    let Written { file, ends, summary } = sealed();
    let summary = summary.unwrap();
    for chunk_bytes in [1, 7, 8, 24, 1000, file.len()] {
        let scan = scan_in(&file, chunk_bytes);
        assert_eq!(scan.problems, Vec::<String>::new());
        assert_eq!(scan.head.unwrap().identity, identity());
        assert_eq!((scan.bytes, scan.whole_bytes, scan.duration_us), (file.len() as u64, ends[5] as u64, 5_000_000));
        assert!(scan.draft.is_none());
        let seal = scan.seal.unwrap();
        assert_eq!(seal.fragments, scan.fragments);
        assert_eq!(seal.samples, [15, 10]);
        assert_eq!(seal.previous_blake3, Some([9; 32]));
        assert_eq!(seal.blake3, *blake3::hash(&file[..ends[5]]).as_bytes());
        assert_eq!(seal.crc64, crc::crc64(&file[..ends[5]]));
        assert_eq!(seal.file_crc64, crc::crc64(&file));
        let told = (summary.crc64, summary.blake3, summary.file_crc64, summary.bytes, summary.duration_us, summary.fragments);
        assert_eq!(told, (seal.crc64, seal.blake3, seal.file_crc64, file.len() as u64, 5_000_000, 5));
        let entry = |at: usize| FragmentEntry {
            offset: ends[at] as u64,
            bytes: (ends[at + 1] - ends[at]) as u32,
            pair_bytes: pair_bytes(&file[ends[at]..ends[at + 1]]),
            start_utc_ms: 1_790_000_004_000 + at as i64 * 1000,
            duration_us: 1_000_000,
            random_access: at.is_multiple_of(2),
        };
        assert_eq!(seal.fragments, (0..5).map(entry).collect::<Vec<_>>());
    }
}

/// The format is final. If this fails, stored files are no longer what the README says: make a new version instead.
#[test]
fn bytes_are_what_they_always_were() {
    let Written { file, ends, .. } = sealed();
    let hash = blake3::hash(&file).to_hex();
    assert_eq!((file.len(), ends[0], &hash[..16]), (3981, 1247, "efb4f4c449da7b17"));
}

#[test]
fn payload_is_not_held() {
    let tracks: Arc<[Track]> = Arc::new([h264()]);
    let mut file = Vec::new();
    let mut state = SegmentState::new(&tracks, &identity(), &mut file).unwrap();
    append(&mut state, &fragment(&tracks, vec![part(0, 0, vec![sample(3_000_000, 90_000, true)])], 0), &mut file);
    let mut scanner = SegmentScanner::new();
    scanner.push(&file);
    assert!(format!("{scanner:?}").len() < 20_000);
    assert_eq!(scanner.finish().whole_bytes, file.len() as u64);
}

#[test]
fn seal_is_read_off_the_end() {
    let Written { file, ends, .. } = sealed();
    let file_bytes = file.len() as u64;
    let seal_bytes = file.len() - ends[5];
    assert_eq!(read_seal(&[], 0), Ok(SealRead::Absent));
    assert_eq!(read_seal(&file[file.len() - 8..], file_bytes), Ok(SealRead::NeedMore(seal_bytes)));
    assert_eq!(read_seal(&file[ends[5] + 1..], file_bytes), Ok(SealRead::NeedMore(seal_bytes)));
    let Ok(SealRead::Whole(seal)) = read_seal(&file[ends[5]..], file_bytes) else { panic!("not whole") };
    assert_eq!(read_seal(&file, file_bytes), Ok(SealRead::Whole(seal.clone())));
    assert_eq!((seal.offset, seal.file_bytes), (ends[5] as u64, file_bytes));
    assert_eq!(read_seal(&file[..ends[5]], ends[5] as u64), Ok(SealRead::Absent));
    assert!(matches!(read_seal(&file, file_bytes + 1), Err(Mp4Error::Damaged { .. })), "a seal in another place is not this file's");
    for at in ends[5]..file.len() {
        let mut harmed = file.clone();
        harmed[at] ^= 4;
        assert!(!matches!(read_seal(&harmed, file_bytes), Ok(SealRead::Whole(_))), "byte {at}");
    }
}

#[test]
fn torn_at_every_byte() {
    let Written { file, ends, .. } = open();
    let before: Vec<_> = scan(&file[..ends[4]]).fragments;
    for end in ends[4] + 1..ends[5] {
        let scan = scan(&file[..end]);
        assert_eq!((scan.whole_bytes, &scan.fragments), (ends[4] as u64, &before), "cut at {end}");
        assert!(!scan.problems.is_empty() && scan.seal.is_none());
        let mut recovered = file[..ends[4]].to_vec();
        scan.draft.unwrap().seal(None, &mut recovered);
        assert_eq!(problems(&recovered), Vec::<String>::new());
    }
    for end in ends[0] + 1..=ends[5] {
        let scan = scan(&file[..end]);
        let whole = ends.iter().rposition(|fragment_end| *fragment_end <= end).unwrap();
        let expected = if whole == 0 { 0 } else { ends[whole] as u64 };
        assert_eq!((scan.whole_bytes, scan.fragments.len()), (expected, whole));
        assert_eq!(scan.problems.is_empty(), ends.contains(&end), "cut at {end}: {:?}", scan.problems);
    }
    for end in 0..ends[0] {
        let scan = scan(&file[..end]);
        assert!(scan.head.is_none() && scan.draft.is_none());
        assert_eq!(scan.problems, [format!("offset 0: file ends after {end} bytes, within its header")]);
    }
}

#[test]
fn header_alone_has_nothing_to_save() {
    let Written { file, ends, .. } = open();
    let scan = scan(&file[..ends[0]]);
    assert!(scan.head.is_some() && scan.draft.is_none() && scan.problems.is_empty());
    assert_eq!(scan.whole_bytes, 0);
}

#[test]
fn zeros_from_every_byte() {
    let Written { file, ends, .. } = open();
    for start in ends[4]..ends[5] {
        for extra in [0, 5000] {
            let mut zeroed = file[..start].to_vec();
            zeroed.resize(ends[5] + extra, 0);
            // The payload's bytes are never 0, so the last fragment is always harmed.
            let scan = scan(&zeroed);
            assert_eq!((scan.whole_bytes, scan.fragments.len()), (ends[4] as u64, 4), "zeros from {start}");
            assert!(!scan.problems.is_empty());
            let mut recovered = zeroed[..ends[4]].to_vec();
            scan.draft.unwrap().seal(None, &mut recovered);
            assert_eq!(problems(&recovered), Vec::<String>::new());
        }
    }
    let mut zeroed = file.clone();
    zeroed.resize(file.len() + 4096, 0);
    let scan = scan(&zeroed);
    assert_eq!(scan.problems, [format!("offset {}: zeros to the end, 4096 bytes", file.len())]);
    assert_eq!(scan.whole_bytes, file.len() as u64);
}

#[test]
fn seal_torn_at_every_byte() {
    let Written { file, ends, .. } = sealed();
    for end in ends[5] + 1..file.len() {
        let scan = scan(&file[..end]);
        assert!(scan.seal.is_none());
        assert_eq!(scan.problems.len(), 1, "{:?}", scan.problems);
        assert_eq!(scan.whole_bytes, ends[5] as u64);
        let mut recovered = file[..ends[5]].to_vec();
        scan.draft.unwrap().seal(Some([9; 32]), &mut recovered);
        assert_eq!(recovered, file, "the seal does not depend on who writes it");
    }
}

#[test]
fn any_flipped_byte_is_seen() {
    for Written { file, ends, .. } in [sealed(), open()] {
        for at in 0..file.len() {
            let mut harmed = file.clone();
            harmed[at] ^= 0x41;
            let scan = scan(&harmed);
            assert!(!scan.problems.is_empty(), "byte {at}");
            let first = scan.problems[0].split(' ').nth(1).unwrap().trim_end_matches(':').parse::<usize>().unwrap();
            assert!(first <= at, "{:?} for byte {at}", scan.problems);
            // No earlier fragment is lost, and none later unless the boxes cannot be followed over the spot.
            if at >= ends[0] && at < ends[5] {
                let hit = ends.iter().rposition(|end| *end <= at).unwrap();
                assert!(scan.whole_bytes >= ends[hit.max(1)] as u64 || hit == 0);
                let inside_samples = scan.problems[0].contains("samples of track");
                if inside_samples && hit < 4 {
                    assert_eq!((scan.whole_bytes, scan.fragments.len()), (ends[5] as u64, 5));
                }
            }
        }
    }
}

#[test]
fn harm_in_the_middle_costs_no_later_fragment() {
    let Written { file, ends, .. } = open();
    let mut harmed = file.clone();
    harmed[ends[2] - 1] ^= 1;
    let found = scan(&harmed);
    assert_eq!(found.problems.len(), 1);
    assert!(found.problems[0].contains("samples of track 1 in fragment 1 do not match their checksum"), "{:?}", found.problems);
    assert_eq!((found.whole_bytes, found.fragments.len()), (ends[5] as u64, 5));

    let mut harmed = file.clone();
    harmed[ends[1] + 20] ^= 1;
    let found = scan(&harmed);
    assert_eq!(found.problems[0], format!("offset {}: moof does not match its checksum", ends[1]));
    assert_eq!((found.whole_bytes, found.fragments.len()), (ends[5] as u64, 4));
    let mut recovered = harmed;
    found.draft.unwrap().seal(None, &mut recovered);
    assert_eq!(scan(&recovered).seal.unwrap().fragments.len(), 4);
    assert_eq!(problems(&recovered), found.problems, "a seal over harm changes nothing about it");
}

#[test]
fn harmed_header_still_lets_fragments_be_checked() {
    let Written { mut file, ends, .. } = open();
    let at = file.windows(4).position(|window| window == b"avcC").unwrap() + 8;
    file[at] ^= 1;
    let found = scan(&file);
    assert!(found.head.is_none() && found.draft.is_none());
    assert_eq!(found.whole_bytes, 0);
    assert_eq!(found.problems, ["offset 0: header does not match its checksum"]);
    file[ends[3] - 1] ^= 1;
    assert_eq!(scan(&file).problems.len(), 2);
}

#[test]
fn bytes_behind_the_seal_are_told() {
    let Written { mut file, .. } = sealed();
    let end = file.len();
    file.extend_from_slice(b"rubbish");
    let scan = scan(&file);
    assert_eq!(scan.problems, [format!("offset {end}: 7 bytes behind the seal")]);
    assert!(scan.seal.is_some() && scan.draft.is_none());
}

#[test]
fn sealed_file_that_cannot_be_followed_is_not_taken_for_unsealed() {
    let Written { mut file, ends, .. } = sealed();
    file[ends[2] + 4..ends[2] + 8].copy_from_slice(b"free");
    let scan = scan(&file);
    assert!(scan.seal.is_some() && scan.draft.is_none());
    let rest = file.len() - ends[2];
    assert_eq!(scan.problems, [format!("offset {}: box 'free' does not belong here; {rest} bytes to the end are not checked", ends[2])]);
}

#[test]
fn absurd_sizes_lose_nothing_before_them() {
    let Written { file, ends, .. } = open();
    for size in [0, 1, 7, 8, 99, MAX_MOOF_BYTES as u32, u32::MAX] {
        for at in [ends[4], file.len()] {
            let mut harmed = file.clone();
            harmed.truncate(at);
            harmed.extend_from_slice(&size.to_be_bytes());
            for kind in [b"moof", b"mdat", b"uuid", b"\xff\0\x01\x02"] {
                let mut harmed = harmed.clone();
                harmed.extend_from_slice(kind);
                harmed.extend_from_slice(&[1; 3000]);
                let scan = scan(&harmed);
                assert_eq!(scan.whole_bytes, at as u64);
                assert!(scan.problems[0].starts_with(&format!("offset {at}: ")), "{:?}", scan.problems);
                assert!(scan.draft.is_some());
            }
        }
    }
}

#[test]
fn fragments_of_another_segment_are_refused() {
    let Written { file, ends, .. } = open();
    let other = write(&Identity { sequence: 42, ..identity() }, 4..9, None, false);
    let mixed = [&file[..ends[4]], &other.file[ends[4]..]].concat();
    let scan = scan(&mixed);
    assert_eq!(scan.whole_bytes, ends[4] as u64);
    assert_eq!(scan.problems[0], format!("offset {}: moof does not match its checksum", ends[4]));
}

#[test]
fn missing_and_repeated_pieces_are_told() {
    let Written { file, ends, .. } = open();
    let without = [&file[..ends[2]], &file[ends[3]..]].concat();
    let found = scan(&without);
    assert!(found.problems.iter().any(|problem| problem.ends_with("fragment 3 follows, expected is 2")), "{:?}", found.problems);
    assert_eq!((found.whole_bytes, found.fragments.len()), (without.len() as u64, 4));

    let twice = [&file[..ends[3]], &file[ends[2]..]].concat();
    let found = scan(&twice);
    assert!(found.problems.iter().any(|problem| problem.ends_with("pair 1 of 2 of fragment 2 has no place here")), "{:?}", found.problems);

    let pair_bytes = bodies(&file[ends[2]..], &[*b"moof"])[0].len() + 8 + bodies(&file[ends[2]..], &[*b"mdat"])[0].len() + 8;
    let second_pair = ends[2] + pair_bytes;
    let without_sound = [&file[..second_pair], &file[ends[3]..]].concat();
    let found = scan(&without_sound);
    assert!(found.problems.iter().any(|problem| problem.ends_with("fragment 2 breaks off in pair 1 of 2")), "{:?}", found.problems);
    assert_eq!(found.fragments.len(), 4);
    let without_video = [&file[..ends[2]], &file[second_pair..]].concat();
    let found = scan(&without_video);
    assert!(found.problems.iter().any(|problem| problem.ends_with("pair 2 of 2 of fragment 2 has no place here")), "{:?}", found.problems);
}

#[test]
fn seal_of_another_file_is_told() {
    let one = sealed();
    let other = write(&Identity { sequence: 42, ..identity() }, 4..9, Some([9; 32]), true);
    let mixed = [&one.file[..one.ends[5]], &other.file[other.ends[5]..]].concat();
    let scan = scan(&mixed);
    assert_eq!(scan.problems.len(), 2, "{:?}", scan.problems);
    assert!(scan.problems[0].contains("CRC-64") && scan.problems[1].contains("BLAKE3"));
}

#[test]
fn problems_are_bounded() {
    let Written { mut file, ends, .. } = write(&identity(), 0..200, None, false);
    for end in &ends[1..] {
        file[end - 1] ^= 1;
    }
    let problems = problems(&file);
    assert_eq!(problems.len(), 65);
    assert_eq!(problems[64], "and 136 more");
}

#[test]
fn origin_is_the_earliest_part() {
    let tracks: Arc<[Track]> = Arc::new([h264(), g711(Codec::Pcma)]);
    let pictures = || vec![sample(10, 45_000, true); 2];
    let frames = || vec![sample(10, 4000, true); 2];
    // An hour into the run; sound first by 0.5 s, then video first by 0.25 s plus a tick that the sound's clock cannot express.
    for (video_ticks, sound_ticks, expected) in
        [(90_000 * 3600 + 45_000, 8000 * 3600, [45_000, 0]), (90_000 * 3600 + 1, 8000 * 3600 + 2000, [0, 2000])]
    {
        let mut file = Vec::new();
        let mut state = SegmentState::new(&tracks, &identity(), &mut file).unwrap();
        for at in [0, 1] {
            let parts = vec![part(0, video_ticks + at * 90_000, pictures()), part(1, sound_ticks + at * 8000, frames())];
            append(&mut state, &fragment(&tracks, parts, at), &mut file);
        }
        let [video, sound] = expected;
        assert_eq!(decode_times(&file), [(1, video), (2, sound), (1, video + 90_000), (2, sound + 8000)]);
        assert_eq!(problems(&file), Vec::<String>::new());
    }
}

#[test]
fn early_part_is_shortened_not_shifted() {
    let tracks: Arc<[Track]> = Arc::new([h264(), g711(Codec::Pcma)]);
    let mut file = Vec::new();
    let mut state = SegmentState::new(&tracks, &identity(), &mut file).unwrap();
    let picture = || vec![sample(10, 90_000, true)];
    append(&mut state, &fragment(&tracks, vec![part(0, 900_000, picture())], 0), &mut file);
    // The sound of the second fragment begins 0.1 s before the first picture of the segment: 800 ticks, five frames of 160.
    append(
        &mut state,
        &fragment(&tracks, vec![part(0, 990_000, picture()), part(1, 80_000 - 800, vec![sample(1, 160, true); 50])], 1),
        &mut file,
    );
    append(
        &mut state,
        &fragment(&tracks, vec![part(0, 1_080_000, picture()), part(1, 80_000 - 800 + 8000, vec![sample(1, 160, true)])], 2),
        &mut file,
    );
    assert_eq!(decode_times(&file), [(1, 0), (1, 90_000), (2, 0), (1, 180_000), (2, 7200)]);
    assert_eq!(problems(&file), Vec::<String>::new());

    // A part far too early cannot be shortened enough: it waits for the end of the one before, and nothing runs back.
    append(&mut state, &fragment(&tracks, vec![part(1, i64::MIN, vec![sample(1, 160, true)])], 3), &mut file);
    append(&mut state, &fragment(&tracks, vec![part(1, i64::MAX, vec![sample(1, u32::MAX, true)])], 4), &mut file);
    assert_eq!(problems(&file), Vec::<String>::new());
}

#[test]
fn refused_fragments_change_nothing() {
    let tracks: Arc<[Track]> = Arc::new([h264(), g711(Codec::Pcma)]);
    let mut file = Vec::new();
    let mut state = SegmentState::new(&tracks, &identity(), &mut file).unwrap();
    let picture = || vec![sample(10, 90_000, true)];
    let mut wrong_size = part(0, 0, picture());
    wrong_size.data.push(0);
    let refused = [
        (vec![], 0),
        (vec![part(2, 0, picture())], 0),
        (vec![part(1, 0, picture()), part(0, 0, picture())], 0),
        (vec![part(0, 0, picture()), part(0, 0, picture())], 0),
        (vec![part(0, 0, vec![])], 0),
        (vec![part(0, 0, vec![sample(0, 1, true); MAX_MOOF_BYTES / 16])], 0),
        (vec![wrong_size], 0),
        (vec![part(0, 0, picture())], 1),
    ];
    for (parts, at) in refused {
        let mut headers = Vec::new();
        assert!(matches!(state.append(&fragment(&tracks, parts, at), &mut headers), Err(Mp4Error::Fragment { .. })));
        assert!(headers.is_empty());
        assert_eq!((state.bytes(), state.fragments()), (file.len() as u64, 0));
    }
    append(&mut state, &second(&tracks, 0), &mut file);
    assert_eq!(problems(&file), Vec::<String>::new());
}

#[test]
fn what_samples_share_is_written_once() {
    let moof_bytes = |samples: Vec<Sample>| {
        let tracks: Arc<[Track]> = Arc::new([h264()]);
        let mut file = Vec::new();
        let mut state = SegmentState::new(&tracks, &identity(), &mut file).unwrap();
        append(&mut state, &fragment(&tracks, vec![part(0, 0, samples)], 0), &mut file);
        assert_eq!(problems(&file), Vec::<String>::new());
        bodies(&file, &[*b"moof"])[0].len()
    };
    let fixed = moof_bytes(vec![sample(160, 160, true); 50]);
    assert_eq!(moof_bytes(vec![sample(160, 160, true); 1]), fixed);
    let group = |change: &dyn Fn(usize, &mut Sample)| {
        let mut samples: Vec<_> = (0..50).map(|at| sample(160, 160, at == 0)).collect();
        samples.iter_mut().enumerate().for_each(|(at, sample)| change(at, sample));
        moof_bytes(samples)
    };
    assert_eq!(group(&|_, _| ()), fixed + 4, "the first sample's flags");
    assert_eq!(group(&|at, sample| sample.size += at as u32), fixed - 4 + 4 + 50 * 4, "sizes");
    assert_eq!(group(&|at, sample| sample.duration_ticks += at as u32), fixed - 4 + 4 + 50 * 4, "durations");
    assert_eq!(group(&|at, sample| sample.random_access = at % 2 == 0), fixed - 4 + 50 * 4, "flags");
    assert_eq!(group(&|at, sample| sample.composition_offset_ticks = at as i32 - 3), fixed + 4 + 50 * 4, "composition offsets");
}

#[test]
fn live_fragments_follow_the_run() {
    let tracks: Arc<[Track]> = Arc::new([h264(), g711(Codec::Pcma)]);
    let mut out = Vec::new();
    write_live(&second(&tracks, 7), &mut out).unwrap();
    write_live(&second(&tracks, 8), &mut out).unwrap();
    assert_eq!(decode_times(&out), [(1, 630_000), (2, 56_000), (1, 720_000), (2, 64_000)]);
    assert!(bodies(&out, &[*b"moof", *b"uuid"]).is_empty());
    let sequences: Vec<_> = bodies(&out, &[*b"moof", *b"mfhd"]).into_iter().map(|mfhd| mfhd[4..].to_vec()).collect();
    assert!(sequences.is_sorted());
    assert!(write_live(&fragment(&tracks, vec![], 0), &mut out).is_err());
}

fn any_harm() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6)
}

proptest! {
    #[test]
    fn nothing_panics_on_noise(bytes in proptest::collection::vec(any::<u8>(), 0..2000), chunk_bytes in 1..300_usize) {
        let _ = read_head(&bytes);
        let _ = read_seal(&bytes, bytes.len() as u64);
        let scan = scan_in(&bytes, chunk_bytes);
        prop_assert!(scan.head.is_none() && scan.draft.is_none() && !scan.problems.is_empty());
    }

    #[test]
    fn nothing_panics_on_a_mutated_segment(
        is_sealed in any::<bool>(),
        harm in any_harm(),
        cut in any::<prop::sample::Index>(),
        paste in any::<prop::sample::Index>(),
        moved in any::<bool>(),
        chunk_bytes in 1..3000_usize,
    ) {
        let original = if is_sealed { sealed() } else { open() }.file;
        let mut file = original.clone();
        for (at, byte) in harm {
            let at = at.index(file.len());
            file[at] = byte;
        }
        if moved {
            let piece = file.split_off(cut.index(file.len()));
            let at = paste.index(file.len() + 1);
            file.splice(at..at, piece);
        }
        let found = scan_in(&file, chunk_bytes);
        prop_assert_eq!(found.problems.is_empty(), file == original);
        prop_assert!(found.whole_bytes <= file.len() as u64);
        prop_assert_eq!(&found.problems, &scan_in(&file, 1).problems, "what is found does not depend on the chunks");
        if let Some(draft) = found.draft {
            let mut recovered = file[..found.whole_bytes as usize].to_vec();
            draft.seal(None, &mut recovered);
            let again = scan(&recovered);
            prop_assert!(again.seal.is_some());
            prop_assert_eq!(again.fragments, found.fragments);
        }
        let _ = read_head(&file);
        let _ = read_seal(&file, file.len() as u64);
    }

    /// Fields that a checksum vouches for may still be absurd: a header and fragments of someone who knows the format.
    #[test]
    fn nothing_panics_on_absurd_fields_with_right_checksums(
        sample_fields in proptest::collection::vec((0..100_u32, any::<u32>(), any::<i32>(), any::<bool>()), 1..20),
        start in any::<i64>(),
        duration_us in any::<i64>(),
        start_utc_ms in any::<i64>(),
    ) {
        let tracks: Arc<[Track]> = Arc::new([h264()]);
        let mut file = Vec::new();
        let mut state = SegmentState::new(&tracks, &Identity { start_utc_ms, clock: ClockTrust::Trusted, ..identity() }, &mut file).unwrap();
        let samples: Vec<_> = sample_fields.into_iter().map(|(size, duration_ticks, composition_offset_ticks, random_access)| Sample { size, duration_ticks, composition_offset_ticks, random_access }).collect();
        for at in 0..3_i64 {
            let parts = vec![part(0, start.wrapping_mul(at + 1), samples.clone())];
            let times = FragmentTimes { start_us: 0, duration_us, start_utc_ms };
            append(&mut state, &Fragment::new(0, Arc::clone(&tracks), parts, true, None, times, 0, None), &mut file);
        }
        state.seal(None, &mut file);
        prop_assert_eq!(problems(&file), Vec::<String>::new());
    }
}
