//! HTTP by hand: requests that no client library would send, and sessions over polling.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::lab::{BROKEN, Lab};

/// One connection that is kept for as many requests as one likes.
pub(super) struct Http {
    pub(super) stream: TcpStream,
    read: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Lab {
    pub(super) async fn http(&self) -> Http {
        Http::to(self.server.local_addr()).await
    }

    /// A new session over polling, in no namespace yet.
    pub(super) async fn polling(&self) -> Polling {
        let open = self.http().await.engine_io("GET", "", "").await;
        assert!(open.body.starts_with("0{\"sid\""), "{open:?}");
        Polling {
            address: self.server.local_addr(),
            sid: open.body.split('"').nth(3).expect("a session id").to_owned(),
        }
    }
}

impl Http {
    pub(super) async fn to(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.expect("it listens"), read: Vec::new() }
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the server reads");
    }

    /// Sends a request and does not wait for its answer.
    pub(super) async fn ask(&mut self, method: &str, query: &str, body: &str) {
        let request = format!(
            "{method} /socket.io/?EIO=4&transport=polling{query} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.write(request.as_bytes()).await;
    }

    pub(super) async fn engine_io(&mut self, method: &str, query: &str, body: &str) -> Answer {
        self.ask(method, query, body).await;
        self.answer().await.expect("an answer before the end")
    }

    /// The next answer; none if the server closed the connection instead.
    pub(super) async fn answer(&mut self) -> Option<Answer> {
        tokio::time::timeout(BROKEN, self.read_answer()).await.expect("an answer in time")
    }

    /// Whether there is anything behind the last answer, once there is or it is known that nothing comes.
    pub(super) async fn says_more(&mut self) -> bool {
        if !self.read.is_empty() {
            return true;
        }
        let more = self.stream.read_buf(&mut self.read);
        tokio::time::timeout(BROKEN, more).await.expect("in time").is_ok_and(|count| count > 0)
    }

    async fn read_answer(&mut self) -> Option<Answer> {
        loop {
            if let Some(answer) = self.take() {
                return Some(answer);
            }
            if self.stream.read_buf(&mut self.read).await.ok()? == 0 {
                return None;
            }
        }
    }

    fn take(&mut self) -> Option<Answer> {
        let head_bytes = self.read.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&self.read[..head_bytes]).to_lowercase();
        let body_bytes = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().expect("a number"));
        if self.read.len() < head_bytes + body_bytes {
            return None;
        }
        let rest = self.read.split_off(head_bytes + body_bytes);
        let body = String::from_utf8_lossy(&self.read[head_bytes..]).into_owned();
        self.read = rest;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Some(Answer { status, head, body })
    }
}

/// A session over polling. Each request has a connection of its own, which the kernel gives to whichever shard it likes.
pub(super) struct Polling {
    address: SocketAddr,
    pub(super) sid: String,
}

impl Polling {
    /// The same session, by way of another server.
    pub(super) fn by_way_of(&self, lab: &Lab) -> Self {
        Self { address: lab.server.local_addr(), sid: self.sid.clone() }
    }

    pub(super) fn query(&self) -> String {
        format!("&sid={}", self.sid)
    }

    pub(super) async fn get(&self) -> Answer {
        Http::to(self.address).await.engine_io("GET", &self.query(), "").await
    }

    pub(super) async fn post(&self, body: &str) -> Answer {
        Http::to(self.address).await.engine_io("POST", &self.query(), body).await
    }

    /// A poll that waits for something to answer.
    pub(super) async fn park(&self) -> Http {
        let mut http = Http::to(self.address).await;
        http.ask("GET", &self.query(), "").await;
        http
    }

    /// Enters the namespace. Gives the socket's id.
    pub(super) async fn enter(&self) -> String {
        assert_eq!(self.post("40").await.body, "ok");
        let connected = self.get().await.body;
        assert!(connected.starts_with("40{\"sid\""), "{connected}");
        connected.split('"').nth(3).expect("a socket id").to_owned()
    }
}
