//! A client as any other, in a thread of its own: every 20 ms a message, and how long its answer takes. It does not wait for
//! one answer before it asks again, so a stall is seen at its full length by all that fall into it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpSocket;
use tokio_tungstenite::tungstenite::Message;

use super::arena::Arena;

const EVERY: Duration = Duration::from_millis(20);

/// When each question was to be asked, and when it was answered.
type Log = Arc<Mutex<BTreeMap<u64, (Instant, Option<Instant>)>>>;

pub(super) struct Canary {
    log: Log,
    ends: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Canary {
    /// It is in its room when this returns.
    pub(super) fn begin(arena: &Arena) -> Self {
        let (log, ends) = (Log::default(), Arc::new(AtomicBool::new(false)));
        let (its_log, its_end) = (Arc::clone(&log), Arc::clone(&ends));
        let (gateway, token) = (arena.gateway(), arena.token("canary"));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(sing(gateway, &token, &its_log, &its_end));
        });
        let begun = Instant::now();
        while log.lock().unwrap().values().all(|(_, answered)| answered.is_none()) {
            assert!(
                !thread.is_finished() && begun.elapsed() < Duration::from_secs(20),
                "the canary does not sing"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { log, ends, thread }
    }

    /// How long the answers took to what was asked between the two, sorted. What is not answered yet has taken so long so far.
    pub(super) fn between(&self, begun: Instant, ended: Instant) -> Vec<Duration> {
        assert!(!self.thread.is_finished(), "the canary has lost its connection");
        let log = self.log.lock().unwrap();
        let mut latencies: Vec<Duration> = log
            .values()
            .filter(|(asked, _)| (begun..ended).contains(asked))
            .map(|(asked, answered)| answered.unwrap_or_else(Instant::now).duration_since(*asked))
            .collect();
        latencies.sort_unstable();
        latencies
    }

    pub(super) fn end(self) {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().expect("the canary sings to the end");
    }
}

async fn sing(gateway: std::net::SocketAddr, token: &str, log: &Log, ends: &AtomicBool) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.1.1:0".parse().unwrap()).unwrap();
    let stream = socket.connect(gateway).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let url = format!("ws://{gateway}/socket.io/?EIO=4&transport=websocket");
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    for text in [format!(r#"40{{"token":"{token}"}}"#), r#"420["room:join",{"room":"canary:a"}]"#.to_owned()]
    {
        socket.send(Message::text(text)).await.unwrap();
    }
    let (mut number, mut next) = (0, tokio::time::Instant::now());
    while !ends.load(Ordering::Relaxed) {
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(next) => {
                number += 1;
                log.lock().unwrap().insert(number, (next.into_std(), None));
                next += EVERY;
                let text = format!(r#"42{number}["message:send",{{"room":"canary:a","body":{number}}}]"#);
                socket.send(Message::text(text)).await.expect("the canary stays connected");
            }
            came = socket.next() => {
                let Some(Ok(came)) = came else { panic!("the canary was sent away: {came:?}") };
                let Message::Text(text) = came else { continue };
                if text == "2" {
                    socket.send(Message::text("3")).await.expect("the canary stays connected");
                } else if let Some(rest) = text.strip_prefix("43") {
                    let (number, answer) = rest.split_at(rest.find('[').expect("an answer"));
                    assert!(answer.contains("\"ok\":true"), "the canary was refused: {answer}");
                    let mut log = log.lock().unwrap();
                    if let Some((_, answered)) = log.get_mut(&number.parse().expect("a number")) {
                        *answered = Some(Instant::now());
                    }
                }
            }
        }
    }
}
