//! This node among the others: renews its lease, and sees who else does.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{info, warn};

use super::access::{Access, bytes_of};
use super::census::Census;
use super::keys::Keys;
use super::lease::{OwnLease, REVOCABLE};
use super::reply;
use super::slot::slot_of;
use super::standing::{Grave, Standing, Verdict};
use crate::{Incarnation, Lease, Membership, Node, RelayOffer, Soon, Unavailable};

/// A lease lasts three of them, so two may be lost.
const RENEWAL_PAUSE: Duration = Duration::from_secs(1);

/// After one that failed.
const RENEWAL_PAUSE_SHORT: Duration = Duration::from_millis(200);

/// How often a node that could not renew its lease looks whether anybody can.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// How much everybody has and has to do is told at most once in this time for each node that there is: five times a second by
/// all of them together. So hearing it costs each the same, however many there are.
const FIGURES_PAUSE_PER_NODE: Duration = Duration::from_millis(200);

/// Behind the moment at which somebody's lease lapses, to be the one who sees it.
const SOON_AFTER: Duration = Duration::from_millis(20);
/// A Redis Cluster that has only just been started, or elects a master, is waited for this long.
const JOIN_WITHIN: Duration = Duration::from_secs(15);
const JOIN_AGAIN: Duration = Duration::from_millis(250);

pub(crate) struct RedisMembership {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    access: Arc<Access>,
    own_lease: Mutex<OwnLease>,
    lease: watch::Sender<Lease>,
    nodes: watch::Sender<Arc<[Node]>>,
    graves: watch::Sender<Arc<[Grave]>>,
    /// Everybody whose lease is not given up.
    expected: watch::Sender<Arc<[Incarnation]>>,
    /// Of these, whose lease has lapsed.
    lapsed: watch::Sender<Arc<[Incarnation]>>,
    /// Counts answers of the store.
    renewals: watch::Sender<u64>,
    node: Mutex<Said>,
    at_once: Notify,
    leaving: watch::Sender<bool>,
}

/// What this node says of itself. What was said is known to the store up to `told`.
struct Said {
    node: Node,
    number: u64,
    told: watch::Sender<u64>,
    /// What is new beyond `told` is figures alone: it can wait.
    is_urgent: bool,
    /// When something was told last.
    told_at: Option<Instant>,
}

impl Said {
    /// Whether figures may be told by now.
    fn is_turn(&self, nodes: usize) -> bool {
        let pause = FIGURES_PAUSE_PER_NODE * u32::try_from(nodes).unwrap_or(u32::MAX);
        self.told_at.is_none_or(|told| told.elapsed() >= pause)
    }

    fn told(&mut self, number: u64, at: Instant) {
        self.told_at = Some(at);
        // What came while it was told has its turn, or is told at once if it is urgent: that is not known any more.
        self.is_urgent &= number < self.number;
        self.told.send_if_modified(|known| {
            let newer = number > *known;
            *known = number.max(*known);
            newer
        });
    }
}

/// Leases, what nodes say, graves, the clock, the changes.
pub(crate) fn nodes_keys(keys: &Keys) -> Vec<String> {
    ["until", "nodes", "graves", "clock", "changes"]
        .iter()
        .map(|what| format!("{{{}:nodes}}:{what}", keys.prefix()))
        .collect()
}

