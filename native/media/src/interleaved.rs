//! One TCP byte stream taken apart into binary frames and RTSP messages, RFC 2326 section 10.12. Pure: slices of the caller's buffer go out.

/// Longest head of a message, from its first byte to the end of the empty line.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Longest body of a message.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// A buffer that holds this much always holds a whole item, or one that is refused.
pub const MAX_ITEM_BYTES: usize = MAX_HEAD_BYTES + MAX_BODY_BYTES;
/// Bytes that may be skipped between two items before the connection is given up.
pub const MAX_RESYNC_BYTES: usize = 64 * 1024;

/// `$`, channel, length of the payload in two bytes.
const FRAME_HEADER_BYTES: usize = 4;
/// Longest method of a request; the standard's have at most 13 letters.
const MAX_METHOD_BYTES: usize = 20;
const REPLY_START: &[u8] = b"RTSP/1.";
/// Of an RTP packet up to its SSRC, and of an RTCP packet likewise.
const RTP_SOURCE_END: usize = 12;
const RTCP_SOURCE_END: usize = 8;

/// What the stream is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// A `$` frame.
    Frame { channel: u8, payload: &'a [u8] },
    /// A reply, or a request of the server: head, empty line and body.
    Message(&'a [u8]),
}

/// Why a connection cannot be read any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    #[error("the first bytes begin no RTSP message")]
    NotRtsp,
    #[error("RTSP head is over {MAX_HEAD_BYTES} bytes")]
    HeadTooLarge,
    #[error("RTSP body of {0} bytes, allowed are {MAX_BODY_BYTES}")]
    BodyTooLarge(u64),
    #[error("no frame and no RTSP message found in {MAX_RESYNC_BYTES} bytes after a framing fault")]
    Lost,
}

/// Splits the bytes of one connection.
///
/// In sync, an item begins where the one before ended. A byte there that can begin none is a framing fault (servers cut frames short when
/// their send buffer is full): bytes are then skipped up to what is certainly a frame of a known channel and source with an item behind it,
/// or a reply.
/// Before the first item, and as long as no channel is in use, there is nothing to get back in step with: such a byte is another protocol.
#[derive(Debug, Default)]
pub struct Splitter {
    channels: Vec<Channel>,
    /// An item was found: the peer speaks RTSP.
    begun: bool,
    searching: bool,
    /// Since the last item.
    skipped_in_row: usize,
    resyncs: u64,
    skipped_bytes: u64,
}

#[derive(Debug)]
struct Channel {
    number: u8,
    /// SSRC of the newest frame.
    source: Option<u32>,
}

/// What the bytes at one place are.
enum Step<'a> {
    Whole {
        bytes: usize,
        item: Item<'a>,
    },
    /// The beginning of an item, or of what may become one.
    More,
    /// Cannot begin an item.
    Fault,
}

impl Splitter {
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells which channels are in use: after a framing fault only these are believed.
    pub fn set_channels(&mut self, channels: &[u8]) {
        self.channels = channels.iter().map(|&number| Channel { number, source: None }).collect();
    }

