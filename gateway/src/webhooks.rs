//! Tells a backend what happens here, by HTTP: who comes and goes, and for whom a message came while they were away.
//!
//! Nothing waits for the backend. What happens is put into a bounded queue, and one task sends it in order, batch by batch;
//! what is reported is decided in `reports`, where it may be sent in `address` and `endpoint`.

mod address;
mod backoff;
mod batch;
mod config;
mod delivery;
mod endpoint;
mod event;
mod meters;
mod offline;
mod reports;
mod signature;

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::Instant;
use turnpike_wire::UserId;

use self::batch::Queued;
pub use self::config::Webhooks;
use self::delivery::Delivery;
pub(crate) use self::endpoint::{ANSWER_BYTES_MAX, Endpoint, Outcome, Target, failed};
pub use self::event::WebhookEvent;
use self::event::{Event, What};
pub(crate) use self::meters::WebhookMeters;
use self::offline::Reported;
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
    events: Vec<WebhookEvent>,
    /// Bounded: when it is full, what comes is dropped and counted, and what waits already is kept.
    queue: mpsc::Sender<Queued>,
    drawn: AtomicU64,
    reported: Mutex<Reported>,
    /// Users that are being looked for on other nodes.
    lookups: AtomicUsize,
    meters: WebhookMeters,
}

impl Receiver {
    pub(crate) fn new(config: Webhooks) -> io::Result<Self> {
        let endpoint = Endpoint::new(&config.target())?;
        Ok(Self { config, endpoint })
    }

    /// The task ends when the hooks are dropped, or with its runtime.
    pub(crate) fn start(self, reporter: Reporter, meters: WebhookMeters, runtime: &Handle) -> Hooks {
        let Self { config, endpoint } = self;
        let (queue, queued) = mpsc::channel(config.queue_max.max(1));
        let delivery = Delivery::new(endpoint, config.deadline, &reporter, meters.clone());
        runtime.spawn(delivery.run(queued));
        Hooks {
            reporter,
            events: config.events,
            queue,
            drawn: AtomicU64::new(0),
            reported: Mutex::new(Reported::new(REPORTED_MAX)),
            lookups: AtomicUsize::new(0),
            meters,
        }
    }
}

impl Hooks {
    fn wants(&self, event: WebhookEvent) -> bool {
        self.events.contains(&event)
    }

    fn report(&self, user: &UserId, what: What) {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
        let event = Event {
            id: format!("{}.{drawn:x}", self.reporter.incarnation),
            name: what.kind().name(),
            time: unix_ms(),
            node: self.reporter.node.clone(),
            user: user.clone(),
            what,
        };
        self.meters.queued(1);
        if self.queue.try_send(Queued::Event { event, at: Instant::now() }).is_err() {
            self.meters.dropped("queue_full", 1);
        }
    }

    /// Waits until everything that was reported before is sent or given up, but not for longer than this.
    pub(crate) fn flush(&self, limit: Duration) {
        let (done, waited) = std::sync::mpsc::sync_channel(1);
        if self.queue.try_send(Queued::Flush(done)).is_ok() {
            // What is not sent by then goes with the process.
            let _ = waited.recv_timeout(limit);
        }
    }

    fn reported(&self) -> std::sync::MutexGuard<'_, Reported> {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
