//! Asks a backend whether somebody may come in, join a room or send a message: what it refuses does not happen.
//!
//! Whoever is asked about waits, and nobody else: each gate has slots, a queue and a breaker of its own. The answer is
//! waited for up to a deadline and asked for once; without one the configuration says what happens. Nothing here knows
//! what lies behind a gate.

mod config;
mod line;
mod meters;
mod question;
mod verdict;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::Handle;
use turnpike_cluster::Breaker;
use turnpike_wire::{Code, Failure};

pub use self::config::{Gate, Gates, Unanswered};
use self::line::{Line, Slot, lock};
pub(crate) use self::meters::GateMeters;
pub(crate) use self::question::{Message, Subject};
use self::question::{Question, Stamp};
use self::verdict::Verdict;
use crate::clock::unix_ms;
use crate::webhooks::{ANSWER_BYTES_MAX, Endpoint, Outcome, Reporter, failed};

/// What a client is told that was not let through because nobody could say whether it may.
const RETRY_AFTER_MS: u64 = 1_000;

/// Checked, and able to ask.
pub(crate) struct Keeper {
    config: Gates,
    endpoint: Endpoint,
}

pub(crate) struct Gatekeeper {
    asked: Vec<Gate>,
    unanswered: Unanswered,
    timeout: Duration,
    lines: [Line; Gate::ALL.len()],
    endpoint: Arc<Endpoint>,
    reporter: Reporter,
    drawn: AtomicU64,
    /// Requests are made there: a shard has connections to serve, and may end before an answer comes.
    background: Handle,
    meters: GateMeters,
}

/// What became of a question.
enum Answered {
    By(Verdict),
    /// Why nobody said anything that counts.
    Not(&'static str),
}

impl Keeper {
    pub(crate) fn new(config: Gates) -> io::Result<Self> {
        let endpoint = Endpoint::new(&config.target())?;
        Ok(Self { config, endpoint })
    }

    pub(crate) fn start(self, reporter: Reporter, meters: GateMeters, background: Handle) -> Gatekeeper {
        let Self { config, endpoint } = self;
        Gatekeeper {
            lines: std::array::from_fn(|_| Line::new(config.requests_max, config.queue_max)),
            asked: config.asked,
            unanswered: config.unanswered,
            timeout: config.timeout,
            endpoint: Arc::new(endpoint),
            reporter,
            drawn: AtomicU64::new(0),
            background,
            meters,
        }
    }
}

impl Gatekeeper {
    pub(crate) fn asks(&self, gate: Gate) -> bool {
        self.asked.contains(&gate)
    }

    /// Done when the backend has allowed it, or need not.
    pub(crate) async fn ask(&self, gate: Gate, subject: &Subject<'_>) -> Result<(), Failure> {
        let begun = Instant::now();
        let answered = self.answer(gate, subject, begun).await;
        let outcome = match &answered {
            Answered::By(Verdict::Allowed) => "allowed",
            Answered::By(Verdict::Refused(_)) => "refused",
            Answered::Not(why) => why,
        };
        self.meters.answered(gate, outcome, begun.elapsed());
        match (answered, self.unanswered) {
            (Answered::By(Verdict::Allowed), _) | (Answered::Not(_), Unanswered::Allow) => Ok(()),
            (Answered::By(Verdict::Refused(failure)), _) => Err(failure),
            (Answered::Not(_), Unanswered::Deny) => {
                let failure = Failure::new(Code::Unavailable, "nobody could say whether this is allowed");
                Err(failure.retry_after_ms(RETRY_AFTER_MS))
            }
        }
    }

    /// How the breakers of the gates that are asked are.
    pub(crate) fn breakers(&self) -> impl Iterator<Item = Breaker> {
        let now = Instant::now();
        let of = move |gate: &Gate| self.line(*gate).breaker().report(&format!("gate:{}", gate.name()), now);
        self.asked.iter().map(of)
    }

    async fn answer(&self, gate: Gate, subject: &Subject<'_>, begun: Instant) -> Answered {
        let line = self.line(gate);
        if line.breaker().is_open(Instant::now()) {
            return Answered::Not("breaker_open");
        }
        // Half of the time may be waited for a turn, so that a request always has the other half.
        let slot = match line.slot(self.timeout / 2, || self.meters.waits(gate)).await {
            Slot::Taken(slot) => slot,
            Slot::Full => return Answered::Not("queue_full"),
            Slot::TooLate => return Answered::Not("queue_timeout"),
        };
        // It may have opened meanwhile.
        if line.breaker().admit(Instant::now()).is_err() {
            return Answered::Not("breaker_open");
        }
        let id = format!("{}.g{:x}", self.reporter.incarnation, self.drawn.fetch_add(1, Ordering::Relaxed));
        let stamp = Stamp { id: &id, gate: gate.name(), time: unix_ms(), node: &self.reporter.node };
        let body = Bytes::from(Question { stamp, subject }.write());
        let (endpoint, breaker) = (Arc::clone(&self.endpoint), line.breaker_handle());
        let rest = self.timeout.saturating_sub(begun.elapsed());
        let asked = self.background.spawn(async move {
            let _slot = slot;
            let answer = request(&endpoint, &id, body, rest).await;
            // One that answers, whatever it says, does not keep anybody waiting. What one user's message does to a backend
            // must not close or open the gate for everybody.
            match answer {
                Err(Outcome::TimedOut | Outcome::Unreachable | Outcome::Forbidden) => {
                    lock(&breaker).failed(Instant::now());
                }
                _ => lock(&breaker).succeeded(),
            }
            answer
        });
        match asked.await {
            Ok(Ok(Some(verdict))) => Answered::By(verdict),
            Ok(Ok(None)) => Answered::Not("malformed"),
            Ok(Err(outcome)) => Answered::Not(outcome.slug()),
            // The process ends.
            Err(_) => Answered::Not(Outcome::Unreachable.slug()),
        }
    }

    fn line(&self, gate: Gate) -> &Line {
        &self.lines[gate.index()]
    }
}

/// None: the answer says nothing that can be understood.
async fn request(
    endpoint: &Endpoint,
    id: &str,
    body: Bytes,
    timeout: Duration,
) -> Result<Option<Verdict>, Outcome> {
    let mut answer = endpoint.post(id, body, timeout).await?;
    if !answer.status().is_success() {
        return Err(Outcome::Rejected);
    }
    let mut text = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| failed(&error))? {
        text.extend_from_slice(&chunk);
        if text.len() > ANSWER_BYTES_MAX {
            return Ok(None);
        }
    }
    Ok(verdict::read(&text))
}
