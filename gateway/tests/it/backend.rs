//! A backend that is told things, or asked: it fails, hangs, redirects and talks too much as a test wants it to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use turnpike_gateway::Webhooks;

use crate::house::{BROKEN, unix_seconds};

pub(crate) const FIRST: &[u8] = b"the first secret of the webhooks";
pub(crate) const SECOND: &[u8] = b"the second secret of the webhooks";

#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Status(u16),
    /// With 200.
    Says(Value),
    /// The same, once this is so.
    SaysOnce(watch::Receiver<bool>, Value),
    /// To another path of the same receiver.
    Redirect,
    /// Never.
    None,
    /// A body without an end.
    Endless,
}

pub(crate) struct Request {
    pub(crate) path: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    async fn read(stream: &mut TcpStream) -> Option<Self> {
        let mut read = Vec::new();
        let end = loop {
            if let Some(at) = read.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut read).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8(read[..end].to_vec()).unwrap();
        let mut lines = head.lines();
        let path = lines.next().unwrap().strip_prefix("POST ").unwrap().split(' ').next().unwrap().to_owned();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let mut request = Self { path, headers, body: read.split_off(end) };
        let length: usize = request.header("content-length").parse().unwrap();
        while request.body.len() < length {
            assert_ne!(stream.read_buf(&mut request.body).await.ok()?, 0);
        }
        Some(request)
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        &found.unwrap_or_else(|| panic!("{name}: {:?}", self.headers)).1
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn events(&self) -> Vec<Value> {
        self.json()["events"].as_array().unwrap().clone()
    }

    /// Signed just now, once with each of these.
    pub(crate) fn assert_signed(&self, secrets: &[&[u8]]) {
        let timestamp = self.header("turnpike-webhook-timestamp");
        assert!(unix_seconds().abs_diff(timestamp.parse().unwrap()) < 20, "{timestamp}");
        let said = [format!("{timestamp}.").as_bytes(), &self.body].concat();
        let signatures: Vec<&str> = self.header("turnpike-webhook-signature").split(',').collect();
        assert_eq!(signatures.len(), secrets.len());
        for (signature, secret) in signatures.into_iter().zip(secrets) {
            let hex = signature.strip_prefix("v1=").unwrap();
            let bytes: Vec<u8> = (0..hex.len() / 2)
                .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
                .collect();
            hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, secret), &said, &bytes).unwrap();
        }
    }
}

pub(crate) struct Backend {
    pub(crate) port: u16,
    pub(crate) requests: mpsc::UnboundedReceiver<Request>,
}

impl Backend {
    /// Answers as it is told, then with 200.
    pub(crate) async fn start(answers: &[Answer]) -> Self {
        let mut answers: VecDeque<Answer> = answers.iter().cloned().collect();
        Self::answering(move |_| answers.pop_front().unwrap_or(Answer::Status(200))).await
    }

    pub(crate) async fn answering(answer: impl FnMut(&Request) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, requests) = mpsc::unbounded_channel();
        let answer = Arc::new(Mutex::new(answer));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (sender, answer) = (sender.clone(), Arc::clone(&answer));
                tokio::spawn(async move {
                    while let Some(request) = Request::read(&mut stream).await {
                        let answer = (*answer.lock().unwrap())(&request);
                        if sender.send(request).is_err() || give(&mut stream, answer).await.is_none() {
                            return;
                        }
                    }
                });
            }
        });
        Self { port, requests }
    }

    pub(crate) fn webhooks(&self) -> Webhooks {
        let url = format!("http://127.0.0.1:{}/hook", self.port);
        Webhooks { allow_private: true, ..Webhooks::new(url, FIRST) }
    }

    pub(crate) async fn next(&mut self) -> Request {
        tokio::time::timeout(BROKEN, self.requests.recv()).await.expect("a request").unwrap()
    }

    /// The next events, however they are batched.
    pub(crate) async fn events(&mut self, count: usize) -> Vec<Value> {
        let mut events = Vec::new();
        while events.len() < count {
            events.extend(self.next().await.events());
        }
        assert_eq!(events.len(), count, "{events:?}");
        events
    }
}

async fn give(stream: &mut TcpStream, answer: Answer) -> Option<()> {
    match answer {
        Answer::Status(status) => {
            let text = format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\n\r\nok");
            stream.write_all(text.as_bytes()).await.ok()
        }
        Answer::Says(value) => {
            let text = value.to_string();
            let text = format!("HTTP/1.1 200 X\r\ncontent-length: {}\r\n\r\n{text}", text.len());
            stream.write_all(text.as_bytes()).await.ok()
        }
        Answer::SaysOnce(mut watch, value) => {
            watch.wait_for(|so| *so).await.ok()?;
            Box::pin(give(stream, Answer::Says(value))).await
        }
        Answer::Redirect => {
            let text = "HTTP/1.1 307 X\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(text.as_bytes()).await.ok()
        }
        Answer::None => std::future::pending().await,
        Answer::Endless => {
            stream.write_all(b"HTTP/1.1 200 X\r\n\r\n").await.ok()?;
            loop {
                stream.write_all(&[b'x'; 4096]).await.ok()?;
            }
        }
    }
}