impl RedisMembership {
    /// Takes its place among the nodes. From here on the lease is renewed until the value goes.
    pub(crate) async fn join(access: Arc<Access>) -> Result<Self, Unavailable> {
        let config = &access.client.config;
        let node = Node {
            incarnation: access.own,
            name: config.node.clone(),
            address: config.address,
            version: config.version.clone(),
            draining: false,
            places: None,
            relay: None,
        };
        let length = Duration::from_millis(config.lease_ms);
        let shared = Arc::new(Shared {
            own_lease: Mutex::new(OwnLease::new(length, Instant::now())),
            lease: watch::Sender::new(Lease::Held),
            nodes: watch::Sender::new(Arc::from([node.clone()])),
            graves: watch::Sender::new(Arc::from([])),
            expected: watch::Sender::new(Arc::from([])),
            lapsed: watch::Sender::new(Arc::from([])),
            renewals: watch::Sender::new(0),
            node: Mutex::new(Said {
                node,
                number: 1,
                told: watch::Sender::new(0),
                is_urgent: true,
                told_at: None,
            }),
            at_once: Notify::new(),
            leaving: watch::Sender::new(false),
            access,
        });
        let mut renewer = Renewer { shared: Arc::clone(&shared), census: Census::default() };
        let begun = Instant::now();
        while let Err(unavailable) = renewer.renew().await {
            if begun.elapsed() >= JOIN_WITHIN {
                return Err(unavailable);
            }
            warn!(error = &unavailable as &dyn std::error::Error, "the Redis Cluster takes nobody yet");
            sleep(JOIN_AGAIN).await;
        }
        info!(incarnation = %shared.access.own, "the node has joined the cluster");
        shared.access.runtime.spawn(renewer.run());
        shared.access.runtime.spawn(watch_lease(Arc::clone(&shared)));
        Ok(Self { shared })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl RedisMembership {
    /// Done when the store knows it. If it cannot be asked now it will know it when it can. Figures alone are told when it is
    /// their turn, and nobody waits for that.
    fn say(&self, change: impl FnOnce(&mut Node)) -> Soon<Result<(), Unavailable>> {
        let (number, mut told) = {
            let mut said = self.shared.node.lock().unwrap_or_else(PoisonError::into_inner);
            let before = said.node.clone();
            change(&mut said.node);
            if said.node != before {
                said.number += 1;
                said.is_urgent |= without_figures(&said.node) != without_figures(&before);
            }
            if !said.is_urgent {
                return Soon::Now(Ok(()));
            }
            (said.number, said.told.subscribe())
        };
        self.shared.at_once.notify_one();
        let limit = self.shared.access.client.config.call_deadline;
        Soon::later(async move {
            match timeout(limit, told.wait_for(|told| *told >= number)).await {
                Ok(Ok(_)) => Ok(()),
                _ => Err(Unavailable { retry_after_ms: 1_000 }),
            }
        })
    }
}

/// What others act upon at once.
fn without_figures(node: &Node) -> Node {
    let mut node = node.clone();
    // Whether there are any is no figure.
    node.places = node.places.map(|places| places.min(1));
    if let Some(relay) = &mut node.relay {
        (relay.load_permille, relay.sessions) = (0, 0);
    }
    node
}

impl Drop for RedisMembership {
    /// Without a goodbye: others see the lease lapse.
    fn drop(&mut self) {
        self.shared.leaving.send_replace(true);
    }
}

impl Membership for RedisMembership {
    fn own(&self) -> Incarnation {
        self.shared.access.own
    }

    fn nodes(&self) -> watch::Receiver<Arc<[Node]>> {
        self.shared.nodes.subscribe()
    }

    fn lease(&self) -> watch::Receiver<Lease> {
        self.shared.lease.subscribe()
    }

    fn announce(&self, draining: bool) -> Soon<Result<(), Unavailable>> {
        self.say(|node| node.draining = draining)
    }

    fn vacant(&self, places: u32) -> Soon<Result<(), Unavailable>> {
        self.say(|node| node.places = Some(places))
    }

    fn offer(&self, relay: Option<RelayOffer>) -> Soon<Result<(), Unavailable>> {
        self.say(|node| node.relay = relay)
    }

    fn has_lapsed(&self, node: Incarnation) -> bool {
        self.shared.lapsed.borrow().contains(&node)
            || self.shared.graves.borrow().iter().any(|grave| grave.incarnation == node)
    }

    fn leave(&self) -> Soon<Result<(), Unavailable>> {
        let shared = Arc::clone(&self.shared);
        Soon::later(async move {
            shared.leaving.send_replace(true);
            shared.bury(&[shared.access.own]).await?;
            super::sweep::clear(&shared.access, &[shared.access.own]).await?;
            shared.cleared(&[shared.access.own], false).await
        })
    }
}

impl Shared {
    pub(crate) fn lease(&self) -> watch::Receiver<Lease> {
        self.lease.subscribe()
    }

    pub(crate) fn nodes(&self) -> watch::Receiver<Arc<[Node]>> {
        self.nodes.subscribe()
    }

    /// Those who are dead and not forgotten yet.
    pub(crate) fn graves(&self) -> watch::Receiver<Arc<[Grave]>> {
        self.graves.subscribe()
    }

    /// All who have a lease or may still get it back.
    pub(crate) fn expected(&self) -> Arc<[Incarnation]> {
        Arc::clone(&self.expected.borrow())
    }

    pub(crate) fn leaving(&self) -> watch::Receiver<bool> {
        self.leaving.subscribe()
    }

    /// Waits until nodes and graves are no older than this call.
    pub(crate) async fn refreshed(&self) {
        let mut renewals = self.renewals.subscribe();
        // One may be under way that was asked before.
        let wanted = *renewals.borrow() + 2;
        self.at_once.notify_one();
        let _ = renewals.wait_for(|count| *count >= wanted).await;
    }

    /// The store says that this node is dead. Of one that has said goodbye that is no news.
    pub(crate) fn lose(&self) {
        if *self.leaving.borrow() {
            return;
        }
        let newly = {
            let mut own = self.own_lease.lock().unwrap_or_else(PoisonError::into_inner);
            own.lose();
            self.lease.send_replace(Lease::Lost) != Lease::Lost
        };
        if newly {
            warn!("others have taken this node for dead");
        }
    }

    /// They are dead from now on.
    pub(crate) async fn bury(&self, dead: &[Incarnation]) -> Result<(), Unavailable> {
        let access = &self.access;
        let lease = bytes_of(access.client.config.lease_ms);
        let args = std::iter::once(lease).chain(dead.iter().map(bytes_of)).collect();
        access.call("turnpike_nodes_leave", &nodes_keys(&access.keys), args, reply::number).await.map(drop)
    }

    /// Nothing of them is left but sessions, or nothing at all.
    pub(crate) async fn cleared(&self, dead: &[Incarnation], whole: bool) -> Result<(), Unavailable> {
        let access = &self.access;
        let stage = bytes_of(if whole { 2 } else { 1 });
        let args = std::iter::once(stage).chain(dead.iter().map(bytes_of)).collect();
        access.call("turnpike_nodes_cleared", &nodes_keys(&access.keys), args, reply::number).await.map(drop)
    }

    /// When to look whether anybody can renew a lease.
    fn next_look(&self) -> Instant {
        let now = Instant::now();
        let own = self.own_lease.lock().unwrap_or_else(PoisonError::into_inner);
        own.overdue().max(now + LOOK_PAUSE)
    }

    /// When it was last seen that nobody can renew a lease.
    fn unserved(&self) -> Option<Instant> {
        let access = &self.access;
        access.client.surveyor.unserved(slot_of(&nodes_keys(&access.keys)[0]))
    }

    fn renewed(&self, sent: Instant) {
        self.own_lease.lock().unwrap_or_else(PoisonError::into_inner).renewed(sent);
        self.judge();
    }

    /// Says how the lease is now, and when that changes by itself.
    fn judge(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut own = self.own_lease.lock().unwrap_or_else(PoisonError::into_inner);
        if own.is_overdue(now)
            && let Some(looked) = self.unserved()
        {
            own.nobody_could(looked);
        }
        let lease = own.at(now);
        // Under the lock, or an older judgement could come behind a newer.
        let changed = self.lease.send_if_modified(|known| std::mem::replace(known, lease) != lease);
        let changes = own.changes(now);
        drop(own);
        if changed {
            match lease {
                Lease::Held => info!("the lease is held again"),
                Lease::Doubtful => warn!("the lease could not be renewed in time"),
                Lease::Lost => warn!("the lease is lost: this node must start over"),
            }
        }
        changes
    }
}

/// Says in time that the lease was not renewed, whatever the renewer waits for.
async fn watch_lease(shared: Arc<Shared>) {
    let mut renewals = shared.renewals.subscribe();
    let mut leaving = shared.leaving.subscribe();
    while let Some(change) = shared.judge() {
        tokio::select! {
            biased;
            _ = leaving.wait_for(|leaving| *leaving) => return,
            () = sleep_until(change.min(shared.next_look())) => {}
            changed = renewals.changed() => if changed.is_err() { return },
        }
    }
}

struct Renewer {
    shared: Arc<Shared>,
    census: Census,
}

impl Renewer {
    async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut leaving = shared.leaving.subscribe();
        let mut next = Instant::now() + RENEWAL_PAUSE;
        while *shared.lease.borrow() != Lease::Lost {
            tokio::select! {
                biased;
                _ = leaving.wait_for(|leaving| *leaving) => return,
                () = sleep_until(next) => {}
                () = shared.at_once.notified() => {}
            }
            let begun = Instant::now();
            tokio::select! {
                biased;
                _ = leaving.wait_for(|leaving| *leaving) => return,
                renewed = self.renew() => {
                    next = begun + renewed.unwrap_or(RENEWAL_PAUSE_SHORT);
                }
            }
        }
    }

    /// Gives when to do it again.
    async fn renew(&mut self) -> Result<Duration, Unavailable> {
        let standing = self.ask().await?;
        match standing.verdict {
            Verdict::Held => {}
            Verdict::Lost => {
                self.shared.lose();
                return Ok(RENEWAL_PAUSE);
            }
            Verdict::Unknown => {
                // What was said is not known any more. The next time it is said again, at once.
                let mut said = self.shared.node.lock().unwrap_or_else(PoisonError::into_inner);
                said.number += 1;
                said.is_urgent = true;
                return Ok(Duration::ZERO);
            }
        }
        self.census.hear(standing.news);
        let nodes = self.census.living(&standing.lapsed);
        let shared = &self.shared;
        shared.nodes.send_if_modified(|known| {
            let changed = **known != *nodes;
            if changed {
                *known = nodes.into();
            }
            changed
        });
        shared.expected.send_replace(self.census.everybody().into());
        shared.lapsed.send_replace(standing.lapsed.into());
        shared.graves.send_replace(standing.graves.into());
        shared.renewals.send_modify(|count| *count += 1);
        Ok(RENEWAL_PAUSE.min(standing.soonest + SOON_AFTER))
    }

    async fn ask(&self) -> Result<Standing, Unavailable> {
        let access = &self.shared.access;
        let config = &access.client.config;
        let (words, number) = {
            let said = self.shared.node.lock().unwrap_or_else(PoisonError::into_inner);
            let news =
                *said.told.borrow() < said.number && (said.is_urgent || said.is_turn(self.census.len()));
            let node =
                news.then(|| serde_json::to_string(&said.node).expect("a node is made of what JSON has"));
            (node.unwrap_or_default(), said.number)
        };
        let args = vec![
            access.own_bytes(),
            bytes_of(config.lease_ms),
            bytes_of(REVOCABLE.as_millis()),
            bytes_of(self.census.place()),
            bytes_of(&words),
        ];
        // Long enough for the connection to find out that its process is silent. A call that is tried through a whole
        // failover would count from its beginning.
        let limit = config.reply_deadline * 3 / 2;
        let sent = Instant::now();
        let keys = nodes_keys(&access.keys);
        let called = access.call("turnpike_nodes_renew", &keys, args, Standing::parse);
        let standing = timeout(limit, called).await.unwrap_or(Err(Unavailable { retry_after_ms: 200 }))?;
        if standing.verdict == Verdict::Held {
            self.shared.renewed(sent);
            if !words.is_empty() {
                let mut said = self.shared.node.lock().unwrap_or_else(PoisonError::into_inner);
                said.told(number, sent);
            }
        }
        Ok(standing)
    }
}