    /// Looks at the bytes received and not consumed yet. Returns how many bytes the caller is to drop from the front,
    /// and the item that lay in them; `None` means that more bytes are needed (there may be some to drop all the same).
    pub fn next<'a>(&mut self, buffer: &'a [u8]) -> Result<(usize, Option<Item<'a>>), FramingError> {
        let mut at = 0;
        loop {
            let rest = buffer.get(at..).unwrap_or_default();
            if self.searching {
                let (skip, found) = self.search(rest);
                at += skip;
                self.skip(skip)?;
                if !found {
                    return Ok((at, None));
                }
                self.searching = false;
                self.resyncs += 1;
                continue;
            }
            // Servers put empty lines between items, and behind a body.
            let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            at += blank;
            match self.item(rest.get(blank..).unwrap_or_default())? {
                Step::Whole { bytes, item } => {
                    self.begun = true;
                    self.skipped_in_row = 0;
                    self.remember_source(&item);
                    return Ok((at + bytes, Some(item)));
                }
                Step::More => return Ok((at, None)),
                Step::Fault if !self.begun && self.channels.is_empty() => return Err(FramingError::NotRtsp),
                Step::Fault => {
                    self.searching = true;
                    at += 1;
                    self.skip(1)?;
                }
            }
        }
    }

    /// Framing faults that were got over.
    pub fn resyncs(&self) -> u64 {
        self.resyncs
    }

    /// Bytes skipped after framing faults.
    pub fn skipped_bytes(&self) -> u64 {
        self.skipped_bytes
    }

    fn skip(&mut self, bytes: usize) -> Result<(), FramingError> {
        self.skipped_bytes += bytes as u64;
        self.skipped_in_row += bytes;
        if self.skipped_in_row > MAX_RESYNC_BYTES { Err(FramingError::Lost) } else { Ok(()) }
    }

    /// The item that begins with the first byte of `rest`.
    fn item<'a>(&self, rest: &'a [u8]) -> Result<Step<'a>, FramingError> {
        match rest.first() {
            None => Ok(Step::More),
            Some(b'$') => Ok(self.frame(rest)),
            Some(b'A'..=b'Z') => message(rest),
            Some(_) => Ok(Step::Fault),
        }
    }

    fn frame<'a>(&self, rest: &'a [u8]) -> Step<'a> {
        let Some((&[_, channel, high, low], behind)) = rest.split_first_chunk::<FRAME_HEADER_BYTES>() else { return Step::More };
        let length = usize::from(u16::from_be_bytes([high, low]));
        // Frames of a session that is over may come first on a new connection; but a channel nobody set up may also be a stray byte.
        if self.channel(channel).is_none() && length > 0 {
            match behind.first() {
                None => return Step::More,
                Some(first) if first >> 6 != 2 => return Step::Fault,
                Some(_) => {}
            }
        }
        match behind.get(..length) {
            Some(payload) => Step::Whole { bytes: FRAME_HEADER_BYTES + length, item: Item::Frame { channel, payload } },
            None => Step::More,
        }
    }

    fn channel(&self, number: u8) -> Option<&Channel> {
        self.channels.iter().find(|channel| channel.number == number)
    }

    fn remember_source(&mut self, item: &Item<'_>) {
        if let Item::Frame { channel: number, payload } = *item
            && let Some(channel) = self.channels.iter_mut().find(|channel| channel.number == number)
        {
            channel.source = source(payload).or(channel.source);
        }
    }

    /// How many bytes to skip, and whether an item begins behind them; if none does, what is left may still become one.
    fn search(&self, rest: &[u8]) -> (usize, bool) {
        for (at, &byte) in rest.iter().enumerate() {
            let candidate = rest.get(at..).unwrap_or_default();
            let credible = match byte {
                b'$' => self.credible_frame(candidate),
                b'R' => credible_reply(candidate),
                _ => Some(false),
            };
            match credible {
                Some(true) => return (at, true),
                Some(false) => {}
                None => return (at, false),
            }
        }
        (rest.len(), false)
    }

    /// Whether a frame of ours begins here; `None` if there are too few bytes to tell.
    fn credible_frame(&self, rest: &[u8]) -> Option<bool> {
        let known = match rest.get(1) {
            _ if self.channels.is_empty() => None,
            None => return None,
            Some(&number) => match self.channel(number) {
                Some(channel) => channel.source,
                None => return Some(false),
            },
        };
        let (&[_, _, high, low], behind) = rest.split_first_chunk::<FRAME_HEADER_BYTES>()?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length < RTCP_SOURCE_END || behind.first()? >> 6 != 2 {
            return Some(false);
        }
        let payload = behind.get(..length.min(RTP_SOURCE_END))?;
        let Some(source) = source(payload) else { return Some(false) };
        if known.is_some_and(|known| known != source) {
            return Some(false);
        }
        // Waited for even if all else is there: where the bytes happen to be split must decide nothing.
        behind.get(length).map(|next| matches!(next, b'$' | b'\r' | b'\n' | b'A'..=b'Z'))
    }
}

