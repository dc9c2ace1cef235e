//! Asks the master that has the key, wherever that is now, until it answers or the time is over.
//!
//! For whatever may be asked twice: reads, and functions that do nothing the second time. An answer that was lost is
//! asked for again.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fred::types::Value;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, warn};

use super::address::Address;
use super::breaker::Breaker;
use super::condition::Conditions;
use super::config::RedisConfig;
use super::fault::Fault;
use super::library;
use super::link::{Command, Link};
use super::metrics::Metrics;
use super::slot::slot_of;
use super::surveyor::Surveyor;
use crate::{BreakerState, Unavailable};

const PAUSE_MIN: Duration = Duration::from_millis(5);

/// Above it a failover that is over would be noticed late.
const PAUSE_MAX: Duration = Duration::from_millis(80);

/// A master that did not take the library is asked again.
const SPREAD_PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct Client {
    pub(crate) config: Arc<RedisConfig>,
    pub(crate) surveyor: Arc<Surveyor>,
    pub(crate) conditions: Arc<Conditions>,
    pub(crate) metrics: Arc<Metrics>,
    stations: Mutex<HashMap<Address, Arc<Station>>>,
    /// Who answers instead of any process.
    #[cfg(test)]
    pub(crate) played: Option<Arc<dyn Played>>,
    /// Connections live here, whoever asks: the runtime of a caller may know no sockets, or end.
    pub(crate) runtime: Handle,
}

#[cfg(test)]
pub(crate) trait Played: Send + Sync {
    fn answer(&self, command: Command) -> futures_util::future::BoxFuture<'static, Result<Value, Fault>>;
}

/// A process that is asked: its connection, and whether it is asked at all.
struct Station {
    address: Address,
    link: tokio::sync::Mutex<Option<Arc<Link>>>,
    breaker: Mutex<Breaker>,
}

