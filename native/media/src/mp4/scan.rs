//! The reader's side: a segment pushed through once, in chunks of any size, and all that is wrong with it.

use super::boxes::{BOX_HEADER_BYTES, Reader, UUID_HEADER_BYTES};
use super::crc::{Crc64, FileHashes};
use super::fragment::{self, MIN_MOOF_BYTES, Mark, Moof, mdat_bytes};
use super::head::{self, Head, HeadRead, read_head};
use super::seal::{self, FragmentEntry, MAX_SEAL_BYTES, SEAL_UUID, Seal, SealDraft, SealRead, read_seal};
use super::{MAX_FRAGMENTS, MAX_MOOF_BYTES, MAX_TRACKS, Mp4Error};

/// Problems told one by one; the rest is counted.
const MAX_PROBLEMS: usize = 64;
/// What is kept of the end of a file whose boxes cannot be followed any more, to find its seal in: enough for 1700 fragments of two tracks.
const LOST_TAIL_BYTES: usize = 1 << 16;

/// Result of a scan.
#[derive(Debug, Clone)]
pub struct Scan {
    /// `None` when not even the header is whole.
    pub head: Option<Head>,
    /// Fragments that were found up to `whole_bytes`, in order (up to the seal, if there is one). One whose samples fail their checksum
    /// stands here if a later one is whole: cutting it off would cost the good ones behind it.
    pub fragments: Vec<FragmentEntry>,
    /// End of the last whole fragment: all its pairs are there and match their checksums. 0 when there is none, or no header.
    pub whole_bytes: u64,
    /// Sum over `fragments`.
    pub duration_us: u64,
    /// Present if a seal that matches its own checksum is there; what of it contradicts the file is among the problems.
    pub seal: Option<Seal>,
    /// All that was pushed.
    pub bytes: u64,
    /// Everything wrong, each as `offset N: what`; at most 64, and then how many more.
    pub problems: Vec<String>,
    /// For a file without a seal that has a header and a whole fragment: the seal to be written at `whole_bytes`, what is behind it cut off.
    pub draft: Option<SealDraft>,
}

/// Push parser over a whole segment file. Holds at most a `moof`, the fragment table and the seal, never samples.
#[derive(Debug)]
pub struct SegmentScanner {
    state: State,
    /// Bytes of the box being collected; in [`State::Lost`] the end of the file so far.
    buffer: Vec<u8>,
    /// Bytes pushed.
    bytes: u64,
    /// Hashes, table and counts of all complete boxes so far.
    found: SealDraft,
    head: Option<Head>,
    init_crc64: u64,
    /// Decode time at which the next part of each track begins, at least.
    next_ticks: [u64; MAX_TRACKS],
    /// Unknown after damage.
    next_sequence: Option<u32>,
    next_fragment: u32,
    open: Option<OpenFragment>,
    whole: Option<Whole>,
    seal: Option<Seal>,
    problems: Problems,
}

/// What the next bytes are.
#[derive(Debug)]
enum State {
    /// `ftyp moov`, so many bytes of it as known so far.
    Head {
        need: usize,
    },
    /// The header of a box. Behind a damaged `moof` an `mdat` is stepped over.
    Box {
        orphan: bool,
    },
    /// The header of a `uuid` box.
    Uuid,
    Moof {
        need: usize,
    },
    /// The header of the `mdat` that this `moof` describes.
    Mdat(Moof),
    Payload(Payload),
    Seal {
        need: usize,
    },
    BehindSeal,
    /// No box can be found any more.
    Lost {
        offset: u64,
        what: String,
        zeros: bool,
    },
}

/// Samples passing by.
#[derive(Debug)]
struct Payload {
    /// `None` behind a damaged `moof`.
    moof: Option<Moof>,
    bytes: u64,
    left: u64,
    digest: Crc64,
}

/// A fragment of which at least one `moof` has been seen.
#[derive(Debug)]
struct OpenFragment {
    offset: u64,
    mark: Mark,
    /// Pairs whose `moof` has been seen.
    pairs: u8,
    last_track: usize,
    /// Of the pair in progress.
    pair_offset: u64,
    samples: [u64; MAX_TRACKS],
    pair_bytes: [u32; MAX_TRACKS],
    valid: bool,
}

/// Where the last whole fragment ended. The table up to there is a prefix of the one found.
#[derive(Debug)]
struct Whole {
    hashes: FileHashes,
    fragments: usize,
    samples: Vec<u64>,
    duration_us: u64,
}

