//! What is done to the sample cluster so that alerts have a cause: attacks from outside, limits of the system that are
//! drawn close, a disk that is full.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

use super::clients::{Talker, connect, open};
use crate::roaming::Pair;

const DISK_BYTES: &str = "8m";
const FILLING: &str = "filling";
/// Addresses from which bad tokens come; one alone would soon be shut out.
const GUESSERS: u8 = 60;
const SLOW: u8 = 8;
const FLOODERS: u8 = 8;

/// A disk of a few megabytes, where this machine lets one be made. It goes with its value.
pub struct FullDisk(PathBuf);

impl FullDisk {
    pub fn mount(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let options = ["-t", "tmpfs", "-o", &format!("size={DISK_BYTES}"), "tmpfs"];
        let mounted = Command::new("mount").args(options).arg(at).output();
        let is_mounted = mounted.is_ok_and(|output| output.status.success());
        if !is_mounted {
            println!("no disk of its own for the audit log: it is not filled here");
        }
        is_mounted.then(|| Self(at.to_owned()))
    }

    pub fn fill(&self) {
        // Until it takes no more.
        let _ = fs::write(self.0.join(FILLING), vec![0; 64 << 20]);
    }

    pub fn clear(&self) {
        fs::remove_file(self.0.join(FILLING)).unwrap();
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        // Lazily: the node may have files open there.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Draws the limit of a process that runs close to what it has open, with some to spare for whoever asks how it is.
pub fn leave_few_descriptors(process: u32) {
    let count = || fs::read_dir(format!("/proc/{process}/fd")).unwrap().count();
    // Connections of before may be on their way out.
    let (mut open, mut since) = (count(), Instant::now());
    while since.elapsed() < Duration::from_secs(1) {
        std::thread::sleep(Duration::from_millis(50));
        let now = count();
        if now != open {
            (open, since) = (now, Instant::now());
        }
    }
    let limit = open + open / 8 + 4;
    let status = Command::new("prlimit")
        .args(["--pid", &process.to_string(), &format!("--nofile={limit}:")])
        .status()
        .unwrap();
    assert!(status.success());
}

/// With a token that nobody has signed: somebody has to write that down.
pub fn knock(node: SocketAddr) {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let from = Ipv4Addr::new(127, 0, 6, NEXT.fetch_add(1, Ordering::Relaxed).max(1));
    tokio::spawn(refused(node, from));
}

async fn refused(node: SocketAddr, from: Ipv4Addr) {
    if let Some(mut socket) = connect(node, from, "a.b.c").await {
        let is_refusal = |text: &str| text.starts_with("44");
        let answered = async {
            while let Some(Ok(message)) = socket.next().await {
                if message.to_text().is_ok_and(is_refusal) {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), answered).await;
    }
}

/// All at once, until they are ended.
pub struct Attacks {
    tasks: Vec<JoinHandle<()>>,
    _flooders: Vec<Talker>,
}

impl Attacks {
    pub async fn begin(pair: &Pair, small: SocketAddr) -> Self {
        let (node, admin) = (pair.nodes[1].gateway, pair.nodes[1].admin);
        let room = vec!["chat:flood".to_owned()];
        let mut flooders = Vec::new();
        for number in 0..FLOODERS {
            let token = pair.token(&format!("flooder-{number}"));
            let flooder = Talker::enter_from(Ipv4Addr::new(127, 0, 7, number), node, &token, &room).await;
            for body in 0..500 {
                flooder.say("message:send", &json!({ "room": room[0], "body": body }));
            }
            flooders.push(flooder);
        }
        let tasks = vec![
            tokio::spawn(guess(node)),
            tokio::spawn(crowd(small)),
            tokio::spawn(do_not_read(node, pair.token("deaf"), pair.token("loud"))),
            tokio::spawn(look_in(admin)),
        ];
        Self { tasks, _flooders: flooders }
    }

    pub fn end(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn guess(node: SocketAddr) {
    loop {
        for last in 1..=GUESSERS {
            refused(node, Ipv4Addr::new(127, 0, 3, last)).await;
        }
    }
}

/// More than the node has room for.
async fn crowd(node: SocketAddr) {
    let mut held = Vec::new();
    for last in (1..=250).cycle() {
        let knock = open(node, Ipv4Addr::new(127, 0, 4, last));
        held.extend(tokio::time::timeout(Duration::from_secs(1), knock).await.ok().flatten());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The metrics, without a token, from everywhere.
async fn look_in(admin: SocketAddr) {
    for last in (1..=250).cycle() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((IpAddr::from([127, 0, 8, last]), 0).into()).unwrap();
        if let Ok(mut stream) = socket.connect(admin).await {
            let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            let (mut answer, _) = (Vec::new(), stream.write_all(request).await);
            let _ = stream.read_to_end(&mut answer).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Some join a room in which much is said, and read nothing of it.
async fn do_not_read(node: SocketAddr, token: String, loud: String) {
    let room = vec!["chat:loud".to_owned()];
    let speaker = Talker::enter(node, &loud, &room).await;
    loop {
        let mut deaf = Vec::new();
        for number in 0..SLOW {
            let from = Ipv4Addr::new(127, 0, 5, 1 + number);
            let Some(mut socket) = connect(node, from, &token).await else { continue };
            let join = json!(["room:join", { "room": room[0] }]);
            let _ = socket.send(Message::text(format!("421{join}"))).await;
            deaf.push(socket);
        }
        for _ in 0..40 {
            speaker.say("message:send", &json!({ "room": room[0], "body": "x".repeat(60_000) }));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
