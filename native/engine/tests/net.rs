//! Connections: how they end, what they owe the camera, and that an idle engine sleeps.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use support::Bench;
use support::camera::{Act, Camera, GOP};

fn ends_with(script: Vec<Act>, cause: &str) -> serde_json::Value {
    let camera = Camera::start(vec![script]);
    let bench = Bench::new();
    bench.ticket(0, 60_000);
    bench.play(camera.port);
    let gone = bench.wait_kind("disconnected");
    assert_eq!(gone["cause"], cause, "{gone}");
    bench.stop();
    gone
}

#[test]
fn the_peers_way_to_end_is_told() {
    ends_with(vec![Act::Frames(5), Act::Close], "closed-by-peer");
    ends_with(vec![Act::Frames(5), Act::Pause(Duration::from_millis(100)), Act::Reset], "reset");
    ends_with(vec![Act::Frames(5), Act::Bytes(vec![0xff; 200_000]), Act::Hold], "framing");
    let body = b"RTSP/1.0 200 OK\r\nContent-Length: 100000\r\n\r\n".to_vec();
    ends_with(vec![Act::Frames(5), Act::Bytes(body), Act::Hold], "message-too-large");
    let endless = [b"RTSP/1.0 200 OK\r\n".to_vec(), b"X: y\r\n".repeat(10_000)].concat();
    ends_with(vec![Act::Bytes(endless), Act::Hold], "message-too-large");
    let gone = ends_with(vec![Act::Frames(5), Act::Bytes(b"OPTIONS * RTSP/1.0\r\n\r\n".repeat(5000)), Act::Hold], "framing");
    assert!(gone["detail"].as_str().unwrap().contains("RTSP messages at once"));
}

#[test]
fn an_answer_with_the_end_right_behind_it_is_an_answer_and_an_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let peer = std::thread::spawn(move || {
        for _ in 0..20 {
            let (mut socket, _) = listener.accept().unwrap();
            socket.write_all(b"RTSP/1.0 400 Bad Request\r\n\r\n").unwrap();
        }
    });
    let bench = Bench::new();
    for _ in 0..20 {
        let connection = bench.engine.connect(bench.stream, "127.0.0.1", port, 1000).unwrap();
        bench.wait(|fact| fact["kind"] == "message" && fact["connection"] == connection);
        assert_eq!(bench.wait_kind("disconnected")["cause"], "closed-by-peer");
    }
    peer.join().unwrap();
    bench.stop();
}

#[test]
fn nobody_there() {
    let bench = Bench::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let connection = bench.engine.connect(bench.stream, "127.0.0.1", port, 1000).unwrap();
    let gone = bench.wait_kind("disconnected");
    assert_eq!((gone["cause"].as_str(), gone["connection"].as_u64()), (Some("refused"), Some(u64::from(connection))));
    // A full backlog swallows the handshake.
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let _first = std::net::TcpStream::connect(address).unwrap();
    let started = Instant::now();
    bench.engine.connect(bench.stream, "127.0.0.1", address.port(), 300).unwrap();
    let gone = bench.wait_kind("disconnected");
    assert_eq!(gone["cause"], "timeout");
    assert!((300..2000).contains(&started.elapsed().as_millis()));
    bench.stop();
}

#[test]
fn a_peer_that_reads_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let bench = Bench::new();
    let connection = bench.engine.connect(bench.stream, "127.0.0.1", listener.local_addr().unwrap().port(), 1000).unwrap();
    let (_silent, _) = listener.accept().unwrap();
    bench.wait_kind("connected");
    for _ in 0..400 {
        bench.engine.send(connection, "x".repeat(60_000)).unwrap();
        if !bench.pending("disconnected").is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(bench.wait_kind("disconnected")["cause"], "send-blocked");
    bench.stop();
}