#[derive(Debug, Default)]
struct Problems {
    told: Vec<String>,
    untold: usize,
}

impl Problems {
    fn add(&mut self, offset: u64, what: &str) {
        if self.told.len() < MAX_PROBLEMS {
            self.told.push(format!("offset {offset}: {what}"));
        } else {
            self.untold += 1;
        }
    }

    fn into_lines(mut self) -> Vec<String> {
        if self.untold > 0 {
            self.told.push(format!("and {} more", self.untold));
        }
        self.told
    }
}

impl Default for SegmentScanner {
    fn default() -> Self {
        Self::new()
    }
}

impl SegmentScanner {
    pub fn new() -> Self {
        Self {
            state: State::Head { need: BOX_HEADER_BYTES },
            buffer: Vec::new(),
            bytes: 0,
            found: SealDraft::new(FileHashes::new(), 0),
            head: None,
            init_crc64: 0,
            next_ticks: [0; MAX_TRACKS],
            next_sequence: Some(1),
            next_fragment: 0,
            open: None,
            whole: None,
            seal: None,
            problems: Problems::default(),
        }
    }

    /// The next bytes of the file.
    pub fn push(&mut self, mut chunk: &[u8]) {
        while !chunk.is_empty() {
            let taken = match &mut self.state {
                State::Head { need } | State::Moof { need } | State::Seal { need } => {
                    let need = *need;
                    self.collect(chunk, need)
                }
                State::Box { .. } | State::Mdat(_) => self.collect(chunk, BOX_HEADER_BYTES),
                State::Uuid => self.collect(chunk, UUID_HEADER_BYTES),
                State::Payload(payload) => {
                    let piece = chunk.get(..payload.left.min(chunk.len() as u64) as usize).unwrap_or(chunk);
                    payload.digest.write(piece);
                    payload.left -= piece.len() as u64;
                    self.found.hashes.update_blake3(piece);
                    self.bytes += piece.len() as u64;
                    self.end_payload();
                    piece.len()
                }
                State::BehindSeal => {
                    self.bytes += chunk.len() as u64;
                    chunk.len()
                }
                State::Lost { zeros, .. } => {
                    *zeros &= chunk.iter().all(|byte| *byte == 0);
                    self.bytes += chunk.len() as u64;
                    self.keep_tail(chunk);
                    chunk.len()
                }
            };
            chunk = chunk.get(taken..).unwrap_or_default();
        }
    }

    /// Moves bytes to the buffer until it holds `need`, then goes on by what they are. Gives the number of bytes taken.
    fn collect(&mut self, chunk: &[u8], need: usize) -> usize {
        let piece = chunk.get(..need.saturating_sub(self.buffer.len())).unwrap_or(chunk);
        self.buffer.extend_from_slice(piece);
        self.bytes += piece.len() as u64;
        if self.buffer.len() >= need {
            match std::mem::replace(&mut self.state, State::BehindSeal) {
                State::Head { .. } => self.end_head(),
                State::Box { orphan } => self.begin_box(orphan),
                State::Uuid => self.begin_uuid(),
                State::Moof { .. } => self.end_moof(),
                State::Mdat(moof) => self.begin_mdat(moof),
                State::Seal { .. } => self.end_seal(),
                other @ (State::Payload(_) | State::BehindSeal | State::Lost { .. }) => self.state = other,
            }
        }
        piece.len()
    }

    /// Where the collected box begins.
    fn box_offset(&self) -> u64 {
        self.bytes - self.buffer.len() as u64
    }

    /// The collected bytes are right where they are: hash them and expect `next`.
    fn accept(&mut self, next: State) {
        self.found.hashes.update(&self.buffer);
        self.buffer.clear();
        self.state = next;
    }

    fn end_head(&mut self) {
        match read_head(&self.buffer) {
            Ok(HeadRead::NeedMore(need)) => self.state = State::Head { need },
            Ok(HeadRead::Whole(head)) => {
                self.init_crc64 = head.crc64;
                self.found.samples = vec![0; head.tracks.len()];
                self.head = Some(head);
                self.accept(State::Box { orphan: false });
            }
            Err(error @ Mp4Error::Damaged { .. }) => {
                // The boxes can still be followed; fragments are held to the checksum the header once had.
                self.problems.add(0, &reason(&error));
                self.init_crc64 = head::stored_crc64(&self.buffer);
                self.accept(State::Box { orphan: false });
            }
            Err(error) => self.lose(reason(&error)),
        }
    }

