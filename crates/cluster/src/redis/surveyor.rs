//! Keeps the map of the cluster: asks its processes now and then, at once when somebody was sent away, and without pause
//! while a slot has no master.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::address::Address;
use super::config::RedisConfig;
use super::link::{Command, Link};
use super::topology::{Topology, View};

/// A slot that moved is noticed by whoever asks for it, so this only finds what nobody asked for.
const PAUSE_SETTLED: Duration = Duration::from_secs(1);

/// While a master is missing everybody waits for this.
const PAUSE_UNSETTLED: Duration = Duration::from_millis(50);

/// Requests for a look come in swarms.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// After the first answer the others have so long: a frozen process must not hold up the map.
const STRAGGLERS: Duration = Duration::from_millis(60);

pub(crate) struct Surveyor {
    latest: watch::Sender<Arc<Topology>>,
    wanted: Notify,
}

impl Surveyor {
    /// Looks once, so that there is a map, then goes on by itself for as long as it is held.
    pub(crate) async fn start(config: Arc<RedisConfig>) -> Option<Arc<Self>> {
        let mut survey = Survey { config, links: HashMap::new(), seeds: BTreeSet::new() };
        survey.seeds = survey.config.nodes.iter().map(|(host, port)| Address::new(host, *port)).collect();
        let until = Instant::now() + survey.config.call_deadline;
        let first = loop {
            match survey.look(&Topology::default()).await {
                Some(first) => break first,
                None if Instant::now() >= until => return None,
                None => sleep(PAUSE_UNSETTLED).await,
            }
        };
        let surveyor = Arc::new(Self { latest: watch::Sender::new(Arc::new(first)), wanted: Notify::new() });
        let held = Arc::downgrade(&surveyor);
        tokio::spawn(async move {
            let mut looked = Instant::now();
            loop {
                let Some(surveyor) = held.upgrade() else { return };
                let settled = surveyor.topology().is_settled();
                let pause = if settled { PAUSE_SETTLED } else { PAUSE_UNSETTLED };
                tokio::select! {
                    () = sleep(pause) => {}
                    () = surveyor.wanted.notified() => sleep_until(looked + PAUSE_MIN).await,
                }
                let known = surveyor.topology();
                if let Some(found) = survey.look(&known).await {
                    surveyor.latest.send_if_modified(|latest| {
                        let changed = **latest != found;
                        if changed {
                            *latest = Arc::new(found);
                        }
                        changed
                    });
                }
                looked = Instant::now();
            }
        });
        Some(surveyor)
    }

    /// Of a test that knows no processes.
    #[cfg(test)]
    pub(crate) fn nowhere() -> Arc<Self> {
        Arc::new(Self { latest: watch::Sender::new(Arc::default()), wanted: Notify::new() })
    }

    pub(crate) fn topology(&self) -> Arc<Topology> {
        Arc::clone(&self.latest.borrow())
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Topology>> {
        self.latest.subscribe()
    }

    /// The map may be out of date.
    pub(crate) fn look_soon(&self) {
        self.wanted.notify_one();
    }
}

struct Survey {
    config: Arc<RedisConfig>,
    seeds: BTreeSet<Address>,
    links: HashMap<Address, Link>,
}

impl Survey {
    /// None: nobody could be asked.
    async fn look(&mut self, known: &Topology) -> Option<Topology> {
        // Whoever does not answer in time loses its connection, or questions would pile up on it.
        let mut links = std::mem::take(&mut self.links);
        let mut asked: FuturesUnordered<_> = self
            .seeds
            .union(&known.everybody)
            .map(|address| {
                let link = links.remove(address).filter(|link| !link.has_ended());
                let (address, config) = (address.clone(), Arc::clone(&self.config));
                async move {
                    let link = match link {
                        Some(link) => link,
                        None => Link::connect(&address, &config).await.ok()?,
                    };
                    let text = link.send(Command::new("CLUSTER").arg("NODES")).await.ok()?;
                    let text = text.as_string()?;
                    Some((View { from: address, text }, link))
                }
            })
            .collect();
        let mut views = Vec::new();
        let mut until = Instant::now() + self.config.reply_deadline;
        while let Ok(Some(answer)) = timeout(until - Instant::now(), asked.next()).await {
            let Some((view, link)) = answer else { continue };
            if views.is_empty() {
                until = until.min(Instant::now() + STRAGGLERS);
            }
            self.links.insert(view.from.clone(), link);
            views.push(view);
        }
        (!views.is_empty()).then(|| Topology::merge(&views))
    }
}
