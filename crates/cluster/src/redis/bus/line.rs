//! The bus connection to one master: made, watched, and made again.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use fred::types::Message;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::{info, warn};
use turnpike_wire::RoomId;

use super::{Channel, ORDERS_MAX, Order, Shared};
use crate::Lane;
use crate::redis::address::Address;
use crate::redis::fault::Fault;
use crate::redis::link::{Command, Link};
use crate::redis::reply;

const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// With the time that an answer may take, a connection that leads nowhere is noticed within two seconds.
const PROBE_PAUSE: Duration = Duration::from_millis(500);

/// A probe that has not come back by then will not: the connection is given up.
const PROBE_MAX: Duration = Duration::from_secs(2);

/// Subscriptions that are under way at once. More would only queue up before the announcements that they bring.
const SUBSCRIBING_MAX: usize = 512;

pub(super) struct Line {
    address: Address,
    shared: Arc<Shared>,
    link: Link,
    connection: u64,
    orders: mpsc::Sender<Order>,
    lanes: Vec<Lane>,
    /// Probes that have not come back, oldest first.
    probes: VecDeque<(Lane, Instant)>,
    to_subscribe: VecDeque<(RoomId, u64)>,
    /// Of those that are always subscribed, the ones that are here.
    has_fixed: [bool; 2],
}

type Subscribing = FuturesUnordered<BoxFuture<'static, (RoomId, u64, Result<(), Fault>)>>;
type Probing = FuturesUnordered<BoxFuture<'static, (Lane, Result<u64, Fault>)>>;

