//! What is announced: one connection a master, on which the channels of the rooms are subscribed that this node follows.
//!
//! A connection that ends is made anew and everything is subscribed again; whoever listens is told that something may have
//! been missed. That announcements arrive at all is shown by probes: each second something is announced in every lane that
//! only this node hears.

mod attached;
mod line;
#[cfg(test)]
mod played;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use turnpike_wire::RoomId;

use self::attached::Attachments;
use self::line::Line;
#[cfg(test)]
pub(crate) use self::played::PlayedLine;
use super::address::Address;
use super::client::Client;
use super::keys::Keys;
use super::slot::slot_of;
use crate::{Incarnation, LANES, Lane};

/// Rooms to be subscribed or not any more. A node that comes back with all its rooms asks for tens of thousands at once;
/// when it is full the connection is made anew, which asks for all of them again.
const ORDERS_MAX: usize = 65_536;

const LINES_PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

/// Of what the bus brings. Called from one task a master, and for a lane from one at a time.
pub(crate) trait Listen: Send + Sync + 'static {
    /// The lane has a connection. Rooms are to be subscribed on it.
    fn up(&self, lane: Lane);

    fn down(&self, lane: Lane);

    fn subscribed(&self, lane: Lane, room: &RoomId, number: u64);

    fn announced(&self, lane: Lane, room: &str, frame: &[u8]);

    /// Something was announced in these lanes and could not be kept.
    fn lagged(&self, lane: Lane);

    fn control(&self, frame: &[u8]);

    /// There may be something new on the bulletin.
    fn posted(&self);
}

pub(crate) struct Bus {
    shared: Arc<Shared>,
    /// Its end ends the lines.
    _alive: watch::Sender<()>,
}

struct Shared {
    client: Arc<Client>,
    keys: Keys,
    own: Incarnation,
    /// Where this node alone is told something, and where all nodes hear that something was posted; and in which slots
    /// these are.
    fixed_channels: [(String, u16); 2],
    slots: [u16; LANES],
    listener: OnceLock<Arc<dyn Listen>>,
    attached: Attachments,
    connections: AtomicU64,
    /// Whether this node can be told something.
    heard: watch::Sender<bool>,
    over: watch::Receiver<()>,
}

#[derive(Debug)]
pub(crate) enum Order {
    Subscribe {
        room: RoomId,
        number: u64,
    },
    Unsubscribe {
        room: RoomId,
    },
    /// There was no room for an order.
    Renew,
}

impl Bus {
    pub(crate) fn new(client: Arc<Client>, keys: Keys, own: Incarnation) -> Self {
        let fixed_channels = [keys.node(own), keys.bulletin("c")].map(|channel| {
            let slot = slot_of(&channel);
            (channel, slot)
        });
        let slots = std::array::from_fn(|index| Lane::new(index).map_or(0, |lane| slot_of(&keys.meta(lane))));
        let (alive, over) = watch::channel(());
        let shared = Shared {
            client,
            keys,
            own,
            fixed_channels,
            slots,
            listener: OnceLock::new(),
            attached: Attachments::new(),
            connections: AtomicU64::new(1),
            heard: watch::Sender::new(false),
            over,
        };
        Self { shared: Arc::new(shared), _alive: alive }
    }

    /// Listens from now on. Once.
    pub(crate) fn start(&self, listener: Arc<dyn Listen>) {
        if self.shared.listener.set(listener).is_ok() {
            self.shared.client.runtime.spawn(keep_lines(Arc::downgrade(&self.shared)));
        }
    }

    /// Until this node can be told something.
    pub(crate) async fn heard(&self) {
        let mut heard = self.shared.heard.subscribe();
        // The sender is held as long as the bus is.
        let _ = heard.wait_for(|heard| *heard).await;
    }

    pub(crate) fn subscribe(&self, lane: Lane, room: &RoomId, number: u64) {
        self.shared.order(lane, Order::Subscribe { room: room.clone(), number });
    }

    pub(crate) fn unsubscribe(&self, lane: Lane, room: &RoomId) {
        self.shared.order(lane, Order::Unsubscribe { room: room.clone() });
    }
}

impl Shared {
    fn order(&self, lane: Lane, order: Order) {
        if let Some(orders) = self.attached.order(lane, order) {
            self.client.runtime.spawn(async move { orders.send(Order::Renew).await });
        }
    }

    /// Whether this process is the master of the slot, as far as is known at present.
    fn has(&self, address: &Address, slot: u16) -> bool {
        self.client.surveyor.topology().master(slot).is_some_and(|master| master.address == *address)
    }

    /// The lane is on this connection from now on, if its process still has it.
    fn attach(&self, lane: Lane, address: &Address, connection: u64, orders: &mpsc::Sender<Order>) -> bool {
        let is_here = || self.has(address, self.slots[lane.index()]);
        self.attached.attach(lane, connection, orders, is_here, || {
            if let Some(listener) = self.listener.get() {
                listener.up(lane);
            }
        })
    }

    /// The lane is on no connection, unless it has been put on another meanwhile.
    fn detach(&self, lane: Lane, connection: u64) {
        self.attached.detach(lane, connection, || {
            if let Some(listener) = self.listener.get() {
                listener.down(lane);
            }
        });
    }

    fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }
}

/// A line to each master, for as long as it is one.
async fn keep_lines(held: std::sync::Weak<Shared>) {
    let Some(mut topology) = held.upgrade().map(|shared| shared.client.surveyor.watch()) else { return };
    let mut lines: HashMap<Address, tokio::task::JoinHandle<()>> = HashMap::new();
    loop {
        let now = topology.borrow_and_update().clone();
        lines.retain(|_, line| !line.is_finished());
        for master in now.masters() {
            lines
                .entry(master.address.clone())
                .or_insert_with(|| tokio::spawn(Line::keep(master.address.clone(), held.clone())));
        }
        let Some(mut over) = held.upgrade().map(|shared| shared.over.clone()) else { return };
        tokio::select! {
            _ = over.changed() => return,
            changed = topology.changed() => if changed.is_err() { return },
            // A line that has ended because its master was away is put up again.
            () = tokio::time::sleep(LINES_PAUSE) => {}
        }
    }
}

/// What a channel is for.
enum Channel<'a> {
    Room(Lane, &'a str),
    Probe(Lane),
    Own,
    Bulletin,
}

impl Shared {
    fn channel<'a>(&self, name: &'a str) -> Option<Channel<'a>> {
        let [own, bulletin] = &self.fixed_channels;
        if name == own.0 {
            return Some(Channel::Own);
        }
        if name == bulletin.0 {
            return Some(Channel::Bulletin);
        }
        let rest = name.strip_prefix('{')?.strip_prefix(self.keys.prefix())?.strip_prefix(":l")?;
        let (lane, rest) = rest.split_once('}')?;
        let lane = Lane::new(lane.parse().ok()?)?;
        match rest.strip_prefix(":c:") {
            Some(room) => Some(Channel::Room(lane, room)),
            None => rest.starts_with(":p:").then_some(Channel::Probe(lane)),
        }
    }

    fn announced(&self, connection: u64, channel: &Channel<'_>, frame: &Bytes) {
        let Some(listener) = self.listener.get() else { return };
        match channel {
            Channel::Room(lane, room) if self.attached.is_on(*lane, connection) => {
                listener.announced(*lane, room, frame);
            }
            Channel::Own => listener.control(frame),
            Channel::Bulletin => listener.posted(),
            Channel::Room(..) | Channel::Probe(_) => {}
        }
    }
}
