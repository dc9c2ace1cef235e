//! A path between two relays that loses some, or all, of what goes over it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    way: Arc<Way>,
    task: JoinHandle<()>,
}

struct Way {
    cut: AtomicBool,
    cut_back: AtomicBool,
    lost_permille: u64,
    delay: Duration,
    random: AtomicU64,
    /// What it carries in each direction, and when each is free again.
    bytes_per_second: Option<u64>,
    free: [Mutex<Instant>; 2],
}

/// What waits longer for a narrow path is lost.
const QUEUE: Duration = Duration::from_millis(100);

impl Proxy {
    pub(super) async fn start(to: SocketAddr, seed: u64, lost_permille: u64) -> Self {
        Self::slow(to, seed, lost_permille, Duration::ZERO).await
    }

    /// With a delay in each direction.
    pub(super) async fn slow(to: SocketAddr, seed: u64, lost_permille: u64, delay: Duration) -> Self {
        Self::narrow(to, seed, lost_permille, delay, None).await
    }

    pub(super) async fn narrow(
        to: SocketAddr,
        seed: u64,
        lost_permille: u64,
        delay: Duration,
        bytes_per_second: Option<u64>,
    ) -> Self {
        println!("a path that loses {lost_permille} of a thousand, seed {seed}");
        let front = Arc::new(bind().await);
        let address = front.local_addr().unwrap();
        let random = AtomicU64::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let way = Arc::new(Way {
            cut: AtomicBool::new(false),
            cut_back: AtomicBool::new(false),
            lost_permille,
            delay,
            random,
            bytes_per_second,
            free: [Mutex::new(Instant::now()), Mutex::new(Instant::now())],
        });
        let task = tokio::spawn(forward(front, to, Arc::clone(&way)));
        Self { address, way, task }
    }

    pub(super) fn cut(&self, is_cut: bool) {
        self.way.cut.store(is_cut, Ordering::Relaxed);
    }

    /// Nothing comes back any more.
    pub(super) fn cut_back(&self) {
        self.way.cut_back.store(true, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(front: Arc<UdpSocket>, to: SocketAddr, way: Arc<Way>) {
    let mut backs: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    // They end with this task.
    let mut tasks = JoinSet::new();
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok((len, from)) = front.recv_from(&mut buffer).await else { continue };
        let back = if let Some(back) = backs.get(&from) {
            back
        } else {
            let back = Arc::new(bind().await);
            let (front, way, own) = (Arc::clone(&front), Arc::clone(&way), Arc::clone(&back));
            tasks.spawn(async move {
                let mut buffer = vec![0; 65_536];
                loop {
                    let Ok((len, _)) = own.recv_from(&mut buffer).await else { continue };
                    if way.cut_back.load(Ordering::Relaxed) {
                        continue;
                    }
                    way.send(&front, &buffer[..len], from, 1).await;
                }
            });
            backs.entry(from).or_insert(back)
        };
        way.send(back, &buffer[..len], to, 0).await;
    }
}

impl Way {
    async fn send(&self, socket: &Arc<UdpSocket>, datagram: &[u8], to: SocketAddr, direction: usize) {
        if self.cut.load(Ordering::Relaxed) || self.next() % 1_000 < self.lost_permille {
            return;
        }
        let mut at = Instant::now();
        if let Some(bytes_per_second) = self.bytes_per_second {
            let mut free = self.free[direction].lock().unwrap();
            let begins = at.max(*free);
            if begins - at > QUEUE {
                return;
            }
            *free = begins + Duration::from_secs_f64(datagram.len() as f64 / bytes_per_second as f64);
            at = *free;
        } else if self.delay.is_zero() {
            let _ = socket.send_to(datagram, to).await;
            return;
        }
        let (socket, datagram, at) = (Arc::clone(socket), datagram.to_vec(), at + self.delay);
        tokio::spawn(async move {
            sleep_until(at).await;
            let _ = socket.send_to(&datagram, to).await;
        });
    }

    /// SplitMix64.
    fn next(&self) -> u64 {
        let state = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

async fn bind() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}
