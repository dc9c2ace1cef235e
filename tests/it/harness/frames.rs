//! A websocket below the level of any library: bytes out, frames in, for what no client would send.

use flate2::read::DeflateDecoder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Server;
use super::websocket::BROKEN;

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CONTINUATION: u8 = 0;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;
pub const FIN: u8 = 0x80;
/// Set on what a client sends, in the second byte.
pub const MASKED: u8 = 0x80;
/// Set on a compressed message.
pub const RSV1: u8 = 0x40;

pub const HANDSHAKE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

pub struct Frames {
    pub stream: TcpStream,
    /// Engine.IO's pings, as a client should.
    pub answers_pings: bool,
    /// Read and not yet taken apart.
    unread: Vec<u8>,
}

#[derive(Debug, PartialEq)]
pub struct Frame {
    pub first: u8,
    pub payload: Vec<u8>,
}

impl Frames {
    pub async fn open(server: &Server) -> Self {
        Self::open_with(server, HANDSHAKE).await
    }

    pub async fn open_with_deflate(server: &Server) -> Self {
        let headers = format!(
            "{HANDSHAKE}Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"
        );
        Self::open_with(server, &headers).await
    }

    pub async fn open_with(server: &Server, headers: &str) -> Self {
        let (this, head) = Self::try_open(server, headers).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        this
    }

    /// Also gives the head of the answer.
    pub async fn try_open(server: &Server, headers: &str) -> (Self, String) {
        let path = "/socket.io/?EIO=4&transport=websocket";
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", server.address);
        let mut this = Self::raw(server, request.as_bytes()).await;
        let head = this.head().await;
        (this, head)
    }

    /// The handshake over a socket that the caller has shaped.
    pub async fn over(stream: TcpStream, server: &Server) -> Self {
        let mut this = Self { stream, answers_pings: true, unread: Vec::new() };
        let path = "/socket.io/?EIO=4&transport=websocket";
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{HANDSHAKE}\r\n", server.address);
        this.bytes(request.as_bytes()).await;
        let head = this.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        this
    }

    /// A connection on which these bytes have been written.
    pub async fn raw(server: &Server, bytes: &[u8]) -> Self {
        let stream = TcpStream::connect(server.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut this = Self { stream, answers_pings: true, unread: Vec::new() };
        this.bytes(bytes).await;
        this
    }

    /// The head of the answer to the request that was written.
    pub async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.unread.drain(..end + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            assert!(self.read_more().await, "no head but {:?}", String::from_utf8_lossy(&self.unread));
        }
    }

    /// Past the open packet, in the main namespace, with its answer and the welcome read.
    pub async fn connected(server: &Server) -> Self {
        let mut this = Self::open(server).await;
        this.enter().await;
        this
    }

    pub async fn enter(&mut self) {
        let open = self.frame().await.expect("an open packet");
        assert!(open.payload.starts_with(b"0{"), "{open:?}");
        self.send(FIN | TEXT, b"40").await;
        for start in [&b"40{"[..], b"42[\"welcome\""] {
            let frame = self.frame().await.expect("an answer");
            assert!(frame.payload.starts_with(start), "{frame:?}");
        }
    }

    /// The server may have closed by now; what counts is what comes back.
    pub async fn bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    pub async fn send(&mut self, first: u8, payload: &[u8]) {
        self.bytes(&frame(first, payload)).await;
    }

    /// None: the connection ended.
    pub async fn frame(&mut self) -> Option<Frame> {
        loop {
            match self.take() {
                // Engine.IO's ping, which some servers send at once.
                Some(Frame { first, payload })
                    if first == FIN | TEXT && payload == b"2" && self.answers_pings =>
                {
                    self.send(FIN | TEXT, b"3").await;
                }
                Some(frame) => return Some(frame),
                None if self.read_more().await => {}
                None => return None,
            }
        }
    }

    fn take(&mut self) -> Option<Frame> {
        let (&first, &second) = (self.unread.first()?, self.unread.get(1)?);
        assert_eq!(second & 0x80, 0, "a server does not mask");
        let (length, start) = match second {
            126 => (usize::from(u16::from_be_bytes(self.unread.get(2..4)?.try_into().unwrap())), 4),
            127 => (
                usize::try_from(u64::from_be_bytes(self.unread.get(2..10)?.try_into().unwrap())).unwrap(),
                10,
            ),
            short => (usize::from(short), 2),
        };
        let payload = self.unread.get(start..start + length)?.to_vec();
        self.unread.drain(..start + length);
        if first & RSV1 == 0 {
            return Some(Frame { first, payload });
        }
        let mut inflated = Vec::new();
        // Without context takeover every message stands alone; the tail is what the sender left off.
        let whole = [&payload[..], &[0, 0, 0xff, 0xff]].concat();
        let _ = std::io::Read::read_to_end(&mut DeflateDecoder::new(whole.as_slice()), &mut inflated);
        Some(Frame { first: first & !RSV1, payload: inflated })
    }

    async fn read_more(&mut self) -> bool {
        let read = tokio::time::timeout(BROKEN, self.stream.read_buf(&mut self.unread)).await;
        matches!(read.expect("bytes or an end in time"), Ok(1..))
    }

    /// The connection ends, with no answer to what was wrong but a close frame: its code, if there was one.
    pub async fn ends(&mut self) -> Option<u16> {
        let mut code = None;
        while let Some(frame) = self.frame().await {
            assert_eq!(frame.first, FIN | CLOSE, "{frame:?} before the end");
            code = frame.payload.get(..2).map(|code| u16::from_be_bytes(code.try_into().unwrap()));
        }
        code
    }

    /// A round trip by ack, with nothing before its answer.
    pub async fn works(&mut self) {
        self.send(FIN | TEXT, br#"42777["echo","round trip"]"#).await;
        self.answers().await;
    }

    pub async fn answers(&mut self) {
        let frame = self.frame().await.expect("an answer");
        assert_eq!(String::from_utf8_lossy(&frame.payload), r#"43777["round trip"]"#);
    }
}

/// A masked frame, whatever its first byte says.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..126 => bytes.push(MASKED | short as u8),
        medium @ 126..0x1_0000 => {
            bytes.push(MASKED | 0x7e);
            bytes.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            bytes.push(MASKED | 0x7f);
            bytes.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&KEY);
    bytes.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}
