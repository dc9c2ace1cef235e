//! The least of a Socket.IO client: long-polling by hand. What real clients make of the system is tested elsewhere.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::process::{PATIENCE, get};

pub(crate) struct Client {
    gateway: String,
    path: String,
}

impl Client {
    /// Opens a session, and asks to enter with `token`.
    pub(crate) fn enter(gateway: &str, token: &str) -> Self {
        let client = Self::open(gateway);
        client.send(&format!(r#"40{{"token":"{token}"}}"#));
        client
    }

    /// Opens a session and goes no further.
    pub(crate) fn open(gateway: &str) -> Self {
        const PATH: &str = "/socket.io/?EIO=4&transport=polling";
        let (status, open) = get(gateway, PATH);
        let opened: serde_json::Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
        assert_eq!(status, 200);
        Self { gateway: gateway.into(), path: format!("{PATH}&sid={}", opened["sid"].as_str().unwrap()) }
    }

    pub(crate) fn send(&self, packet: &str) {
        let Self { gateway, path } = self;
        let mut stream = TcpStream::connect(gateway).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = packet.len();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: {gateway}\r\nContent-Type: text/plain;charset=UTF-8\r\n"
        )
        .unwrap();
        write!(stream, "Connection: close\r\nContent-Length: {length}\r\n\r\n{packet}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// Polls until a packet begins with `start`, and gives it.
    pub(crate) fn receive(&self, start: &str) -> String {
        for _ in 0..20 {
            let (status, packets) = get(&self.gateway, &self.path);
            assert_eq!(status, 200, "{packets}");
            for packet in packets.split('\u{1e}') {
                if packet == "2" {
                    self.send("3");
                }
                if packet.starts_with(start) {
                    return packet.to_owned();
                }
            }
        }
        panic!("nothing begins with {start}")
    }
}
