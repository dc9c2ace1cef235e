//! The nodes as the router sees them: who is there by the cluster's membership, who is up by a request each quarter of a
//! second and by what becomes of handshakes.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use turnpike_cluster::{Incarnation, Node};

use crate::choice::{Choice, Seat, Strategy};
use crate::load::Load;
use crate::sign_of_life::{self, Sign};
use crate::spare::Spare;
use crate::suspicion::Suspicion;

/// How often nodes are asked whether they are there.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// One lost answer is chance, two are not: a node that stands still is left within a second.
const FAILURES_MAX: u32 = 2;

pub(crate) struct Roster {
    nodes: watch::Receiver<Arc<[Node]>>,
    /// By which one is chosen, and how much nodes carry where it is not 1.
    rule: ArcSwap<(Strategy, HashMap<String, usize>)>,
    ruled: Notify,
    choice: ArcSwap<Choice>,
    /// How often those failed in a row that did not answer last.
    failing: ArcSwap<HashMap<SocketAddr, u32>>,
    suspicion: Mutex<Suspicion>,
    pub(crate) spare: Spare,
    /// Told of whenever it may be another who is up.
    turns: watch::Sender<()>,
    /// How long those that are up take to say that they live, after each look.
    strain: watch::Sender<Duration>,
    pub(crate) load: Arc<Load>,
}

impl Roster {
    pub(crate) fn new(
        nodes: watch::Receiver<Arc<[Node]>>,
        strategy: Strategy,
        weights: HashMap<String, usize>,
    ) -> Self {
        let load = Arc::new(Load::default());
        let choice = ArcSwap::from_pointee(Choice::new(Vec::new(), strategy, Arc::clone(&load)));
        let (failing, suspicion, spare) = (ArcSwap::default(), Mutex::default(), Spare::default());
        let (turns, strain) = (watch::Sender::new(()), watch::Sender::new(Duration::ZERO));
        let rule = ArcSwap::from_pointee((strategy, weights));
        let roster = Self {
            nodes,
            rule,
            ruled: Notify::new(),
            choice,
            failing,
            suspicion,
            spare,
            turns,
            strain,
            load,
        };
        roster.update();
        roster
    }

