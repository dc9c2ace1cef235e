//! The figures of all nodes, second by second, for those who look at the dashboard. It knows nothing of HTTP.
//!
//! Every node reads itself every ten seconds, so that there is a past to show, and each second while it is asked. The node at
//! which somebody watches asks the others each second ([`words`]); while nobody does, nothing is sent.

mod figures;
mod observatory;
mod past;
mod words;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus::{IntGauge, Registry};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use turnpike_cluster::{Cluster, Incarnation, Letter, NotSent};
use turnpike_daemon::health::Health;
use turnpike_daemon::tasks::Stop;

use self::figures::Meter;
use self::observatory::{Observatory, Told};
use self::past::{APART_MS, Kept, Past};
use self::words::{FAULT_BYTES_MAX, FAULTS_MAX, Figures, Sample, Words};

const SUBJECT: &str = "figures";
/// All are asked at one beat, and what they said is shown at the next.
const BEAT: Duration = Duration::from_millis(500);
/// However often a node is asked, it reads itself no more often than this.
const FRESH_MS: u64 = 900;
/// At one node. Each is a connection of the admin listener, which must have places left for probes.
const WATCHERS_MAX: usize = 16;
/// What other nodes have kept from before this one began is not before the beginning of its clock.
const CLOCK_BEGINS_MS: u64 = 1_000_000;

pub(crate) struct Dashboard {
    cluster: Cluster,
    health: Health,
    began: Instant,
    own: Mutex<Own>,
    seen: Mutex<Observatory>,
    /// How many watch.
    watchers: watch::Sender<usize>,
    watching: IntGauge,
    /// Counts up when there is something new to tell.
    news: watch::Sender<u64>,
}

/// This node's own figures.
struct Own {
    meter: Meter,
    keys: Vec<String>,
    past: Past,
}

impl Dashboard {
    pub(crate) fn new(
        cluster: Cluster,
        health: Health,
        registry: &Registry,
    ) -> prometheus::Result<Arc<Self>> {
        let watching = IntGauge::new("turnpike_admin_watchers", "Dashboards that are open at this node.")?;
        registry.register(Box::new(watching.clone()))?;
        let meter = Meter::new(registry.clone());
        Ok(Arc::new(Self {
            cluster,
            health,
            began: Instant::now(),
            own: Mutex::new(Own { meter, keys: Vec::new(), past: Past::default() }),
            seen: Mutex::default(),
            watchers: watch::Sender::new(0),
            watching,
            news: watch::Sender::new(0),
        }))
    }

    pub(crate) async fn keep(self: Arc<Self>, mut stop: Stop) {
        let mut letters = self.cluster.post.listen(SUBJECT);
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asked = false;
        loop {
            tokio::select! {
                letter = letters.recv() => match letter {
                    Some(letter) => self.take(&letter),
                    // Somebody else listens for it, which nobody does.
                    None => return,
                },
                _ = beats.tick() => {
                    if asked {
                        self.news.send_modify(|news| *news += 1);
                    } else {
                        self.ask();
                    }
                    asked = !asked;
                }
                () = stop.requested() => return,
            }
        }
    }

    /// None: too many watch here.
    pub(crate) fn watch(self: &Arc<Self>) -> Option<Watching> {
        let came = self.watchers.send_if_modified(|watchers| {
            let has_room = *watchers < WATCHERS_MAX;
            *watchers += usize::from(has_room);
            has_room
        });
        if !came {
            return None;
        }
        self.watching.inc();
        // Not at the next beat: somebody looks at an empty page.
        self.ask();
        let mut news = self.news.subscribe();
        news.mark_changed();
        Some(Watching { dashboard: Arc::clone(self), news, told: Told::default() })
    }

    fn now_ms(&self) -> u64 {
        CLOCK_BEGINS_MS + self.began.elapsed().as_millis() as u64
    }

