//! Keeps the map of the cluster: asks its processes now and then, at once when somebody was sent away, and without pause
//! while a slot has no master.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
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

/// As long as all is well, so many processes are asked at a time, in turn: each describes all of them, so to ask everybody would
/// cost each node the square of their number. When these say anything new, everybody is asked before it is believed.
const ASKED_SETTLED_MAX: usize = 6;

/// After the first answer the others have so long: a frozen process must not hold up the map.
const STRAGGLERS: Duration = Duration::from_millis(60);

pub(crate) struct Surveyor {
    latest: watch::Sender<Arc<Topology>>,
    /// When the look began that said so last.
    looked: Mutex<Instant>,
    wanted: Notify,
}

impl Surveyor {
    /// Looks once, so that there is a map, then goes on by itself for as long as it is held.
    pub(crate) async fn start(config: Arc<RedisConfig>) -> Option<Arc<Self>> {
        let mut survey = Survey { config, links: HashMap::new(), seeds: BTreeSet::new(), turn: 0 };
        survey.seeds = survey.config.nodes.iter().map(|(host, port)| Address::new(host, *port)).collect();
        let until = Instant::now() + survey.config.call_deadline;
        let first = loop {
            match survey.look(&Topology::default(), usize::MAX).await {
                Some(first) => break first,
                None if Instant::now() >= until => return None,
                None => sleep(PAUSE_UNSETTLED).await,
            }
        };
        let surveyor = Arc::new(Self {
            latest: watch::Sender::new(Arc::new(first)),
            looked: Mutex::new(Instant::now()),
            wanted: Notify::new(),
        });
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
                let (known, begun) = (surveyor.topology(), Instant::now());
                if let Some(found) = survey.survey(&known).await {
                    surveyor.latest.send_if_modified(|latest| {
                        let changed = **latest != found;
                        if changed {
                            *latest = Arc::new(found);
                        }
                        changed
                    });
                    // Behind the map: whoever reads this first finds one that is no older.
                    *surveyor.looked.lock().unwrap_or_else(PoisonError::into_inner) = begun;
                }
                looked = Instant::now();
            }
        });
        Some(surveyor)
    }

    /// Of a test that knows no processes.
    #[cfg(test)]
    pub(crate) fn nowhere() -> Arc<Self> {
        let looked = Mutex::new(Instant::now());
        Arc::new(Self { latest: watch::Sender::new(Arc::default()), looked, wanted: Notify::new() })
    }

    pub(crate) fn topology(&self) -> Arc<Topology> {
        Arc::clone(&self.latest.borrow())
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Topology>> {
        self.latest.subscribe()
    }

    /// When it was last seen that nobody serves this slot, if that was seen last.
    pub(crate) fn unserved(&self, slot: u16) -> Option<Instant> {
        let looked = *self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        self.topology().master(slot).is_some_and(|master| master.given_up).then_some(looked)
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
    turn: usize,
}

impl Survey {
    /// None: nobody could be asked.
    async fn survey(&mut self, known: &Topology) -> Option<Topology> {
        if known.is_settled() && known.everybody.len() > ASKED_SETTLED_MAX {
            self.turn = self.turn.wrapping_add(ASKED_SETTLED_MAX);
            if let Some(found) = self.look(known, ASKED_SETTLED_MAX).await
                && found == *known
            {
                return Some(found);
            }
        }
        self.look(known, usize::MAX).await
    }

    /// Whom to ask: at most so many, others each time.
    fn asked(&self, known: &Topology, most: usize) -> Vec<Address> {
        if most == usize::MAX {
            return self.seeds.union(&known.everybody).cloned().collect();
        }
        let all = known.everybody.iter().cycle();
        all.skip(self.turn % known.everybody.len().max(1))
            .take(most.min(known.everybody.len()))
            .cloned()
            .collect()
    }

    async fn look(&mut self, known: &Topology, most: usize) -> Option<Topology> {
        // Whoever does not answer in time loses its connection, or questions would pile up on it.
        let mut links = std::mem::take(&mut self.links);
        let asked = self.asked(known, most);
        if most < usize::MAX {
            // Those whose turn it is not keep theirs.
            let others = links.extract_if(|address, _| !asked.contains(address));
            self.links.extend(others);
        }
        let mut asked: FuturesUnordered<_> = asked
            .into_iter()
            .map(|address| {
                let link = links.remove(&address).filter(|link| !link.has_ended());
                let config = Arc::clone(&self.config);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::topology::View as Said;

    #[test]
    fn of_many_processes_all_have_their_turn() {
        let line = |port: u16| format!("n{port} 127.0.0.1:{port}@1 master - 0 0 {port} connected {port}\n");
        let text: String = (7_000..7_020).map(line).collect();
        let known = Topology::merge(&[Said { from: Address::new("127.0.0.1", 7_000), text }]);
        assert_eq!(known.everybody.len(), 20);
        let config = Arc::new(RedisConfig::default());
        let mut survey = Survey { config, links: HashMap::new(), seeds: BTreeSet::new(), turn: 0 };
        let mut seen = BTreeSet::new();
        for _ in 0..10 {
            let asked = survey.asked(&known, ASKED_SETTLED_MAX);
            assert_eq!(asked.len(), ASKED_SETTLED_MAX);
            seen.extend(asked);
            survey.turn = survey.turn.wrapping_add(ASKED_SETTLED_MAX);
        }
        assert_eq!(seen.len(), 20);
        assert_eq!(survey.asked(&known, usize::MAX).len(), 20);
    }
}