    /// Follows the membership and looks after the nodes, until the membership ends.
    pub(crate) async fn keep(&self) {
        let mut nodes = self.nodes.clone();
        let mut due = tokio::time::interval(CHECK_INTERVAL);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = nodes.changed() => match changed {
                    Ok(()) => self.update(),
                    Err(_) => return,
                },
                () = self.ruled.notified() => self.update(),
                _ = due.tick() => self.check().await,
            }
        }
    }

    /// From now on sessions are given to nodes by another rule. Those that are there stay where they are.
    pub(crate) fn replace_rule(&self, strategy: Strategy, weights: HashMap<String, usize>) {
        self.rule.store(Arc::new((strategy, weights)));
        // One task alone makes the choice anew: two could put an older one in the place of a newer.
        self.ruled.notify_one();
    }

    fn update(&self) {
        let nodes = self.nodes();
        let rule = self.rule.load();
        let (strategy, weights) = &**rule;
        // Who drains, or is there for live video alone, gets no session, and is found by its name all the same.
        let seat = |node: &Node| {
            let weight = weights.get(&node.name).copied().unwrap_or(1).max(1);
            Some(Seat { name: node.name.clone(), address: node.address?, weight })
        };
        let seats: Vec<Seat> = nodes.iter().filter(|node| node.takes_users()).filter_map(seat).collect();
        let choice = self.choice.load();
        if choice.seats != seats || choice.strategy() != *strategy {
            self.choice.store(Arc::new(Choice::new(seats, *strategy, Arc::clone(&self.load))));
        }
        self.suspicion().keep(|address| nodes.iter().any(|node| node.address == Some(address)));
        self.turns.send_replace(());
    }

    /// All at once, and no longer than one of them may take.
    async fn check(&self) {
        let mut asked = JoinSet::new();
        for seat in &self.choice.load().seats {
            let address = seat.address;
            asked.spawn(async move { (address, sign_of_life::of(address).await) });
        }
        let before = self.failing.load_full();
        let mut failing = HashMap::new();
        let mut times = Vec::new();
        while let Some(Ok((address, sign))) = asked.join_next().await {
            let failures = before.get(&address).copied().unwrap_or_default();
            let lives = matches!(sign, Sign::Lives(_));
            times.extend(sign.took());
            if lives && failures >= FAILURES_MAX {
                tracing::info!(node = %address, "node answers again");
            }
            if !lives {
                failing.insert(address, failures.saturating_add(1));
                if failures + 1 == FAILURES_MAX {
                    tracing::warn!(node = %address, "node does not answer: it gets no new sessions");
                }
            }
        }
        self.failing.store(Arc::new(failing));
        self.turns.send_replace(());
        // That of the middle one, of two the faster one: a single node that is sick is passed by, and slows nobody else.
        times.sort_unstable();
        let middle = times.get(times.len().saturating_sub(1) / 2).copied();
        self.strain.send_replace(middle.unwrap_or_default());
    }

    pub(crate) fn is_up(&self, address: SocketAddr) -> bool {
        let answers = self.failing.load().get(&address).is_none_or(|failures| *failures < FAILURES_MAX);
        answers && !self.suspicion().is_passed_by(address, Instant::now())
    }

    /// Whether somebody is up who was not tried.
    pub(crate) fn is_another_up(&self, tried: &[SocketAddr]) -> bool {
        let choice = self.choice.load();
        let mut others = choice.seats.iter().map(|seat| seat.address).filter(|seat| !tried.contains(seat));
        others.any(|other| self.is_up(other))
    }

    /// A handshake that was begun then came to nothing at this node.
    pub(crate) fn failed(&self, node: SocketAddr, begun: Instant) {
        if self.suspicion().failed(node, begun, Instant::now()) {
            tracing::warn!(%node, "handshakes come to nothing at a node: it is passed by for a while");
            self.turns.send_replace(());
        }
    }

    pub(crate) fn answered(&self, node: SocketAddr) {
        self.suspicion().answered(node, Instant::now());
    }

    /// Whether a handshake that this node is late with is to be given to another one.
    pub(crate) fn gives_up(&self, node: SocketAddr) -> bool {
        self.suspicion().is_silent(node, Instant::now()) || self.spare.take()
    }

    /// Changes when it may be another who is up.
    pub(crate) fn turns(&self) -> watch::Receiver<()> {
        self.turns.subscribe()
    }

    /// How long nodes take to say that they live: that of the middle one, after each look.
    pub(crate) fn strain(&self) -> watch::Receiver<Duration> {
        self.strain.subscribe()
    }

    fn suspicion(&self) -> MutexGuard<'_, Suspicion> {
        self.suspicion.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a node is, also one that drains.
    pub(crate) fn find(&self, name: &str) -> Option<SocketAddr> {
        self.nodes.borrow().iter().find(|node| node.name == name)?.address
    }

    pub(crate) fn find_relay(&self, relay: Incarnation) -> Option<SocketAddr> {
        self.nodes.borrow().iter().find(|node| node.incarnation == relay)?.address
    }

    /// Whether somebody still is at this address.
    pub(crate) fn has(&self, address: SocketAddr) -> bool {
        self.nodes.borrow().iter().any(|node| node.address == Some(address))
    }

    pub(crate) fn nodes(&self) -> Arc<[Node]> {
        Arc::clone(&self.nodes.borrow())
    }

    pub(crate) fn changes(&self) -> watch::Receiver<Arc<[Node]>> {
        self.nodes.clone()
    }

    /// Who takes it: by the strategy, of those that are up and were not tried. Where nobody seems to be up, of all: it may be the
    /// router that sees badly.
    pub(crate) fn choose(&self, key: &str, tried: &[SocketAddr]) -> Option<SocketAddr> {
        let choice = self.choice.load();
        self.first_up(&choice, choice.order(key), tried)
    }

    /// Where a room or user belongs, whatever the strategy.
    pub(crate) fn home(&self, key: &str) -> Option<SocketAddr> {
        let choice = self.choice.load();
        self.first_up(&choice, choice.belongs(key), &[])
    }

    fn first_up(&self, choice: &Choice, order: Vec<usize>, tried: &[SocketAddr]) -> Option<SocketAddr> {
        let mut fresh = order
            .into_iter()
            .map(|index| choice.seats[index].address)
            .filter(|address| !tried.contains(address));
        let first = fresh.next()?;
        if self.is_up(first) {
            Some(first)
        } else {
            fresh.find(|address| self.is_up(*address)).or(Some(first))
        }
    }

    /// How many take sessions, do not answer, and drain.
    pub(crate) fn census(&self) -> Census {
        let choice = self.choice.load();
        let up = choice.seats.iter().filter(|seat| self.is_up(seat.address)).count();
        let draining =
            self.nodes.borrow().iter().filter(|node| node.draining && node.address.is_some()).count();
        Census { up, down: choice.seats.len() - up, draining }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Census {
    pub(crate) up: usize,
    pub(crate) down: usize,
    pub(crate) draining: usize,
}
