//! A node of the fleet: the stores and followers that a node has in production, over a network that is played. Over them stands
//! as little of a gateway and of a relay as is needed: users in rooms, and streams with a home.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use prometheus::Registry;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};
use turnpike_wire::{RoomId, UserId};

use super::eyes::Eyes;
use super::ledger::Ledger;
use super::network::{Brought, Network};
use crate::letterboxes::Letterboxes;
use crate::redis::RedisConfig;
use crate::redis::access::Access;
use crate::redis::bus::{Bus, Order, PlayedLine};
use crate::redis::client::Client;
use crate::redis::condition::Conditions;
use crate::redis::keys::Keys;
use crate::redis::lanes::Lanes;
use crate::redis::metrics::Metrics;
use crate::redis::seal::Seal;
use crate::redis::stores::Stores;
use crate::redis::surveyor::Surveyor;
use crate::redis::versions::Versions;
use crate::{
    Base, BaseId, Change, Claim, Directory, Incarnation, LANES, LanePosition, Lease, Membership, Node, Over,
    Presence, RelayOffer, Row, RowKey, Sessions, Status,
};

/// As a relay does it.
const CLAIM_LEASE: Duration = Duration::from_secs(6);
const CLAIM_RENEWAL: Duration = Duration::from_secs(2);
const UNRENEWED: Duration = Duration::from_millis(2_500);
/// As a gateway does it.
const BASE_PAUSE: Duration = Duration::from_secs(10);
const READ_PAUSE: Duration = Duration::from_millis(50);
/// A line that is cut is missed by its probes.
const MISSED_AFTER: Duration = Duration::from_secs(2);

