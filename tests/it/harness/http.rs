//! HTTP/1.1 by hand over plain TCP, and an Engine.IO polling session on top.

use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Server;
use super::websocket::BROKEN;

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A request whose answer has not been read yet.
pub struct Asked(TcpStream);

impl Asked {
    /// Reads to the end: every request here asks the server to close behind its answer.
    pub async fn answer(mut self) -> Response {
        let mut bytes = Vec::new();
        tokio::time::timeout(BROKEN, self.0.read_to_end(&mut bytes))
            .await
            .expect("an answer in time")
            .unwrap();
        parse(&bytes)
    }
}

pub async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Asked {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    if method == "POST" {
        write!(head, "Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {}\r\n", body.len()).unwrap();
    }
    head.push_str("\r\n");
    let mut request = head.into_bytes();
    request.extend_from_slice(body);
    // A server may answer and close before it has read everything: what counts is the answer.
    let _ = stream.write_all(&request).await;
    Asked(stream)
}

pub async fn get(server: &Server, path: &str) -> Response {
    ask(server.address, "GET", path, &[], b"").await.answer().await
}

fn parse(bytes: &[u8]) -> Response {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer but {:?}", String::from_utf8_lossy(bytes)));
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let rest = &bytes[end + 4..];
    let chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if chunked { unchunk(rest) } else { rest.to_vec() };
    Response { status, headers, body }
}

fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(line) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        if size == 0 {
            break;
        }
        body.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 2 + size + 2..];
    }
    body
}

/// An Engine.IO session over long-polling.
pub struct Polling {
    pub address: SocketAddr,
    pub sid: String,
}

impl Polling {
    pub async fn session(server: &Server) -> Self {
        let opened = get(server, "/socket.io/?EIO=4&transport=polling").await;
        assert_eq!(opened.status, 200, "{opened:?}");
        let fields: Value = serde_json::from_str(opened.text().strip_prefix('0').unwrap()).unwrap();
        let sid = fields["sid"].as_str().unwrap().to_owned();
        Self { address: server.address, sid }
    }

    /// A session in the main namespace, with the answer and the welcome read.
    pub async fn connected(server: &Server) -> Self {
        let session = Self::session(server).await;
        session.must_post("40").await;
        let mut packets = Vec::new();
        while packets.len() < 2 {
            packets.extend(session.packets().await);
        }
        assert!(packets[0].starts_with("40{") && packets[1].starts_with("42[\"welcome\""), "{packets:?}");
        session
    }

    pub fn path(&self) -> String {
        format!("/socket.io/?EIO=4&transport=polling&sid={}", self.sid)
    }

    /// Sends the request and leaves it parked.
    pub async fn park(&self) -> Asked {
        ask(self.address, "GET", &self.path(), &[], b"").await
    }

    pub async fn get(&self) -> Response {
        self.park().await.answer().await
    }

    pub async fn post(&self, body: impl AsRef<[u8]>) -> Response {
        ask(self.address, "POST", &self.path(), &[], body.as_ref()).await.answer().await
    }

    pub async fn must_post(&self, body: &str) {
        let answer = self.post(body).await;
        assert_eq!((answer.status, answer.text()), (200, "ok"), "{body}");
    }

    /// The packets of the next poll, pings answered and left out.
    pub async fn packets(&self) -> Vec<String> {
        let answer = self.get().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let mut packets: Vec<String> = answer.text().split('\x1e').map(str::to_owned).collect();
        if packets.iter().any(|packet| packet == "2") {
            self.must_post("3").await;
            packets.retain(|packet| packet != "2");
        }
        packets
    }

    pub async fn works(&self) {
        self.must_post(r#"42777["echo","round trip"]"#).await;
        let mut packets = Vec::new();
        while packets.is_empty() {
            packets = self.packets().await;
        }
        assert_eq!(packets, [r#"43777["round trip"]"#]);
    }

    /// The server knows the session no more.
    pub async fn is_gone(&self) {
        let answer = self.get().await;
        // The last packets, a close among them, may still be handed out once.
        if answer.status == 200 {
            let again = self.get().await;
            assert_eq!(again.status, 400, "after {:?}: {again:?}", answer.text());
        } else {
            assert_eq!(answer.status, 400, "{answer:?}");
        }
    }
}