/// SSRC of the sender of an RTP packet (RFC 3550 section 5.1) or of an RTCP packet (section 6.4), told apart by their second byte
/// (RFC 5761 section 4).
fn source(payload: &[u8]) -> Option<u32> {
    let end = if matches!(payload.get(1)?, 192..=223) { RTCP_SOURCE_END } else { RTP_SOURCE_END };
    payload.get(end - 4..end)?.try_into().ok().map(u32::from_be_bytes)
}

fn credible_reply(rest: &[u8]) -> Option<bool> {
    match rest.get(..REPLY_START.len()) {
        Some(start) => Some(start == REPLY_START),
        None if REPLY_START.starts_with(rest) => None,
        None => Some(false),
    }
}

/// A reply or request, which begins with a capital letter.
fn message(rest: &[u8]) -> Result<Step<'_>, FramingError> {
    let word = rest.iter().take(MAX_METHOD_BYTES + 1).take_while(|byte| matches!(byte, b'A'..=b'Z' | b'_')).count();
    match rest.get(word) {
        None if word <= MAX_METHOD_BYTES => return Ok(Step::More),
        Some(b' ') => {}
        Some(b'/') if rest.starts_with(b"RTSP/") => {}
        _ => return Ok(Step::Fault),
    }
    let head = match head_bytes(rest) {
        Head::Whole(bytes) => bytes,
        Head::Partial if rest.len() < MAX_HEAD_BYTES => return Ok(Step::More),
        Head::Partial => return Err(FramingError::HeadTooLarge),
        Head::Binary => return Ok(Step::Fault),
    };
    let body = content_length(rest.get(..head).unwrap_or_default());
    if body > MAX_BODY_BYTES as u64 {
        return Err(FramingError::BodyTooLarge(body));
    }
    let bytes = head + body as usize;
    Ok(rest.get(..bytes).map_or(Step::More, |whole| Step::Whole { bytes, item: Item::Message(whole) }))
}

enum Head {
    /// Length up to the end of the empty line, at most [`MAX_HEAD_BYTES`].
    Whole(usize),
    Partial,
    /// Not text: a message whose end is missing.
    Binary,
}

/// Looks for the empty line. Lines may end in LF alone: some servers send that.
fn head_bytes(rest: &[u8]) -> Head {
    let mut line_is_empty = false;
    for (at, &byte) in rest.iter().take(MAX_HEAD_BYTES).enumerate() {
        match byte {
            b'\n' if line_is_empty => return Head::Whole(at + 1),
            b'\n' => line_is_empty = true,
            b'\r' => {}
            b'\t' => line_is_empty = false,
            0..=0x1F | 0x7F => return Head::Binary,
            _ => line_is_empty = false,
        }
    }
    Head::Partial
}

/// RFC 2326 section 12.14; 0 where it is absent or no number.
fn content_length(head: &[u8]) -> u64 {
    head.split(|&byte| byte == b'\n')
        .filter_map(|line| line.iter().position(|&byte| byte == b':').and_then(|colon| line.split_at_checked(colon)))
        .find(|(name, _)| name.trim_ascii().eq_ignore_ascii_case(b"content-length"))
        .map_or(0, |(_, value)| {
            let digits = value.get(1..).unwrap_or_default().trim_ascii();
            let number =
                |sum: u64, &digit: &u8| digit.is_ascii_digit().then(|| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
            digits.iter().try_fold(0, number).unwrap_or(0)
        })
}

#[cfg(test)]
#[path = "interleaved_tests.rs"]
mod tests;
