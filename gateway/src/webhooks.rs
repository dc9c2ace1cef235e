//! Tells backends what happens here, by HTTP: who comes and goes, which rooms have somebody in them, and for whom a message
//! came while they were away.
//!
//! Nothing waits for a backend. What happens is put into a bounded queue for each, and one task sends it in order, batch by batch;
//! what is reported is decided in `reports`, where it may be sent in `address` and `endpoint`.

mod address;
mod backoff;
mod batch;
mod config;
mod debt;
mod delivery;
mod endpoint;
mod event;
mod meters;
mod offline;
mod reports;
mod resolver;
mod signature;

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::Registry;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::Instant;
use turnpike_wire::UserId;
use turnpike_wire::media::relay::{Note, Noted};

pub use self::address::is_public;
use self::batch::Queued;
pub use self::config::Webhooks;
use self::debt::Debt;
use self::delivery::Delivery;
pub(crate) use self::endpoint::{ANSWER_BYTES_MAX, Endpoint, Outcome, Target, failed};
pub use self::event::WebhookEvent;
use self::event::{Event, RoomTurn, What};
use self::meters::WebhookMeters;
use self::offline::Reported;
pub(crate) use self::reports::slug;
pub use self::resolver::{Resolver, is_forbidden};
use crate::clock::unix_ms;

/// Conversations that are remembered as reported: some megabytes.
const REPORTED_MAX: usize = 65_536;

/// Checked, and able to send.
pub(crate) struct Receiver {
    config: Webhooks,
    endpoint: Endpoint,
}

/// Which process reports.
#[derive(Clone)]
pub(crate) struct Reporter {
    pub(crate) node: String,
    /// Begins the ids of events: no other process ever has it.
    pub(crate) incarnation: String,
}

pub(crate) struct Hooks {
    reporter: Reporter,
    receivers: Vec<Outlet>,
    drawn: AtomicU64,
    reported: Mutex<Reported>,
    /// Users that are being looked for on other nodes.
    lookups: AtomicUsize,
}

/// The way to one receiver.
struct Outlet {
    events: Vec<WebhookEvent>,
    /// Bounded: when it is full, what comes is dropped and counted, and what waits already is kept.
    queue: mpsc::Sender<Queued>,
    meters: WebhookMeters,
}

impl Receiver {
    pub(crate) fn new(config: Webhooks) -> io::Result<Self> {
        let endpoint = Endpoint::new(&config.target())?;
        Ok(Self { config, endpoint })
    }
}

impl Hooks {
    /// None: there is nobody to report to. The tasks end when the hooks are dropped, or with their runtime.
    pub(crate) fn start(
        receivers: Vec<Receiver>,
        reporter: Reporter,
        registry: &Registry,
        runtime: &Handle,
    ) -> Result<Option<Self>, prometheus::Error> {
        let meters = WebhookMeters::register(registry, receivers.len())?;
        let batches = Arc::new(AtomicU64::new(0));
        let start = |(Receiver { config, endpoint }, meters): (Receiver, WebhookMeters)| {
            let (queue, queued) = mpsc::channel(config.queue_max.max(1));
            let drawn = Arc::clone(&batches);
            let delivery = Delivery::new(endpoint, config.deadline, &reporter, drawn, meters.clone());
            runtime.spawn(delivery.run(queued));
            Outlet { events: config.events, queue, meters }
        };
        let receivers: Vec<Outlet> = receivers.into_iter().zip(meters).map(start).collect();
        Ok((!receivers.is_empty()).then(|| Self {
            reporter,
            receivers,
            drawn: AtomicU64::new(0),
            reported: Mutex::new(Reported::new(REPORTED_MAX)),
            lookups: AtomicUsize::new(0),
        }))
    }

    pub(crate) fn wants(&self, event: WebhookEvent) -> bool {
        self.wanting(event).next().is_some()
    }

    fn wanting(&self, event: WebhookEvent) -> impl Iterator<Item = &Outlet> {
        self.receivers.iter().filter(move |receiver| receiver.events.contains(&event))
    }

    fn report(&self, user: &UserId, what: What) {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}.{drawn:x}", self.reporter.incarnation);
        self.send(self.event(id, Some(user.clone()), what), None);
    }

    /// `done` is called when every receiver has it, or has been given up on.
    fn report_room(&self, turn: RoomTurn, done: impl FnOnce() + Send + 'static) {
        // The same whoever reports it: when a node has died another one does so again.
        let id = format!("{}.{:x}", turn.room, turn.turn);
        let what = What::Room(turn);
        match self.wanting(what.kind()).count() {
            0 => done(),
            receivers => self.send(self.event(id, None, what), Some(&Arc::new(Debt::new(receivers, done)))),
        }
    }

    fn report_stream(&self, note: &Note) {
        let Note { life, stream, user, what, .. } = note;
        let stream = stream.clone();
        let (which, what) = match *what {
            Noted::Started => ("started", What::Started { stream }),
            Noted::Ended { duration_ms, viewers_max } => {
                ("ended", What::Ended { stream, duration_ms, viewers_max })
            }
        };
        // The same when the relay says it again, to whichever node.
        let id = format!("{}.{life:x}.{}.{which}", note.stream, note.id);
        self.send(self.event(id, Some(user.clone()), what), None);
    }

    fn event(&self, id: String, user: Option<UserId>, what: What) -> Event {
        Event { id, name: what.kind().name(), time: unix_ms(), node: self.reporter.node.clone(), user, what }
    }

    fn send(&self, event: Event, debt: Option<&Arc<Debt>>) {
        let (kind, event, at) = (event.what.kind(), Arc::new(event), Instant::now());
        for receiver in self.wanting(kind) {
            receiver.meters.queued(1);
            let queued = Queued::Event { event: Arc::clone(&event), at, debt: debt.cloned() };
            if receiver.queue.try_send(queued).is_err() {
                receiver.meters.dropped("queue_full", 1);
                if let Some(debt) = debt {
                    debt.settled();
                }
            }
        }
    }

    /// Waits until everything that was reported before is sent or given up, but not for longer than this.
    pub(crate) fn flush(&self, limit: Duration) {
        let until = std::time::Instant::now() + limit;
        let flushes: Vec<_> = self
            .receivers
            .iter()
            .filter_map(|receiver| {
                let (done, waited) = std::sync::mpsc::sync_channel(1);
                receiver.queue.try_send(Queued::Flush(done)).ok().map(|()| waited)
            })
            .collect();
        for waited in flushes {
            // What is not sent by then goes with the process.
            let _ = waited.recv_timeout(until.saturating_duration_since(std::time::Instant::now()));
        }
    }

    /// A message that would have been looked into, and is not.
    fn passed_over(&self) {
        for receiver in self.wanting(WebhookEvent::MessageOffline) {
            receiver.meters.passed_over();
        }
    }

    fn reported(&self) -> std::sync::MutexGuard<'_, Reported> {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
