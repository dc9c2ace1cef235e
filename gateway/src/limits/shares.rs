//! Shares of the cluster's limits, by name: who asks the cluster, and who waits for its answer. What a share may let
//! through is decided in the guard.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use turnpike_cluster::{Cluster, Node, Quota, QuotaLimit, Soon, Unavailable};
use turnpike_guard::limit::{ANSWER_MS, Ask, Rate, Settled, Share, Verdict, Whole};

use super::meters::LeaseMeters;
use crate::clock::Clock;

/// Enough that a few threads hardly meet.
const STRIPES: usize = 64;
/// So many stripes are swept at a time, each within a few hundred microseconds.
const SWEPT_AT_A_TIME: usize = 16;
/// A full stripe in which nothing was idle is not looked through again for every name that comes.
const SWEEP_GAP_MS: u64 = 100;

type Waits = oneshot::Sender<Verdict>;

pub(super) struct Shares {
    kind: &'static str,
    secret: RandomState,
    stripes: [Mutex<Stripe>; STRIPES],
    stripe_names_max: usize,
    quota: Arc<dyn Quota>,
    members: watch::Receiver<Arc<[Node]>>,
    nodes: AtomicU32,
    clock: Clock,
    runtime: tokio::runtime::Handle,
    swept: AtomicUsize,
    crowded: AtomicU64,
    meters: LeaseMeters,
}

#[derive(Default)]
struct Stripe {
    by_print: HashMap<u64, Share<Waits>>,
    not_swept_until_ms: u64,
}

/// Where a share is, and what it is called in the cluster.
struct Place {
    print: u64,
    key: String,
    rate: Rate,
}

impl Shares {
    /// At most this many names: at the bound those that are as good as new go, and if there is none, new ones share one.
    pub(super) fn new(
        kind: &'static str,
        names_max: usize,
        cluster: &Cluster,
        clock: Clock,
        runtime: tokio::runtime::Handle,
        meters: LeaseMeters,
    ) -> Self {
        let members = cluster.membership.nodes();
        let nodes = AtomicU32::new(members.borrow().len().max(1) as u32);
        Self {
            kind,
            secret: RandomState::new(),
            stripes: std::array::from_fn(|_| Mutex::default()),
            stripe_names_max: names_max.div_ceil(STRIPES),
            quota: Arc::clone(&cluster.quota),
            members,
            nodes,
            clock,
            runtime,
            swept: AtomicUsize::new(0),
            crowded: AtomicU64::new(0),
            meters,
        }
    }

    /// Lets `count` through, or not. Nothing is waited for while this node's share suffices.
    pub(super) fn pass(self: &Arc<Self>, name: &str, rate: &Rate, count: u32) -> Soon<Verdict> {
        let (whole, now_ms) = (self.whole(rate), self.clock.steady_ms());
        let mut print = self.secret.hash_one(name);
        let index = print as usize % STRIPES;
        let mut waiting = None;
        let (verdict, ask) = {
            let mut stripe = self.stripe(index);
            if !stripe.by_print.contains_key(&print) && !stripe.has_room(self.stripe_names_max, whole, now_ms)
            {
                self.crowded.fetch_add(1, Ordering::Relaxed);
                print = shared_print(index);
            }
            let share = stripe.by_print.entry(print).or_insert_with(|| Share::new(whole, now_ms));
            share.pass(whole, count, now_ms, || {
                let (sender, receiver) = oneshot::channel();
                waiting = Some(receiver);
                sender
            })
        };
        if let Some(ask) = ask {
            let key = if print == shared_print(index) {
                format!("{}~{index}", self.kind)
            } else {
                format!("{}:{name}", self.kind)
            };
            self.ask(Place { print, key, rate: *rate }, ask);
        }
        match (verdict, waiting) {
            (Some(verdict), _) => Soon::Now(verdict),
            (None, Some(mut waiting)) => {
                // In one process the answer is there.
                if let Ok(verdict) = waiting.try_recv() {
                    return Soon::Now(verdict);
                }
                self.meters.waited.inc();
                Soon::later(
                    async move { waiting.await.unwrap_or(Verdict::Unknown { retry_after_ms: ANSWER_MS }) },
                )
            }
            (None, None) => Soon::Now(Verdict::Unknown { retry_after_ms: ANSWER_MS }),
        }
    }

    pub(super) fn len(&self) -> usize {
        (0..STRIPES).map(|index| self.stripe(index).by_print.len()).sum()
    }