impl Client {
    /// Within the runtime in which connections are to live.
    pub(crate) fn new(
        config: Arc<RedisConfig>,
        surveyor: Arc<Surveyor>,
        conditions: Arc<Conditions>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            config,
            surveyor,
            conditions,
            metrics,
            stations: Mutex::default(),
            #[cfg(test)]
            played: None,
            runtime: Handle::current(),
        }
    }

    /// Calls a function of the library. The keys are all in one slot; the first says in which.
    pub(crate) async fn call(
        &self,
        function: &'static str,
        keys: &[String],
        args: Vec<Bytes>,
    ) -> Result<Value, Unavailable> {
        let key = keys.first().map_or("", String::as_str);
        self.ask(function, slot_of(key), &Command::fcall(function, keys, &args)).await
    }

    /// A plain command about one key, which stands first among its arguments.
    pub(crate) async fn command(
        &self,
        name: &'static str,
        key: &str,
        args: impl IntoIterator<Item = Value>,
    ) -> Result<Value, Unavailable> {
        let command = args.into_iter().fold(Command::new(name).arg(key), Command::arg);
        self.ask(name, slot_of(key), &command).await
    }

    /// How many connections of that master heard it.
    pub(crate) async fn spublish(&self, channel: &str, payload: Bytes) -> Result<u64, Unavailable> {
        let heard = self.command("SPUBLISH", channel, [Value::Bytes(payload)]).await?;
        Ok(super::reply::number(&heard).unwrap_or(0))
    }

    /// Tried once: it is not kept, and nobody waits for it.
    pub(crate) async fn announce(&self, channel: &str, payload: Bytes) -> Result<(), Fault> {
        self.metrics.commands.with_label_values(&["SPUBLISH"]).inc();
        let command = Command::new("SPUBLISH").arg(channel).arg(payload);
        let sent = async { self.link(slot_of(channel)).await?.send(command).await };
        sent.await.map(|_| ()).inspect_err(|fault| {
            self.failed("SPUBLISH", fault);
            self.surveyor.look_soon();
        })
    }

    async fn ask(&self, kind: &str, slot: u16, command: &Command) -> Result<Value, Unavailable> {
        let begun = Instant::now();
        let deadline = begun + self.config.call_deadline;
        let mut pause = PAUSE_MIN;
        let mut asking: Option<Address> = None;
        loop {
            self.metrics.commands.with_label_values(&[kind]).inc();
            let tried = async {
                match asking.take() {
                    Some(address) => self.station(&address).link(self).await?.ask(command.clone()).await,
                    None => self.try_once(slot, command).await,
                }
            };
            let fault = match timeout_at(deadline, tried).await {
                Ok(Ok(value)) => {
                    self.took(kind, begun);
                    return Ok(value);
                }
                Ok(Err(fault)) => fault,
                Err(_) => Fault::Lost("the time is over".into()),
            };
            self.failed(kind, &fault);
            match &fault {
                Fault::Refused(_) => {
                    warn!(kind, error = &fault as &dyn std::error::Error, "Redis refuses");
                    return Err(self.unavailable(slot));
                }
                Fault::Ask(address) => {
                    asking = Some(address.clone());
                    continue;
                }
                Fault::NoFunction => {}
                Fault::Moved(_) | Fault::NotNow(_) | Fault::Lost(_) => self.surveyor.look_soon(),
            }
            let now = Instant::now();
            if now + pause >= deadline || self.refuses(slot) {
                return Err(self.unavailable(slot));
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    pub(crate) fn took(&self, kind: &str, begun: Instant) {
        self.metrics.command_seconds.with_label_values(&[kind]).observe(begun.elapsed().as_secs_f64());
    }

    async fn try_once(&self, slot: u16, command: &Command) -> Result<Value, Fault> {
        #[cfg(test)]
        if let Some(played) = &self.played {
            return played.answer(command.clone()).await;
        }
        let topology = self.surveyor.topology();
        let Some(master) = topology.master(slot) else {
            return Err(Fault::NotNow("the slot has no master".into()));
        };
        let link = self.station(&master.address).link(self).await?;
        match link.send(command.clone()).await {
            Err(Fault::NoFunction) => {
                library::ensure(&link).await?;
                link.send(command.clone()).await
            }
            answer => answer,
        }
    }

    /// A connection to the master of that slot that others use as well; commands on it take turns.
    pub(crate) async fn link(&self, slot: u16) -> Result<Arc<Link>, Fault> {
        let topology = self.surveyor.topology();
        let master = topology.master(slot).ok_or_else(|| Fault::NotNow("the slot has no master".into()))?;
        self.station(&master.address).link(self).await
    }

    /// Whether the master is not asked at present.
    pub(crate) fn refuses_at(&self, address: &Address) -> bool {
        let station = self.station(address);
        let breaker = station.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        breaker.report("", std::time::Instant::now()).state == BreakerState::Open
    }

    /// Brings the function library to every master, now and when there are others. Who finds it missing brings it as well;
    /// this is so that nobody has to.
    pub(crate) fn spread_library(self: &Arc<Self>) {
        let (client, mut topology) = (Arc::downgrade(self), self.surveyor.watch());
        self.runtime.spawn(async move {
            let mut spread: HashSet<Address> = HashSet::new();
            loop {
                let now = topology.borrow_and_update().clone();
                spread.retain(|address| now.at(address).is_some());
                for master in now.masters() {
                    let Some(client) = client.upgrade() else { return };
                    if !spread.contains(&master.address)
                        && let Ok(link) = client.station(&master.address).link(&client).await
                        && library::ensure(&link).await.is_ok()
                    {
                        spread.insert(master.address.clone());
                    }
                }
                let all = now.masters().iter().all(|master| spread.contains(&master.address));
                let pause = if all { Duration::MAX } else { SPREAD_PAUSE };
                if matches!(timeout(pause, topology.changed()).await, Ok(Err(_))) {
                    return;
                }
            }
        });
    }

    /// For whoever keeps connections of its own to a master: they count as well.
    pub(crate) fn connected(&self, address: &Address) {
        self.station(address).breaker.lock().unwrap_or_else(PoisonError::into_inner).succeeded();
        self.report();
    }

    pub(crate) fn disconnected(&self, address: &Address) {
        self.station(address).failed(self);
    }

    fn refuses(&self, slot: u16) -> bool {
        let topology = self.surveyor.topology();
        topology.master(slot).is_some_and(|master| self.refuses_at(&master.address))
    }

    /// When to come back: when the master is tried again, or soon.
    pub(crate) fn unavailable(&self, slot: u16) -> Unavailable {
        let topology = self.surveyor.topology();
        let after = topology.master(slot).map_or(0, |master| {
            let station = self.station(&master.address);
            let breaker = station.breaker.lock().unwrap_or_else(PoisonError::into_inner);
            breaker.report("", std::time::Instant::now()).retry_after_ms
        });
        Unavailable { retry_after_ms: after.max(200) }
    }

    pub(crate) fn failed(&self, kind: &str, fault: &Fault) {
        debug!(kind, error = fault as &dyn std::error::Error, "not answered as asked");
        let reason = match fault {
            Fault::Moved(_) => "moved",
            Fault::Ask(_) => "ask",
            Fault::NotNow(_) => "not_now",
            Fault::NoFunction => "no_function",
            Fault::Lost(_) => "lost",
            Fault::Refused(_) => "refused",
        };
        self.metrics.calls_failed.with_label_values(&[reason]).inc();
    }

    fn station(&self, address: &Address) -> Arc<Station> {
        let mut stations = self.stations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(station) = stations.get(address) {
            return Arc::clone(station);
        }
        let station = Arc::new(Station {
            address: address.clone(),
            link: tokio::sync::Mutex::new(None),
            breaker: Mutex::default(),
        });
        stations.insert(address.clone(), Arc::clone(&station));
        station
    }

    /// Says how the breakers are; also forgets processes that have left the cluster.
    pub(crate) fn report(&self) {
        let topology = self.surveyor.topology();
        let now = std::time::Instant::now();
        let mut breakers: Vec<crate::Breaker> = {
            let mut stations = self.stations.lock().unwrap_or_else(PoisonError::into_inner);
            stations
                .retain(|address, _| topology.at(address).is_some() || topology.everybody.contains(address));
            let of_masters = stations.values().filter(|station| topology.at(&station.address).is_some());
            of_masters
                .map(|station| {
                    let breaker = station.breaker.lock().unwrap_or_else(PoisonError::into_inner);
                    breaker.report(&station.address.to_string(), now)
                })
                .collect()
        };
        breakers.sort_by(|one, other| one.name.cmp(&other.name));
        self.metrics.breaker_state.reset();
        for breaker in &breakers {
            let state = match breaker.state {
                BreakerState::Closed => 0,
                BreakerState::HalfOpen => 1,
                BreakerState::Open => 2,
            };
            self.metrics.breaker_state.with_label_values(&[breaker.name.as_str()]).set(state);
        }
        self.conditions.breakers(breakers);
    }
}

impl Station {
    /// The connection, or a new one if it has ended. One is made at a time.
    async fn link(&self, client: &Client) -> Result<Arc<Link>, Fault> {
        let mut held = self.link.lock().await;
        if let Some(link) = &*held {
            if !link.has_ended() {
                return Ok(Arc::clone(link));
            }
            *held = None;
            self.failed(client);
        }
        let admitted =
            self.breaker.lock().unwrap_or_else(PoisonError::into_inner).admit(std::time::Instant::now());
        if admitted.is_err() {
            return Err(Fault::NotNow("the breaker is open".into()));
        }
        let (address, config) = (self.address.clone(), Arc::clone(&client.config));
        let made = client.runtime.spawn(async move { Link::connect(&address, &config).await });
        match made.await.unwrap_or_else(|_| Err(Fault::Lost("the runtime has ended".into()))) {
            Ok(link) => {
                let link = Arc::new(link);
                *held = Some(Arc::clone(&link));
                self.breaker.lock().unwrap_or_else(PoisonError::into_inner).succeeded();
                client.report();
                Ok(link)
            }
            Err(fault) => {
                self.failed(client);
                Err(fault)
            }
        }
    }

    fn failed(&self, client: &Client) {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner).failed(std::time::Instant::now());
        client.report();
    }
}
