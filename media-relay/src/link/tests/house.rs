//! A relay that is played: streams are here because the test says so, and what is delivered is kept for it.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use prometheus::Registry;
use tokio::sync::mpsc;
use turnpike_audit::Audit;
use turnpike_wire::{Code, Failure, RoomId};

use crate::carry::{Blocked, Carried, CarriedStream, Delivered, Down, Downward, PipeId, Upward};
use crate::link::ends::Ends;
use crate::link::{LinkTarget, Links, LinksConfig};

/// What takes longer is broken.
pub(super) const BROKEN: Duration = Duration::from_secs(10);
pub(super) const SECRET: [u8; 32] = [7; 32];

#[derive(Default)]
pub(super) struct Played {
    pipes: AtomicU64,
    state: Mutex<State>,
    delivered: Mutex<Option<mpsc::UnboundedSender<(PipeId, Delivered)>>>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) here: HashSet<RoomId>,
    /// Of all streams here.
    pub(super) path: Vec<u64>,
    pub(super) branches_max: usize,
    pub(super) branches: HashMap<PipeId, Downward>,
    pub(super) feeds: HashMap<PipeId, Upward>,
    pub(super) unpiped: Vec<PipeId>,
    /// Nothing more fits into the shard.
    pub(super) is_full: bool,
}

impl Ends for Played {
    fn next_pipe(&self) -> PipeId {
        PipeId(self.pipes.fetch_add(1, Ordering::Relaxed))
    }

    fn branch<'a>(&'a self, stream: &'a RoomId, pipe: Downward) -> BoxFuture<'a, Result<(), Failure>> {
        let mut state = self.state();
        let answer = if !state.here.contains(stream) {
            Err(Code::NoSuchStream.into())
        } else if state.branches.len() >= state.branches_max {
            Err(Code::NoRelay.into())
        } else {
            let path = state.path.clone();
            pipe.put(Down::Stream(CarriedStream { path, ..CarriedStream::default() })).unwrap();
            state.branches.insert(pipe.id, pipe);
            Ok(())
        };
        Box::pin(std::future::ready(answer))
    }

    fn feed<'a>(&'a self, _: &'a RoomId, pipe: Upward) -> BoxFuture<'a, Result<(), Failure>> {
        self.state().feeds.insert(pipe.id, pipe);
        Box::pin(std::future::ready(Ok(())))
    }

    fn unpipe<'a>(&'a self, _: &'a RoomId, pipe: PipeId) -> BoxFuture<'a, ()> {
        let mut state = self.state();
        state.branches.remove(&pipe);
        state.feeds.remove(&pipe);
        state.unpiped.push(pipe);
        Box::pin(std::future::ready(()))
    }

    fn deliver(&self, _: &RoomId, pipe: PipeId, word: Delivered) -> Result<(), Blocked> {
        if self.state().is_full {
            return Err(Blocked::Full);
        }
        if let Some(delivered) = &*self.delivered.lock().unwrap() {
            // The test may be over.
            let _ = delivered.send((pipe, word));
        }
        Ok(())
    }
}

impl Played {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

pub(super) struct Node {
    pub(super) incarnation: u64,
    pub(super) relay: Arc<Played>,
    pub(super) links: Links,
    pub(super) registry: Registry,
    pub(super) delivered: mpsc::UnboundedReceiver<(PipeId, Delivered)>,
}

impl Node {
    /// Of which others get one stream, called `live`.
    pub(super) fn start(incarnation: u64) -> Self {
        Self::with(incarnation, SECRET)
    }

    pub(super) fn with(incarnation: u64, secret: [u8; 32]) -> Self {
        let relay = Arc::new(Played::default());
        let (sender, delivered) = mpsc::unbounded_channel();
        *relay.delivered.lock().unwrap() = Some(sender);
        relay.state().here.insert(live());
        relay.state().branches_max = 16;
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let registry = Registry::new();
        let ends: Arc<dyn Ends> = relay.clone();
        let links = Links::between(
            &LinksConfig { incarnation, address, secret, audit: Audit::nowhere() },
            ends,
            &registry,
        )
        .unwrap();
        Self { incarnation, relay, links, registry, delivered }
    }

    pub(super) fn target(&self) -> LinkTarget {
        LinkTarget { incarnation: self.incarnation, address: self.links.local_addr() }
    }

    pub(super) async fn next(&mut self) -> (PipeId, Delivered) {
        tokio::time::timeout(BROKEN, self.delivered.recv()).await.expect("it comes").unwrap()
    }

    /// Puts it into all branches.
    pub(super) fn say(&self, word: &Down) {
        for branch in self.relay.state().branches.values() {
            let _ = branch.put(word.clone());
        }
    }

    /// The sum over all labels.
    pub(super) fn metric(&self, name: &str) -> u64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == format!("turnpike_media_link_{name}"));
        let metrics = family.unwrap_or_else(|| panic!("there is no {name}")).get_metric();
        let sum: f64 = metrics
            .iter()
            .map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value())
            .sum();
        sum as u64
    }
}

pub(super) fn live() -> RoomId {
    "live".parse().unwrap()
}

pub(super) fn packet(sequence: u16, bytes: usize) -> Down {
    Down::Packet(Carried {
        track: 1,
        layer: 0,
        life: 0,
        is_again: false,
        marker: true,
        sequence,
        timestamp: u32::from(sequence) * 3_000,
        extensions: Bytes::new(),
        payload: vec![sequence as u8; bytes].into(),
    })
}

pub(super) async fn until(mut what: impl FnMut() -> bool) {
    let since = Instant::now();
    while !what() {
        assert!(since.elapsed() < BROKEN, "it does not come");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