    /// Each change leaves them whole.
    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, Observatory> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self) {
        if *self.watchers.borrow() == 0 {
            self.read(APART_MS);
            self.seen().forget();
            return;
        }
        let own = self.cluster.membership.own();
        let nodes = self.cluster.membership.nodes().borrow().clone();
        let known = {
            let mut seen = self.seen();
            seen.living(own, &nodes);
            seen.known()
        };
        for (node, after) in known {
            if node == own {
                let figures = self.figures(after);
                self.seen().take(own, figures, self.now_ms());
            } else {
                // Lost letters are counted by the post, and what was in them is in the next answer.
                let _ = self.write(node, &Words::Ask { after });
            }
        }
    }

    fn take(&self, letter: &Letter) {
        match serde_json::from_slice(&letter.words) {
            Ok(Words::Ask { after }) => self.answer(letter.from, self.figures(after)),
            Ok(Words::Figures(figures)) if figures.is_sound() => {
                if *self.watchers.borrow() > 0 {
                    self.seen().take(letter.from, figures, self.now_ms());
                }
            }
            Ok(Words::Figures(_)) | Err(_) => {
                tracing::debug!(from = %letter.from, "what a node says of its figures is not understood");
            }
        }
    }

    fn write(&self, to: Incarnation, words: &Words) -> Result<(), NotSent> {
        let text = serde_json::to_vec(words).expect("words are made of what JSON has");
        self.cluster.post.send(to, SUBJECT, text.into())
    }

    /// A past of very large numbers may be too much for a letter: then as much of it as there is room for.
    fn answer(&self, to: Incarnation, mut figures: Figures) {
        loop {
            let (words, samples) = (Words::Figures(figures.clone()), figures.samples.len());
            match self.write(to, &words) {
                Err(NotSent::TooLarge) if samples > 1 => drop(figures.samples.drain(..samples.div_ceil(2))),
                Ok(()) | Err(NotSent::TooLarge | NotSent::Full) => return,
            }
        }
    }

    /// Unless the newest sample is younger than that.
    fn read(&self, apart_ms: u64) {
        let now_ms = self.now_ms();
        let mut own = self.own();
        let newest = own.past.newest().map(|kept| (kept.number, kept.at_ms));
        if newest.is_some_and(|(_, at_ms)| now_ms.saturating_sub(at_ms) < apart_ms) {
            return;
        }
        let own = &mut *own;
        let reading = own.meter.read();
        if own.keys != reading.keys {
            own.past.rearrange(&own.keys, &reading.keys);
            own.keys = reading.keys;
        }
        let number = newest.map_or(1, |(number, _)| number + 1);
        own.past.put(Kept { number, at_ms: now_ms, values: reading.values });
    }

    /// What this node says of itself.
    fn figures(&self, after: u64) -> Figures {
        self.read(FRESH_MS);
        let faults = self.faults();
        let now_ms = self.now_ms();
        let own = self.own();
        let samples = own.past.after(after).map(|Kept { number, at_ms, values }| Sample {
            number: *number,
            at_ms: *at_ms,
            values: values.clone(),
        });
        Figures { now_ms, keys: own.keys.clone(), samples: samples.collect(), faults }
    }

    fn faults(&self) -> Vec<String> {
        let healthy = self.health.healthy().body;
        let checks = healthy["checks"].as_array().into_iter().flatten();
        let failing = checks.filter_map(|check| {
            let (name, reason) = (check["name"].as_str()?, check["reason"].as_str()?);
            Some(format!("{name}: {reason}"))
        });
        let condition = self.cluster.condition.borrow().faults.clone();
        let mut faults: Vec<String> = failing.chain(condition).take(FAULTS_MAX).collect();
        for fault in &mut faults {
            fault.truncate(fault.floor_char_boundary(FAULT_BYTES_MAX));
        }
        faults
    }
}

/// Somebody who watches.
pub(crate) struct Watching {
    dashboard: Arc<Dashboard>,
    news: watch::Receiver<u64>,
    told: Told,
}

impl Watching {
    /// The next line, when there is something new. Nothing is queued: who reads slowly is told less often.
    pub(crate) async fn next(&mut self) -> Option<String> {
        self.news.changed().await.ok()?;
        let Self { dashboard, told, .. } = self;
        let now_ms = dashboard.now_ms();
        Some(told.next(&dashboard.seen(), dashboard.cluster.membership.own(), now_ms))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.dashboard.watchers.send_modify(|watchers| *watchers = watchers.saturating_sub(1));
        self.dashboard.watching.dec();
    }
}
