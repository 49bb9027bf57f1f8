use proptest::prelude::*;

use super::*;

const SOURCE: u32 = 0x1234_5678;

/// What came out, with the bytes copied.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Got {
    Frame(u8, Vec<u8>),
    Message(Vec<u8>),
}

/// An RTP packet of our source.
fn rtp(payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 96, 0, 1, 0, 0, 0, 0];
    packet.extend(SOURCE.to_be_bytes());
    packet.extend(payload);
    packet
}

fn frame(channel: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![b'$', channel];
    bytes.extend((payload.len() as u16).to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Feeds `stream` in pieces of at most `piece` bytes, as a socket would.
fn split(splitter: &mut Splitter, stream: &[u8], piece: usize) -> Result<Vec<Got>, FramingError> {
    let mut items = Vec::new();
    let mut buffer = Vec::new();
    for chunk in stream.chunks(piece) {
        buffer.extend_from_slice(chunk);
        let mut at = 0;
        loop {
            let (consumed, item) = splitter.next(&buffer[at..])?;
            at += consumed;
            match item {
                Some(Item::Frame { channel, payload }) => items.push(Got::Frame(channel, payload.to_vec())),
                Some(Item::Message(text)) => items.push(Got::Message(text.to_vec())),
                None => break,
            }
        }
        buffer.drain(..at);
        assert!(buffer.len() <= MAX_ITEM_BYTES, "{} bytes wait", buffer.len());
    }
    Ok(items)
}

fn ours() -> Splitter {
    let mut splitter = Splitter::new();
    splitter.set_channels(&[0, 1]);
    splitter
}

const REPLY: &[u8] = b"RTSP/1.0 200 OK\r\nCSeq: 3\r\nContent-Length: 5\r\n\r\nv=0$\0";

#[test]
fn frames_and_messages_in_pieces_of_any_size() {
    let stream = [REPLY, &frame(0, &rtp(&[7; 300])), b"\r\nOPTIONS * RTSP/1.0\r\nCSeq: 9\r\n\r\n", &frame(1, &[]), REPLY].concat();
    let expected = [
        Got::Message(REPLY.to_vec()),
        Got::Frame(0, rtp(&[7; 300])),
        Got::Message(b"OPTIONS * RTSP/1.0\r\nCSeq: 9\r\n\r\n".to_vec()),
        Got::Frame(1, vec![]),
        Got::Message(REPLY.to_vec()),
    ];
    for piece in [1, 2, 3, 7, 64, stream.len()] {
        let mut splitter = ours();
        assert_eq!(split(&mut splitter, &stream, piece), Ok(expected.iter().map(copy).collect()), "pieces of {piece}");
        assert_eq!((splitter.resyncs(), splitter.skipped_bytes()), (0, 0));
    }
}

fn copy(got: &Got) -> Got {
    match got {
        Got::Frame(channel, payload) => Got::Frame(*channel, payload.clone()),
        Got::Message(text) => Got::Message(text.clone()),
    }
}

#[test]
fn frames_before_any_channel_is_known_and_on_foreign_ones_come_out() {
    let stream = [frame(0, &rtp(&[1])), frame(9, &rtp(&[2]))].concat();
    assert_eq!(split(&mut Splitter::new(), &stream, 99).unwrap().len(), 2);
    assert_eq!(split(&mut ours(), &stream, 99).unwrap().len(), 2);
}

#[test]
fn lines_may_end_in_lf_and_headers_in_any_case() {
    let text = b"RTSP/1.0 200 OK\nCONTENT-length : 3\n\nabc";
    assert_eq!(split(&mut Splitter::new(), text, 5), Ok(vec![Got::Message(text.to_vec())]));
}

#[test]
fn a_frame_cut_short_costs_what_it_swallowed_and_no_more() {
    let whole: Vec<_> = (0..20).map(|n| frame(0, &rtp(&[n; 400]))).collect();
    let mut stream = whole[0].clone();
    stream.extend(&whole[1][..150]);
    stream.extend(whole[2..].concat());
    for piece in [1, 100, 5000] {
        let mut splitter = ours();
        let items = split(&mut splitter, &stream, piece).unwrap();
        // The torn frame runs on into the next one, and the rest of that one is skipped.
        assert_eq!(items.len(), 19, "pieces of {piece}");
        assert_eq!(items[2..], (3..20).map(|n| Got::Frame(0, rtp(&[n; 400]))).collect::<Vec<_>>());
        assert_eq!(splitter.resyncs(), 1);
    }
}

#[test]
fn a_search_believes_only_known_channels_and_sources() {
    let mut foreign = rtp(&[b'$'; 20]);
    foreign[8] ^= 1;
    let mut stream = frame(0, &rtp(&[1]));
    stream.extend(b"\xee\xee$$$\0\0\0R");
    stream.extend(frame(0, &foreign));
    stream.extend(frame(7, &rtp(&[3])));
    for byte in [4, 5] {
        stream.extend(frame(0, &rtp(&[byte])));
    }
    let mut splitter = ours();
    assert_eq!(split(&mut splitter, &stream, 11), Ok([1, 4, 5].map(|byte| Got::Frame(0, rtp(&[byte]))).to_vec()));
    assert_eq!(splitter.resyncs(), 1);
    assert_eq!(splitter.skipped_bytes(), (stream.len() - 3 * frame(0, &rtp(&[1])).len()) as u64);
}

/// A channel whose source is unknown, noise that looks like a frame of it, and the end of that frame not yet received.
#[test]
fn a_search_finds_the_same_however_the_bytes_are_split() {
    let mut stream = b"\xee".to_vec();
    stream.extend(&frame(0, &rtp(&[7; 40]))[..30]);
    stream.extend((1..5).flat_map(|n| frame(1, &rtp(&[n; 20]))));
    let expected: Vec<_> = (1..5).map(|n| Got::Frame(1, rtp(&[n; 20]))).collect();
    for piece in [1, 20, 40, 50, 500] {
        assert_eq!(split(&mut ours(), &stream, piece), Ok(expected.clone()), "pieces of {piece}");
    }
}

#[test]
fn a_head_that_is_too_large_and_binary_behind_that_is_too_large() {
    let mut stream = [b"RTSP/1.0 200 OK\r\nX: ".to_vec(), vec![b'x'; MAX_HEAD_BYTES]].concat();
    stream[MAX_HEAD_BYTES] = 0;
    for piece in [1000, MAX_HEAD_BYTES, stream.len()] {
        assert_eq!(split(&mut ours(), &stream, piece), Err(FramingError::HeadTooLarge), "pieces of {piece}");
    }
}

#[test]
fn a_search_finds_a_reply() {
    let stream = [b"\x01\x02RTSRTSP/2RT", REPLY].concat();
    for piece in [1, 4, 99] {
        assert_eq!(split(&mut ours(), &stream, piece), Ok(vec![Got::Message(REPLY.to_vec())]));
    }
}

#[test]
fn a_message_that_turns_binary_is_a_fault() {
    let stream = [&b"RTSP/1.0 200 OK\r\nCS"[..], &frame(0, &rtp(&[5])), &frame(0, &rtp(&[6]))].concat();
    assert_eq!(split(&mut ours(), &stream, 8), Ok(vec![Got::Frame(0, rtp(&[5])), Got::Frame(0, rtp(&[6]))]));
}

#[test]
fn garbage_for_ever_is_given_up() {
    for byte in [0, 0xFF, b'r'] {
        let garbage = vec![byte; MAX_RESYNC_BYTES + 1];
        assert_eq!(split(&mut ours(), &garbage, 1500), Err(FramingError::Lost));
        assert_eq!(split(&mut ours(), &garbage[1..], 1500), Ok(vec![]));
    }
}

#[test]
fn another_protocol_is_told_by_its_first_byte() {
    let greetings: [&[u8]; 4] = [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-x\r\n", b"\r\n\0\x01", b"RTSQ/1"];
    for greeting in greetings {
        assert_eq!(split(&mut Splitter::new(), greeting, 99), Err(FramingError::NotRtsp));
    }
    // Once it has spoken RTSP, it gets the chance to go on.
    assert_eq!(split(&mut Splitter::new(), &[REPLY, b"\0\x01", REPLY].concat(), 99).map(|items| items.len()), Ok(2));
}

#[test]
fn sizes_are_bounded() {
    let long = [b"RTSP/1.0 200 OK\r\nX: ".to_vec(), vec![b'x'; MAX_HEAD_BYTES]].concat();
    assert_eq!(split(&mut ours(), &long, 999), Err(FramingError::HeadTooLarge));
    for (length, error) in [("65537", 65537), ("99999999999999999999", u64::MAX)] {
        let text = format!("RTSP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n");
        assert_eq!(split(&mut ours(), text.as_bytes(), 999), Err(FramingError::BodyTooLarge(error)));
    }
    let mut whole = b"RTSP/1.0 200 OK\r\nContent-Length: 65536\r\n\r\n".to_vec();
    whole.resize(whole.len() + MAX_BODY_BYTES, b'b');
    assert_eq!(split(&mut ours(), &whole, 999), Ok(vec![Got::Message(whole.clone())]));
}

#[test]
fn a_length_that_is_no_number_is_none() {
    let text = b"RTSP/1.0 200 OK\r\nContent-Length: -5\r\n\r\n";
    assert_eq!(split(&mut ours(), text, 99), Ok(vec![Got::Message(text.to_vec())]));
}

/// Bytes that look like the real thing more often than chance would have it.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..60),
        proptest::collection::vec(any::<u8>(), 0..60).prop_map(|payload| frame(0, &rtp(&payload))),
        proptest::collection::vec(any::<u8>(), 0..30).prop_map(|payload| frame(200, &payload)),
        Just(REPLY.to_vec()),
        Just(b"GET_PARAMETER ".to_vec()),
        Just(b"Content-Length: 70\r\n\r\n".to_vec()),
        Just(b"$\0\xff".to_vec()),
    ];
    proptest::collection::vec(part, 0..30).prop_map(|parts| parts.concat())
}

proptest! {
    /// Nothing panics, consumption stays within the buffer, and the pieces do not change what comes out.
    #[test]
    fn any_stream_in_any_pieces(stream in hostile(), piece in 1_usize..200) {
        let mut splitter = ours();
        let pieces = split(&mut splitter, &stream, piece);
        prop_assert!(splitter.skipped_bytes() <= stream.len() as u64);
        prop_assert_eq!(pieces, split(&mut ours(), &stream, usize::MAX));
    }

    #[test]
    fn pieces_do_not_matter_without_faults(payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..20), piece in 1_usize..200) {
        let stream = payloads.iter().flat_map(|payload| frame(1, &rtp(payload))).collect::<Vec<_>>();
        let expected = payloads.iter().map(|payload| Got::Frame(1, rtp(payload))).collect::<Vec<_>>();
        prop_assert_eq!(split(&mut ours(), &stream, piece).unwrap(), expected);
    }
}