#[test]
fn keepalives_go_out_by_themselves_and_good_answers_stay_below() {
    let camera = Camera::start(vec![vec![Act::Hold]]);
    let bench = Bench::new();
    let connection = bench.play(camera.port);
    bench.wait_kind("message");
    bench.engine.keepalive(connection, "OPTIONS rtsp://camera/ RTSP/1.0\r\nCSeq: {cseq}\r\n\r\n".to_owned(), 20, 100).unwrap();
    let mut requests = camera.requests.iter().skip(1);
    assert!(requests.next().unwrap().contains("CSeq: 20\r\n"));
    assert!(requests.next().unwrap().contains("CSeq: 21\r\n"));
    assert!(bench.pending("message").is_empty(), "answers to keepalives are nobody's business");
    bench.engine.disconnect(connection, None).unwrap();
    bench.wait_kind("disconnected");
    drop(requests);
    bench.stop();
}

#[test]
fn receiver_reports_go_out_on_the_rtcp_channel() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let bench = Bench::new();
    let port = listener.local_addr().unwrap().port();
    let camera = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        let _ = socket.read(&mut request).unwrap();
        let mut packet = vec![b'$', 0, 0, 16, 0x80, 0xe0];
        packet.extend_from_slice(&[0, 1, 0, 0, 0, 0, 9, 9, 9, 9, 0x65, 0x88, 0x84, 0]);
        let started = Instant::now();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut received = Vec::new();
        while received.len() < 12 && started.elapsed() < Duration::from_secs(9) {
            packet[7] = packet[7].wrapping_add(1);
            socket.write_all(&packet).unwrap();
            let mut bytes = [0; 256];
            if let Ok(count) = socket.read(&mut bytes) {
                received.extend_from_slice(&bytes[..count]);
            }
        }
        (received, started.elapsed())
    });
    bench.play(port);
    let (received, after) = camera.join().unwrap();
    assert_eq!(&received[..2], &[b'$', 1], "on the RTCP channel");
    assert_eq!(received[4] >> 6, 2);
    assert_eq!(received[5], 201, "RFC 3550 section 6.4.2: a receiver report");
    assert!((2400..8000).contains(&after.as_millis()), "half to one and a half of 5 s: {after:?}");
    bench.stop();
}

#[test]
fn an_engine_without_connections_sleeps() {
    let camera = Camera::start(vec![vec![Act::Frames(10), Act::Hold]]);
    let bench = Bench::new();
    let connection = bench.play(camera.port);
    while bench.stat("packets") < 10.0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    bench.engine.disconnect(connection, None).unwrap();
    bench.wait_kind("disconnected");
    std::thread::sleep(Duration::from_millis(100));
    let before = (bench.engine_stat("ticks"), bench.engine_stat("wakeups"), bench.engine_stat("callbacks"));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!((bench.engine_stat("ticks"), bench.engine_stat("wakeups"), bench.engine_stat("callbacks")), before);
    bench.stop();
}

#[test]
fn a_playing_camera_wakes_nobody_between_ticks() {
    let camera = Camera::start(vec![vec![Act::Frames(10 * GOP), Act::Hold]]);
    let bench = Bench::new();
    bench.play(camera.port);
    while bench.stat("packets") < 20.0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let (wakeups, started) = (bench.engine_stat("wakeups"), Instant::now());
    std::thread::sleep(Duration::from_millis(400));
    let per_tick = (bench.engine_stat("wakeups") - wakeups) / (started.elapsed().as_secs_f64() / 0.02);
    assert!(per_tick < 1.2, "{per_tick} wake-ups a tick of 20 ms while about 20 packets a tick came");
    bench.stop();
}

#[test]
fn a_newer_play_takes_the_stream_over() {
    let camera = Camera::start(vec![vec![Act::Frames(GOP + 10), Act::Hold]]);
    let other = Camera::start(vec![vec![Act::Frames(GOP + 10), Act::Hold]]);
    let bench = Bench::new();
    let first = bench.play(camera.port);
    bench.ticket(0, 60_000);
    bench.wait_kind("segmentOpened");
    bench.wait_kind("media");
    let second = bench.play(other.port);
    assert_eq!(bench.wait_kind("segmentEnded")["reason"], "disconnected");
    let media = bench.wait_kind("media");
    assert_eq!(media["connection"], second);
    bench.engine.disconnect(first, None).unwrap();
    assert_eq!(bench.wait_kind("disconnected")["connection"], first);
    bench.engine.disconnect(second, None).unwrap();
    bench.wait_kind("disconnected");
    bench.stop();
}