pub(super) struct Member {
    pub(super) own: Incarnation,
    pub(super) name: String,
    pub(super) stores: Stores,
    pub(super) eyes: Arc<Eyes>,
    lanes: Arc<Lanes>,
    network: Arc<Network>,
    ledger: Arc<Ledger>,
    is_cut: watch::Sender<bool>,
    /// Who is in which rooms here.
    users: Mutex<BTreeMap<RoomId, BTreeSet<String>>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Member {
    pub(super) async fn join(network: &Arc<Network>, ledger: &Arc<Ledger>, number: u64) -> Arc<Self> {
        let own = Incarnation(number);
        let (played, brought) = network.join(number);
        let name = format!("node-{number}");
        let config = Arc::new(RedisConfig {
            node: name.clone(),
            address: Some(([10, 0, (number >> 8) as u8, number as u8], 3_010).into()),
            recovery_window: Duration::from_secs(30),
            ..RedisConfig::default()
        });
        let metrics = Arc::new(Metrics::new(&Registry::new()).expect("they are registered once"));
        let conditions = Arc::new(Conditions::default());
        let mut client = Client::new(Arc::clone(&config), Surveyor::nowhere(), conditions, metrics);
        client.played = Some(played);
        let client = Arc::new(client);
        let keys = Keys::new("tp");
        let access = Arc::new(Access {
            client: Arc::clone(&client),
            keys: keys.clone(),
            own,
            seal: Seal::none(own),
            runtime: Handle::current(),
            deliver: OnceLock::new(),
            lanes: OnceLock::new(),
            doubts: watch::Sender::new(0),
            versions: Versions::default(),
            letterboxes: Letterboxes::default(),
            posted: Notify::new(),
        });
        let stores = loop {
            if let Ok(stores) = Stores::start(Arc::clone(&access)).await {
                break stores;
            }
            sleep(Duration::from_millis(100)).await;
        };
        let bus = Bus::new(client, keys, own);
        let line = bus.played();
        let lanes = Lanes::new(access, bus);
        let eyes = Arc::new(Eyes::default());
        let is_cut = watch::Sender::new(false);
        let carried = tokio::spawn(carry(line, Arc::clone(network), number, brought, is_cut.subscribe()));
        while Arc::clone(&lanes).begin(Arc::clone(&eyes) as Arc<_>).await.is_err() {
            sleep(Duration::from_millis(100)).await;
        }
        let member = Arc::new(Self {
            own,
            name,
            stores,
            eyes,
            lanes,
            network: Arc::clone(network),
            ledger: Arc::clone(ledger),
            is_cut,
            users: Mutex::default(),
            tasks: Mutex::new(vec![carried]),
        });
        let offer = RelayOffer { sessions_max: 1_000, has_room: true, ..RelayOffer::default() };
        let _ = member.stores.membership.offer(Some(offer)).wait().await;
        let works = [
            tokio::spawn(Arc::clone(&member).renew_claims()),
            tokio::spawn(Arc::clone(&member).look()),
            tokio::spawn(Arc::clone(&member).write_bases()),
            tokio::spawn(Arc::clone(&member).heed_lease()),
        ];
        member.tasks.lock().unwrap().extend(works);
        member
    }

    /// As if its power was cut.
    pub(super) fn kill(&self) {
        self.network.kill(self.own.0);
        self.ledger.over(self.own);
        self.tasks.lock().unwrap().iter().for_each(JoinHandle::abort);
    }

    pub(super) fn cut(&self, is_cut: bool) {
        self.network.cut(self.own.0, is_cut);
        self.is_cut.send_replace(is_cut);
    }

    pub(super) fn nodes(&self) -> Arc<[Node]> {
        Arc::clone(&self.stores.membership.nodes().borrow())
    }

    pub(super) fn lease(&self) -> Lease {
        *self.stores.membership.lease().borrow()
    }

    /// The room is looked at here from now on.
    pub(super) async fn open(&self, room: &RoomId) {
        self.eyes.open(room);
        let _ = self.lanes.open(room).wait().await;
    }

    /// A user comes or goes.
    pub(super) fn change(&self, room: &RoomId, user: &str, here: bool) {
        let mut users = self.users.lock().unwrap();
        let users = users.entry(room.clone()).or_default();
        if here {
            users.insert(user.to_owned())
        } else {
            users.remove(user)
        };
        let key = RowKey { user: UserId::parse(user).expect("it is one"), device: "d".into() };
        let row = here.then_some(Row { status: Status::Online, activity: None });
        // It goes on being tried, whoever waits.
        drop(self.stores.presence.apply(room, vec![Change { key, row }]));
    }

    pub(super) fn is_here(&self, room: &RoomId, user: &str) -> bool {
        self.users.lock().unwrap().get(room).is_some_and(|users| users.contains(user))
    }

    pub(super) fn users(&self, room: &RoomId) -> Vec<String> {
        self.users.lock().unwrap().get(room).into_iter().flatten().cloned().collect()
    }

    /// How much its relay has to do.
    pub(super) fn offer(&self, sessions: u32) {
        let load_permille = (sessions / 50 * 50) as u16;
        let offer = RelayOffer {
            sessions,
            load_permille,
            sessions_max: 1_000,
            has_room: sessions < 950,
            ..RelayOffer::default()
        };
        drop(self.stores.membership.offer(Some(offer)));
    }

    /// Would have the stream live here. Gives whose it is.
    pub(super) async fn claim(&self, stream: &str) -> Option<Incarnation> {
        let doubts = self.ledger.doubts(self.own);
        let mut claim = claim_of(stream);
        let directory = &self.stores.directory;
        let mut claimed = directory.claim(&claim).wait().await.ok()?;
        if self.stores.membership.has_lapsed(claimed.owner) {
            claim.over = Some(Over { owner: claimed.owner, unrenewed_ms: UNRENEWED.as_millis() as u64 });
            claimed = directory.claim(&claim).wait().await.ok()?;
        }
        if claimed.owner == self.own {
            self.ledger.has(self.own, stream, claimed.fence, doubts);
        }
        Some(claimed.owner)
    }

    async fn renew_claims(self: Arc<Self>) {
        let mut lease = self.stores.membership.lease();
        loop {
            tokio::select! {
                biased;
                Ok(()) = lease.changed() => {}
                () = sleep(CLAIM_RENEWAL) => {}
            }
            for stream in self.ledger.streams_of(self.own) {
                let doubts = self.ledger.doubts(self.own);
                let Ok(claimed) = self.stores.directory.claim(&claim_of(&stream)).wait().await else {
                    continue;
                };
                if claimed.owner == self.own {
                    self.ledger.has(self.own, &stream, claimed.fence, doubts);
                } else {
                    self.ledger.lost(self.own, &stream);
                }
            }
        }
    }

    async fn look(self: Arc<Self>) {
        loop {
            sleep(READ_PAUSE).await;
            for room in self.eyes.stale() {
                if let Ok(roster) = self.stores.presence.read(&room).wait().await {
                    self.eyes.read(&room, roster);
                }
            }
        }
    }

    async fn write_bases(self: Arc<Self>) {
        let mut number = 0;
        loop {
            number += 1;
            let base = Base([LanePosition { epoch: 1, pos: number }; LANES]);
            let _ = self.stores.sessions.put_base(BaseId(self.own.0 << 32 | number), &base).wait().await;
            sleep(BASE_PAUSE).await;
        }
    }

    /// What it has is nothing any more once others may have taken it for dead.
    async fn heed_lease(self: Arc<Self>) {
        let mut lease = self.stores.membership.lease();
        loop {
            match *lease.borrow_and_update() {
                Lease::Held => {}
                Lease::Doubtful => self.ledger.doubt(self.own),
                Lease::Lost => return self.ledger.over(self.own),
            }
            if lease.changed().await.is_err() {
                return;
            }
        }
    }
}

fn claim_of(stream: &str) -> Claim {
    Claim {
        name: format!("stream:{stream}"),
        lease_ms: CLAIM_LEASE.as_millis() as u64,
        value: "0 1 1".to_owned(),
        over: None,
    }
}

/// The connection of the bus, as long as the node is there.
async fn carry(
    mut line: PlayedLine,
    network: Arc<Network>,
    node: u64,
    mut brought: tokio::sync::mpsc::UnboundedReceiver<Brought>,
    mut is_cut: watch::Receiver<bool>,
) {
    while !line.is_started() {
        sleep(Duration::from_millis(1)).await;
    }
    loop {
        let (mut orders, fixed) = line.up();
        for channel in fixed {
            network.subscribe(node, channel);
        }
        let mut missed: Option<Instant> = None;
        let mut waiting: HashMap<RoomId, u64> = HashMap::new();
        loop {
            tokio::select! {
                biased;
                () = async { sleep_until(missed.unwrap_or_else(Instant::now)).await }, if missed.is_some() => break,
                Ok(()) = is_cut.changed() => {
                    // What was on its way is lost, and so are the subscriptions.
                    missed = missed.or_else(|| Some(Instant::now() + MISSED_AFTER));
                }
                Some(Brought { at, channel, frame }) = brought.recv() => {
                    sleep_until(at).await;
                    if missed.is_none() {
                        line.announced(&channel, &frame);
                    }
                }
                Some(order) = orders.recv(), if missed.is_none() => match order {
                    Order::Subscribe { room, number } => {
                        network.subscribe(node, line.channel_of(&room));
                        waiting.insert(room.clone(), number);
                        sleep(Duration::from_millis(1)).await;
                        if let Some(number) = waiting.remove(&room) {
                            line.subscribed(&room, number);
                        }
                    }
                    Order::Unsubscribe { room } => network.unsubscribe(node, &line.channel_of(&room)),
                    Order::Renew => break,
                },
                else => return,
            }
        }
        line.down();
        let _ = is_cut.wait_for(|is_cut| !is_cut).await;
        while let Ok(late) = brought.try_recv() {
            drop(late);
        }
    }
}
