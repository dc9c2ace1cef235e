//! One client that floods must not keep the others of its shard waiting.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::lab::{Client, Lab};

/// An echo takes microseconds on an idle shard. What was wrong here made it a second and more; the rest is for a machine
/// that does other things as well.
const PATIENCE: Duration = Duration::from_millis(600);

/// A websocket whose client does nothing but write, as fast as it can.
struct Flood {
    stopped: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Flood {
    fn begin(lab: &Lab, count: usize, query: &str, first: &[u8], then: &[u8]) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let head = format!(
            "GET /socket.io/?EIO=4&transport=websocket{query} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\n\
             upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let threads = (0..count).map(|_| {
            let mut stream = TcpStream::connect(lab.server.local_addr()).expect("it listens");
            let (stopped, begin, then) = (
                Arc::clone(&stopped),
                [head.as_bytes(), first].concat(),
                then.repeat(64 * 1_024 / then.len()),
            );
            std::thread::spawn(move || {
                stream.write_all(&begin).expect("it reads");
                let mut answer = [0; 4_096];
                let _ = stream.read(&mut answer).expect("it answers");
                while !stopped.load(Ordering::Relaxed) && stream.write_all(&then).is_ok() {}
            })
        });
        Self { threads: threads.collect(), stopped }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

async fn longest_echo(client: &mut Client) -> Duration {
    let mut longest = Duration::ZERO;
    for number in 0..20 {
        let begun = Instant::now();
        client.send(&format!("42{number}{}", json!(["echo", number]))).await;
        assert_eq!(client.text().await, format!("43{number}[{number}]"));
        longest = longest.max(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    longest
}

fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode, 0x80 | u8::try_from(payload.len()).expect("short"), 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    frame
}

#[tokio::test]
async fn alone_others_are_served_while_a_probe_floods() {
    let lab = Lab::start(Lab::config());
    let mut bystander = lab.client().await;
    let session = lab.polling().await;
    // Pongs that nobody asked for are allowed everywhere.
    let _flood = Flood::begin(&lab, 2, &session.query(), b"", &frame(10, b"x".repeat(100).as_slice()));
    let longest = longest_echo(&mut bystander).await;
    assert!(longest < PATIENCE, "{longest:?}");
}

#[tokio::test]
async fn alone_others_are_served_while_a_closed_connection_floods() {
    let lab = Lab::start(Lab::config());
    let mut bystander = lab.client().await;
    // An unknown packet type, and then whatever.
    let _flood = Flood::begin(&lab, 2, "", &frame(1, b"9"), &[0; 1_024]);
    let longest = longest_echo(&mut bystander).await;
    assert!(longest < PATIENCE, "{longest:?}");
}

#[tokio::test]
async fn alone_others_are_served_while_a_client_floods() {
    let lab = Lab::start(Lab::config());
    let mut bystander = lab.client().await;
    let _flood = Flood::begin(&lab, 2, "", &frame(1, b"40"), &frame(1, b"42[\"echo\"]"));
    let longest = longest_echo(&mut bystander).await;
    assert!(longest < PATIENCE, "{longest:?}");
}