    pub(super) fn crowded(&self) -> u64 {
        self.crowded.load(Ordering::Relaxed)
    }

    /// Counts the nodes, and forgets shares that are as good as new.
    pub(super) fn tick(&self, rate: &Rate) {
        self.nodes.store(self.members.borrow().len().max(1) as u32, Ordering::Relaxed);
        let (whole, now_ms) = (self.whole(rate), self.clock.steady_ms());
        let first = self.swept.fetch_add(SWEPT_AT_A_TIME, Ordering::Relaxed);
        for index in first..first + SWEPT_AT_A_TIME {
            self.stripe(index % STRIPES).sweep(whole, now_ms);
        }
    }

    fn whole<'a>(&self, rate: &'a Rate) -> Whole<'a> {
        Whole { rate, nodes: self.nodes.load(Ordering::Relaxed) }
    }

    fn stripe(&self, index: usize) -> MutexGuard<'_, Stripe> {
        // A share is changed in one step.
        self.stripes[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the cluster, and again for as long as somebody waits whom it may still help.
    fn ask(self: &Arc<Self>, place: Place, ask: Ask) {
        let mut taken = self.take(&place, ask);
        while let Soon::Now(answer) = taken {
            let Some(next) = self.settle(&place, answer.ok()) else { return };
            taken = self.take(&place, next);
        }
        let shares = Arc::clone(self);
        self.runtime.spawn(async move {
            loop {
                let answer = timeout(Duration::from_millis(ANSWER_MS), taken.wait()).await;
                let granted = answer.ok().and_then(Result::ok);
                let Some(next) = shares.settle(&place, granted) else { return };
                taken = shares.take(&place, next);
            }
        });
    }

    fn take(&self, place: &Place, ask: Ask) -> Soon<Result<u64, Unavailable>> {
        self.meters.asked.inc();
        self.quota.take(&place.key, ask.wanted, &limit(&place.rate))
    }

    /// None: there was no answer in time.
    fn settle(&self, place: &Place, granted: Option<u64>) -> Option<Ask> {
        let (whole, now_ms) = (self.whole(&place.rate), self.clock.steady_ms());
        let Settled { verdicts, ask, unused } = {
            let mut stripe = self.stripe_of(place.print);
            let share = stripe.by_print.get_mut(&place.print)?;
            match granted {
                Some(granted) => share.answered(whole, granted, now_ms),
                None => Settled { verdicts: share.failed(whole, now_ms), ask: None, unused: 0 },
            }
        };
        match granted {
            Some(granted) => self.meters.taken.inc_by(granted),
            None => self.meters.failed.inc(),
        }
        for (waits, verdict) in verdicts {
            // Whoever has gone meanwhile has no use for it.
            let _ = waits.send(verdict);
        }
        if unused > 0 {
            self.meters.given_back.inc_by(unused);
            let given = self.quota.give_back(&place.key, unused, &limit(&place.rate));
            if let Soon::Later(given) = given {
                // If it is lost, too little is let through, and not for long.
                self.runtime.spawn(timeout(Duration::from_millis(ANSWER_MS), given));
            }
        }
        ask
    }

    fn stripe_of(&self, print: u64) -> MutexGuard<'_, Stripe> {
        let index = if print > u64::MAX - STRIPES as u64 {
            (u64::MAX - print) as usize
        } else {
            print as usize % STRIPES
        };
        self.stripe(index)
    }
}

impl Stripe {
    fn has_room(&mut self, names_max: usize, whole: Whole<'_>, now_ms: u64) -> bool {
        if self.by_print.len() >= names_max && now_ms >= self.not_swept_until_ms {
            self.sweep(whole, now_ms);
            if self.by_print.len() > names_max - names_max / 8 {
                self.not_swept_until_ms = now_ms + SWEEP_GAP_MS;
            }
        }
        self.by_print.len() < names_max
    }

    fn sweep(&mut self, whole: Whole<'_>, now_ms: u64) {
        self.by_print.retain(|_, share| !share.is_idle(whole, now_ms));
        if self.by_print.capacity() > 4 * self.by_print.len() {
            self.by_print.shrink_to(2 * self.by_print.len());
        }
    }
}

/// Of the share of all names of a stripe that there is no room for.
fn shared_print(index: usize) -> u64 {
    u64::MAX - index as u64
}

fn limit(rate: &Rate) -> QuotaLimit {
    QuotaLimit { burst: u64::from(rate.burst()), per_second: rate.a_second() }
}