    fn begin_box(&mut self, orphan: bool) {
        let mut reader = Reader::new(&self.buffer);
        let (size, kind) = (reader.u32().unwrap_or_default(), reader.array::<4>().unwrap_or_default());
        match &kind {
            b"moof" if (MIN_MOOF_BYTES..=MAX_MOOF_BYTES).contains(&(size as usize)) => self.state = State::Moof { need: size as usize },
            b"moof" => self.lose(format!("moof claims {size} bytes, {MIN_MOOF_BYTES} to {MAX_MOOF_BYTES} are possible")),
            b"mdat" if orphan && size as usize >= BOX_HEADER_BYTES => {
                let bytes = u64::from(size) - BOX_HEADER_BYTES as u64;
                self.accept(State::Payload(Payload { moof: None, bytes, left: bytes, digest: Crc64::default() }));
                self.end_payload();
            }
            b"uuid" => self.state = State::Uuid,
            [0, 0, 0, 0] => self.lose("no box".to_owned()),
            _ => self.lose(format!("box '{}' does not belong here", kind.escape_ascii())),
        }
    }

    fn begin_uuid(&mut self) {
        let size = Reader::new(&self.buffer).u32().unwrap_or_default() as usize;
        if self.buffer.get(BOX_HEADER_BYTES..) == Some(&SEAL_UUID) && (UUID_HEADER_BYTES + 1..=MAX_SEAL_BYTES).contains(&size) {
            self.state = State::Seal { need: size };
        } else {
            self.lose("private box that is no seal".to_owned());
        }
    }

    fn end_moof(&mut self) {
        let offset = self.box_offset();
        let tracks = self.head.as_ref().map_or(MAX_TRACKS, |head| head.tracks.len());
        if let Some(moof) = fragment::parse(&self.buffer, self.init_crc64).filter(|moof| moof.track < tracks) {
            self.check_order(&moof, offset);
            self.accept(State::Mdat(moof));
        } else {
            self.problems.add(offset, "moof does not match its checksum");
            self.open = None;
            self.next_sequence = None;
            self.accept(State::Box { orphan: true });
        }
    }

    /// Holds a `moof` against the one before: sequence, pairs of a fragment, decode times.
    fn check_order(&mut self, moof: &Moof, offset: u64) {
        let mark = moof.mark;
        if let Some(expected) = self.next_sequence.filter(|expected| *expected != moof.sequence) {
            self.problems.add(offset, &format!("moof has number {}, expected is {expected}", moof.sequence));
        }
        self.next_sequence = moof.sequence.checked_add(1);
        if let Some(next) = self.next_ticks.get_mut(moof.track) {
            if moof.decode_ticks < *next {
                self.problems.add(offset, &format!("track {} runs back from decode time {next} to {}", moof.track, moof.decode_ticks));
            }
            *next = moof.decode_ticks.saturating_add(moof.duration_ticks);
        }
        match &mut self.open {
            Some(open) if open.continues(moof) => {
                open.pairs += 1;
                open.last_track = moof.track;
                open.pair_offset = offset;
                return;
            }
            Some(_) => self.abandon_fragment(),
            None => {}
        }
        if mark.pair != 0 || mark.pairs == 0 || mark.fragment < self.next_fragment {
            self.problems.add(offset, &format!("pair {} of {} of fragment {} has no place here", mark.pair + 1, mark.pairs, mark.fragment));
            return;
        }
        if mark.fragment > self.next_fragment {
            self.problems.add(offset, &format!("fragment {} follows, expected is {}", mark.fragment, self.next_fragment));
        }
        if mark.fragment == 0 && !mark.random_access {
            self.problems.add(offset, "segment does not begin at a random access point");
        }
        self.next_fragment = mark.fragment.saturating_add(1);
        self.open = Some(OpenFragment {
            offset,
            mark,
            pairs: 1,
            last_track: moof.track,
            pair_offset: offset,
            samples: [0; MAX_TRACKS],
            pair_bytes: [0; MAX_TRACKS],
            valid: true,
        });
    }

    fn abandon_fragment(&mut self) {
        if let Some(open) = self.open.take() {
            let (OpenFragment { pairs, mark, .. }, total) = (&open, open.mark.pairs);
            self.problems.add(open.offset, &format!("fragment {} breaks off in pair {pairs} of {total}", mark.fragment));
        }
    }