impl Line {
    /// Until the process is no master any more.
    pub(super) async fn keep(address: Address, held: Weak<Shared>) {
        let mut pause = PAUSE_MIN;
        let part = part(&address);
        loop {
            let Some(shared) = held.upgrade() else { return };
            if shared.over.has_changed().is_err() {
                return;
            }
            if shared.client.surveyor.topology().at(&address).is_none() {
                shared.client.conditions.right(&part);
                return;
            }
            let (orders, inbox) = mpsc::channel(ORDERS_MAX);
            match Link::connect_to_listen(&address, &shared.client.config).await {
                Ok(link) => {
                    shared.client.metrics.bus_connections.inc();
                    let since = Instant::now();
                    let connection = shared.next_connection();
                    let line = Self {
                        address: address.clone(),
                        link,
                        connection,
                        orders,
                        lanes: Vec::new(),
                        probes: VecDeque::new(),
                        to_subscribe: VecDeque::new(),
                        has_fixed: [false; 2],
                        shared,
                    };
                    let why = line.run(inbox).await;
                    warn!(master = %address, why, "the bus connection has ended");
                    if since.elapsed() > PAUSE_MAX {
                        pause = PAUSE_MIN;
                    }
                }
                Err(fault) => shared_failed(&shared, &address, &fault),
            }
            let Some(shared) = held.upgrade() else { return };
            shared.wrong(&address);
            shared.client.surveyor.look_soon();
            drop(shared);
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn run(mut self, mut inbox: mpsc::Receiver<Order>) -> &'static str {
        let why = self.serve(&mut inbox).await;
        for lane in std::mem::take(&mut self.lanes) {
            self.shared.detach(lane, self.connection);
        }
        why
    }

    async fn serve(&mut self, inbox: &mut mpsc::Receiver<Order>) -> &'static str {
        let mut announcements = self.link.announcements();
        let mut topology = self.shared.client.surveyor.watch();
        let mut over = self.shared.over.clone();
        let mut subscribing = Subscribing::new();
        let mut probing = Probing::new();
        let mut probe = interval(PROBE_PAUSE);
        probe.set_missed_tick_behavior(MissedTickBehavior::Delay);
        if let Err(why) = self.take_lanes().await {
            return why;
        }
        loop {
            while subscribing.len() < SUBSCRIBING_MAX
                && let Some((room, number)) = self.to_subscribe.pop_front()
            {
                let subscribed = self.link.subscribe(&self.shared.keys.channel(&room));
                subscribing.push(Box::pin(async move { (room, number, subscribed.await) }));
            }
            tokio::select! {
                biased;
                () = self.link.ended() => return "closed",
                _ = over.changed() => return "over",
                announced = announcements.recv() => match announced {
                    Ok(message) => {
                        self.take(&message);
                        while let Ok(message) = announcements.try_recv() {
                            self.take(&message);
                        }
                    }
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        let Some(listener) = self.shared.listener.get() else { return "over" };
                        self.lanes.iter().for_each(|lane| listener.lagged(*lane));
                    }
                    Err(broadcast::error::RecvError::Closed) => return "closed",
                },
                Some((room, number, subscribed)) = subscribing.next(), if !subscribing.is_empty() => {
                    if let Err(why) = self.answered(room, number, subscribed).await {
                        return why;
                    }
                }
                Some(order) = inbox.recv() => match order {
                    Order::Subscribe { room, number } => self.to_subscribe.push_back((room, number)),
                    Order::Unsubscribe { room } => {
                        self.to_subscribe.retain(|(other, _)| *other != room);
                        self.link.unsubscribe(&self.shared.keys.channel(&room));
                    }
                    Order::Renew => return "too many rooms at once",
                },
                changed = topology.changed() => {
                    if changed.is_err() || topology.borrow_and_update().at(&self.address).is_none() {
                        return "not a master any more";
                    }
                    if let Err(why) = self.take_lanes().await {
                        return why;
                    }
                }
                Some((lane, heard)) = probing.next(), if !probing.is_empty() => {
                    if let Err(why) = self.probed(lane, &heard) {
                        return why;
                    }
                }
                _ = probe.tick() => {
                    if self.probes.front().is_some_and(|(_, since)| since.elapsed() > PROBE_MAX) {
                        return "a probe did not come back";
                    }
                    // A lane that the process did not give when it was asked is asked for again.
                    if let Err(why) = self.take_lanes().await {
                        return why;
                    }
                    for lane in self.lanes.clone() {
                        if !self.probes.iter().any(|(other, _)| *other == lane) {
                            self.probes.push_back((lane, Instant::now()));
                        }
                        probing.push(self.send_probe(lane));
                    }
                }
            }
        }
    }

    /// Those that this master has now, and no others.
    async fn take_lanes(&mut self) -> Result<(), &'static str> {
        let topology = self.shared.client.surveyor.topology();
        let is_here = |slot: u16| topology.master(slot).is_some_and(|master| master.address == self.address);
        let wanted: Vec<Lane> = Lane::all().filter(|lane| is_here(self.shared.slots[lane.index()])).collect();
        let (kept, gone): (Vec<Lane>, Vec<Lane>) = self.lanes.iter().partition(|lane| wanted.contains(lane));
        self.lanes = kept;
        for lane in gone {
            self.probes.retain(|(other, _)| *other != lane);
            self.shared.detach(lane, self.connection);
        }
        for lane in wanted {
            // It may have gone to another process and come back before this line heard of either.
            if self.lanes.contains(&lane) && self.shared.attached.is_on(lane, self.connection) {
                continue;
            }
            self.lanes.retain(|other| *other != lane);
            let probe = self.shared.keys.probe(lane, self.shared.own);
            match self.link.subscribe(&probe).await {
                // If it has gone meanwhile, the map that says so has already come.
                Ok(()) => {
                    if self.shared.attach(lane, &self.address, self.connection, &self.orders) {
                        self.lanes.push(lane);
                    }
                }
                Err(fault) => self.elsewhere(&fault)?,
            }
        }
        for (index, (channel, slot)) in self.shared.fixed_channels.iter().enumerate() {
            if is_here(*slot) == self.has_fixed[index] {
                continue;
            }
            self.has_fixed[index] = !self.has_fixed[index];
            if self.has_fixed[index]
                && let Err(fault) = self.link.subscribe(channel).await
            {
                self.has_fixed[index] = false;
                self.elsewhere(&fault)?;
            }
            if index == 0 {
                let own = self.has_fixed[0];
                self.shared.heard.send_if_modified(|heard| std::mem::replace(heard, own) != *heard);
            }
        }
        if self.lanes.is_empty() {
            // No probe will say so.
            self.shared.client.conditions.right(&part(&self.address));
        }
        Ok(())
    }

    async fn answered(
        &mut self,
        room: RoomId,
        number: u64,
        subscribed: Result<(), Fault>,
    ) -> Result<(), &'static str> {
        let lane = crate::lane_of(&room);
        match subscribed {
            Ok(()) => {
                if self.shared.attached.is_on(lane, self.connection)
                    && let Some(listener) = self.shared.listener.get()
                {
                    listener.subscribed(lane, &room, number);
                }
                Ok(())
            }
            Err(fault) => {
                self.elsewhere(&fault)?;
                // The slot is somebody else's: the lane goes there when the map says so, or everything is tried again.
                self.let_go(lane);
                sleep(PAUSE_MIN).await;
                self.take_lanes().await
            }
        }
    }

    /// What the answer to a subscription means for the connection.
    fn elsewhere(&self, fault: &Fault) -> Result<(), &'static str> {
        self.shared.client.failed("SSUBSCRIBE", fault);
        self.shared.client.surveyor.look_soon();
        match fault {
            Fault::Moved(_) | Fault::Ask(_) | Fault::NotNow(_) => Ok(()),
            Fault::NoFunction | Fault::Lost(_) => Err("lost"),
            Fault::Refused(_) => Err("subscribing is refused"),
        }
    }

    fn let_go(&mut self, lane: Lane) {
        self.lanes.retain(|other| *other != lane);
        self.probes.retain(|(other, _)| *other != lane);
        self.to_subscribe.retain(|(room, _)| crate::lane_of(room) != lane);
        self.shared.detach(lane, self.connection);
    }

    fn send_probe(&self, lane: Lane) -> BoxFuture<'static, (Lane, Result<u64, Fault>)> {
        let (client, slot) = (Arc::clone(&self.shared.client), self.shared.slots[lane.index()]);
        let channel = self.shared.keys.probe(lane, self.shared.own);
        Box::pin(async move {
            let heard = async {
                client.metrics.commands.with_label_values(&["SPUBLISH"]).inc();
                let link = client.link(slot).await?;
                let heard = link
                    .send(Command::new("SPUBLISH").arg(channel).arg(Bytes::from_static(b"probe")))
                    .await?;
                Ok(reply::number(&heard).unwrap_or(0))
            };
            (lane, heard.await)
        })
    }

    /// How many heard the probe says at once what its way back would say later.
    fn probed(&mut self, lane: Lane, heard: &Result<u64, Fault>) -> Result<(), &'static str> {
        match heard {
            Ok(0) if self.lanes.contains(&lane) => {
                // The slot was here, went, and perhaps came back: the server has ended its subscriptions without a word
                // that fred hands on.
                info!(master = %self.address, lane = lane.index(), "subscriptions are gone");
                self.shared.client.surveyor.look_soon();
                Err("subscriptions are gone")
            }
            Ok(_) => Ok(()),
            Err(fault) => {
                self.shared.client.failed("SPUBLISH", fault);
                self.shared.client.surveyor.look_soon();
                // The bus may be sound all the same; the next probe that comes back puts it right.
                self.shared.wrong(&self.address);
                Ok(())
            }
        }
    }

    fn take(&mut self, message: &Message) {
        let Some(channel) = self.shared.channel(&message.channel) else { return };
        if let Channel::Probe(lane) = channel {
            if let Some(index) = self.probes.iter().position(|(other, _)| *other == lane) {
                let since = self.probes.remove(index).map_or(Duration::ZERO, |(_, since)| since.elapsed());
                self.shared.client.metrics.probe_seconds.observe(since.as_secs_f64());
                if self.probes.is_empty() {
                    self.shared.client.conditions.right(&part(&self.address));
                }
            }
            return;
        }
        let Some(frame) = reply::bytes(&message.value) else { return };
        self.shared.client.metrics.bus_messages.inc();
        self.shared.client.metrics.bus_bytes.inc_by(frame.len() as u64);
        self.shared.announced(self.connection, &channel, &frame);
    }
}

/// Under which name the health page has it.
fn part(master: &Address) -> String {
    format!("bus {master}")
}

impl Shared {
    fn wrong(&self, master: &Address) {
        let what = format!("no announcements from the Redis master {master}");
        self.client.conditions.wrong(&part(master), what);
    }
}

fn shared_failed(shared: &Shared, address: &Address, fault: &Fault) {
    shared.client.failed("bus", fault);
    shared.client.disconnected(address);
}
