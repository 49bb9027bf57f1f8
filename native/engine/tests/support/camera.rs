//! A camera of a few lines: answers every RTSP request with 200 and, after PLAY, sends H.264 as it is told. Faster than real time.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

pub const SPS: [u8; 8] = [0x67, 0x42, 0xc0, 0x1e, 0xda, 0x05, 0x82, 0x59];
pub const PPS: [u8; 4] = [0x68, 0xce, 0x3c, 0x80];
pub const FRAMES_PER_SECOND: u32 = 25;
/// Frames of a GOP: two seconds.
pub const GOP: u32 = 50;

/// What the camera does after PLAY, one after the other.
#[derive(Debug, Clone)]
pub enum Act {
    /// Sends so many frames, numbered on.
    Frames(u32),
    /// From now on the picture parameter set is another one.
    ChangeParameters,
    Pause(Duration),
    /// Raw bytes between the frames.
    Bytes(Vec<u8>),
    /// Closes with a reset.
    Reset,
    /// Closes.
    Close,
    /// Keeps the connection until the peer ends it.
    Hold,
}

pub struct Camera {
    pub port: u16,
    /// Requests as they came.
    pub requests: Receiver<String>,
    thread: Option<JoinHandle<()>>,
}

impl Camera {
    /// Serves as many connections as there are scripts, one after the other.
    pub fn start(scripts: Vec<Vec<Act>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, requests) = channel();
        let thread = std::thread::spawn(move || {
            for script in scripts {
                let (socket, _) = listener.accept().unwrap();
                // The recorder may go away at any time: that is no failure of the camera.
                let _ = serve(socket, &script, &sender);
            }
        });
        Self { port, requests, thread: Some(thread) }
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.thread.take().unwrap().join().unwrap();
        }
    }
}

/// One H.264 picture as a NAL unit; its number can be found in the file again.
pub fn picture(number: u32) -> Vec<u8> {
    let key = number.is_multiple_of(GOP);
    let mut unit = vec![if key { 0x65 } else { 0x41 }, 0x88];
    unit.extend_from_slice(format!("picture {number:08};").as_bytes());
    unit.resize(if key { 6000 } else { 900 }, 0xaa);
    unit
}

struct Sender264 {
    socket: TcpStream,
    sequence: u16,
    frame: u32,
    pps: Vec<u8>,
}

fn serve(mut socket: TcpStream, script: &[Act], requests: &Sender<String>) -> std::io::Result<()> {
    loop {
        let request = read_request(&mut socket)?;
        let play = request.starts_with("PLAY");
        answer(&mut socket, &request)?;
        let _ = requests.send(request);
        if play {
            break;
        }
    }
    let mut sender = Sender264 { socket: socket.try_clone()?, sequence: 65_530, frame: 0, pps: PPS.to_vec() };
    for act in script {
        match act {
            Act::Frames(count) => {
                for _ in 0..*count {
                    sender.frame()?;
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            Act::ChangeParameters => sender.pps[2] ^= 1,
            Act::Pause(pause) => std::thread::sleep(*pause),
            Act::Bytes(bytes) => socket.write_all(bytes)?,
            Act::Reset => {
                socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
                return Ok(());
            }
            Act::Close => return Ok(()),
            Act::Hold => {
                while let Ok(request) = read_request(&mut socket) {
                    answer(&mut socket, &request)?;
                    let _ = requests.send(request);
                }
                return Ok(());
            }
        }
    }
    Ok(())
}

fn answer(socket: &mut TcpStream, request: &str) -> std::io::Result<()> {
    let cseq = request.lines().find_map(|line| line.strip_prefix("CSeq: ")).unwrap_or("0");
    socket.write_all(format!("RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\n\r\n").as_bytes())
}

/// Reads over interleaved frames to the next request.
fn read_request(socket: &mut TcpStream) -> std::io::Result<String> {
    let mut text = Vec::new();
    loop {
        let mut byte = [0];
        socket.read_exact(&mut byte)?;
        if text.is_empty() && byte[0] == b'$' {
            let mut header = [0; 3];
            socket.read_exact(&mut header)?;
            let mut payload = vec![0; usize::from(u16::from_be_bytes([header[1], header[2]]))];
            socket.read_exact(&mut payload)?;
            continue;
        }
        text.push(byte[0]);
        if text.ends_with(b"\r\n\r\n") {
            return Ok(String::from_utf8_lossy(&text).into_owned());
        }
    }
}

impl Sender264 {
    fn frame(&mut self) -> std::io::Result<()> {
        let unit = picture(self.frame);
        if self.frame.is_multiple_of(GOP) {
            self.packet(&SPS, false)?;
            let pps = self.pps.clone();
            self.packet(&pps, false)?;
        }
        if unit.len() <= 1400 {
            self.packet(&unit, true)?;
        } else {
            // FU-A, RFC 6184 section 5.8.
            let chunks: Vec<&[u8]> = unit[1..].chunks(1400).collect();
            for (index, chunk) in chunks.iter().enumerate() {
                let (first, last) = (index == 0, index == chunks.len() - 1);
                let mut payload = vec![unit[0] & 0xe0 | 0x1c, unit[0] & 0x1f | u8::from(first) << 7 | u8::from(last) << 6];
                payload.extend_from_slice(chunk);
                self.packet(&payload, last)?;
            }
        }
        self.frame += 1;
        Ok(())
    }

    fn packet(&mut self, payload: &[u8], marker: bool) -> std::io::Result<()> {
        let ticks = self.frame * (90_000 / FRAMES_PER_SECOND);
        let mut packet = vec![b'$', 0];
        packet.extend_from_slice(&(12 + payload.len() as u16).to_be_bytes());
        packet.extend_from_slice(&[0x80, 0x60 | u8::from(marker) << 7]);
        packet.extend_from_slice(&self.sequence.to_be_bytes());
        packet.extend_from_slice(&ticks.to_be_bytes());
        packet.extend_from_slice(&0x1234_5678_u32.to_be_bytes());
        packet.extend_from_slice(payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.socket.write_all(&packet)
    }
}