    fn begin_mdat(&mut self, moof: Moof) {
        let mut reader = Reader::new(&self.buffer);
        let found = (reader.u32(), reader.array::<4>());
        // The moof is unharmed, so its word counts for where the next box begins.
        if found != (Some(mdat_bytes(moof.payload_bytes)), Some(*b"mdat")) {
            let offset = self.box_offset();
            self.problems.add(offset, &format!("header of an mdat with {} bytes of samples is damaged", moof.payload_bytes));
            self.spoil();
        }
        let bytes = moof.payload_bytes;
        self.accept(State::Payload(Payload { moof: Some(moof), bytes, left: bytes, digest: Crc64::default() }));
        self.end_payload();
    }

    fn spoil(&mut self) {
        if let Some(open) = &mut self.open {
            open.valid = false;
        }
    }

    /// Closes the pair, and with its last one the fragment, once all its samples have passed.
    fn end_payload(&mut self) {
        let State::Payload(Payload { moof, bytes, left: 0, digest }) = &self.state else { return };
        let (moof, bytes, checksum) = (*moof, *bytes, digest.sum64());
        self.found.hashes.join_crc64(checksum, bytes);
        self.state = State::Box { orphan: false };
        let Some(moof) = moof else { return };
        if checksum != moof.mark.payload_crc64 {
            let what = format!("samples of track {} in fragment {} do not match their checksum", moof.track, moof.mark.fragment);
            self.problems.add(self.bytes - bytes, &what);
            self.spoil();
        }
        let Some(open) = &mut self.open else { return };
        if let Some(samples) = open.samples.get_mut(moof.track) {
            *samples += u64::from(moof.samples);
        }
        if let Some(pair_bytes) = open.pair_bytes.get_mut(moof.track) {
            // One over 4 GiB makes the fragment so, which is refused when it is closed.
            *pair_bytes = (self.bytes - open.pair_offset) as u32;
        }
        if open.pairs < open.mark.pairs {
            return;
        }
        if let Some(open) = self.open.take() {
            self.close_fragment(&open);
        }
    }

    fn close_fragment(&mut self, open: &OpenFragment) {
        let bytes = self.bytes - open.offset;
        let Some(bytes) = u32::try_from(bytes).ok().filter(|_| self.found.fragments.len() < MAX_FRAGMENTS) else {
            self.lose("more or longer fragments than a segment can hold".to_owned());
            return;
        };
        let Mark { start_utc_ms, duration_us, random_access, .. } = open.mark;
        let found = &mut self.found;
        found.fragments.push(FragmentEntry {
            offset: open.offset,
            bytes,
            pair_bytes: open.pair_bytes,
            start_utc_ms,
            duration_us,
            random_access,
        });
        found.duration_us = found.duration_us.saturating_add(duration_us);
        for (total, samples) in found.samples.iter_mut().zip(open.samples) {
            *total += samples;
        }
        if open.valid {
            let (hashes, samples) = (found.hashes.clone(), found.samples.clone());
            self.whole = Some(Whole { hashes, fragments: found.fragments.len(), samples, duration_us: found.duration_us });
        }
    }

    fn end_seal(&mut self) {
        let offset = self.box_offset();
        self.abandon_fragment();
        match seal::parse(&self.buffer, offset) {
            Ok(seal) => {
                self.check_seal(&seal);
                self.seal = Some(seal);
            }
            Err(error) => self.problems.add(offset, &reason(&error)),
        }
        self.buffer.clear();
        self.state = State::BehindSeal;
    }

    /// Holds the seal against the file it ends.
    fn check_seal(&mut self, seal: &Seal) {
        let Self { found, problems, .. } = self;
        if seal.crc64 != found.hashes.crc64() {
            problems.add(0, &format!("file has CRC-64 {:016x}, its seal says {:016x}", found.hashes.crc64(), seal.crc64));
        }
        if seal.blake3 != found.hashes.blake3() {
            problems.add(0, "file does not have the BLAKE3 that its seal says");
        }
        if seal.fragments.len() != found.fragments.len() {
            let (told, found) = (seal.fragments.len(), found.fragments.len());
            problems.add(seal.offset, &format!("seal lists {told} fragments, found are {found}"));
        }
        if let Some((listed, _)) = seal.fragments.iter().zip(&found.fragments).find(|(listed, found)| listed != found) {
            problems.add(listed.offset, "fragment is listed otherwise in the seal");
        }
        if self.head.is_some() && (seal.samples != found.samples || seal.duration_us != found.duration_us) {
            problems.add(seal.offset, "seal counts other samples or another duration than found");
        }
    }

    /// From the collected box on, nothing can be followed.
    fn lose(&mut self, what: String) {
        let zeros = self.buffer.iter().all(|byte| *byte == 0);
        self.state = State::Lost { offset: self.box_offset(), what, zeros };
    }

    /// Keeps at least the last [`LOST_TAIL_BYTES`], at most twice as many.
    fn keep_tail(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk.get(chunk.len().saturating_sub(LOST_TAIL_BYTES)..).unwrap_or_default());
        if self.buffer.len() > 2 * LOST_TAIL_BYTES {
            self.buffer.drain(..self.buffer.len() - LOST_TAIL_BYTES);
        }
    }

    /// The end of the file.
    pub fn finish(mut self) -> Scan {
        self.end_of_file();
        let Self { mut found, head, whole, seal, problems, bytes, .. } = self;
        let whole = whole.filter(|_| head.is_some());
        let whole_bytes = whole.as_ref().map_or(0, |whole| whole.hashes.bytes());
        let mut draft = None;
        if seal.is_none() {
            found.fragments.truncate(whole.as_ref().map_or(0, |whole| whole.fragments));
            found.duration_us = whole.as_ref().map_or(0, |whole| whole.duration_us);
            draft = whole.map(|Whole { hashes, samples, duration_us, .. }| SealDraft {
                hashes,
                fragments: found.fragments.clone(),
                samples,
                duration_us,
            });
        }
        let problems = problems.into_lines();
        Scan { head, fragments: found.fragments, whole_bytes, duration_us: found.duration_us, seal, bytes, problems, draft }
    }

    /// Names what the file breaks off in.
    fn end_of_file(&mut self) {
        let (offset, collected) = (self.box_offset(), self.buffer.len());
        let torn = |what: &str, need: u64, has: u64| format!("{what} of {need} bytes breaks off after {has}");
        match std::mem::replace(&mut self.state, State::BehindSeal) {
            State::Head { .. } => self.problems.add(0, &format!("file ends after {} bytes, within its header", self.bytes)),
            State::Box { .. } if collected == 0 => {}
            State::Box { .. } | State::Uuid => self.problems.add(offset, &format!("{collected} bytes are no whole box")),
            State::Moof { need } => self.problems.add(offset, &torn("moof", need as u64, collected as u64)),
            State::Mdat(_) => self.problems.add(offset, &format!("header of an mdat breaks off after {collected} bytes")),
            State::Payload(Payload { bytes, left, .. }) => {
                let passed = bytes - left;
                let begin = self.bytes - passed - BOX_HEADER_BYTES as u64;
                self.problems.add(begin, &torn("mdat", bytes + BOX_HEADER_BYTES as u64, passed + BOX_HEADER_BYTES as u64));
            }
            State::Seal { need } => self.problems.add(offset, &torn("seal", need as u64, collected as u64)),
            State::BehindSeal => {
                let end = self.seal.as_ref().map_or(self.bytes, |seal| seal.file_bytes);
                if end < self.bytes {
                    self.problems.add(end, &format!("{} bytes behind the seal", self.bytes - end));
                }
            }
            State::Lost { offset, zeros: true, .. } => {
                self.problems.add(offset, &format!("zeros to the end, {} bytes", self.bytes - offset));
            }
            State::Lost { offset, what, .. } => {
                self.problems.add(offset, &format!("{what}; {} bytes to the end are not checked", self.bytes - offset));
                if let Ok(SealRead::Whole(seal)) = read_seal(&self.buffer, self.bytes) {
                    self.seal = Some(seal);
                }
            }
        }
        self.abandon_fragment();
    }
}

impl OpenFragment {
    /// Whether this is the fragment's next pair.
    fn continues(&self, moof: &Moof) -> bool {
        let expected = Mark { pair: self.pairs, payload_crc64: moof.mark.payload_crc64, ..self.mark };
        self.pairs < self.mark.pairs && moof.mark == expected && moof.track > self.last_track
    }
}

/// What an error says, without the offset that a problem states itself.
fn reason(error: &Mp4Error) -> String {
    match error {
        Mp4Error::Damaged { what, .. } => (*what).to_owned(),
        other => other.to_string(),
    }
}
