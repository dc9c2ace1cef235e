//! What the signaling tells Prometheus: what gateways asked for and how it ended, and what of theirs was of no use.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use turnpike_wire::Code;
use turnpike_wire::media::relay::{Ask, FromRelay};

const OK: &str = "ok";

/// What can be asked for. All of them are there from the start, at nought.
pub(super) const KINDS: [&str; 11] = [
    "publish",
    "subscribe",
    "restart",
    "answer",
    "candidate",
    "layer",
    "mute",
    "stop",
    "resume",
    "end",
    "record",
];
pub(super) const END: &str = "end";
pub(super) const RECORD: &str = "record";

/// Counted where it happens.
pub struct SignalingMetrics {
    requests: IntCounterVec,
    pub(super) repeated: IntCounter,
    pub(super) put_off: IntCounter,
    pub(super) refused: IntCounter,
    pub(super) sessions: IntGauge,
}

impl SignalingMetrics {
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(full(name), help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let requests = IntCounterVec::new(
            Opts::new(full("requests_total"), "What gateways asked for, by kind and how it ended."),
            &["kind", "outcome"],
        )?;
        for kind in KINDS {
            requests.with_label_values(&[kind, OK]);
        }
        registry.register(Box::new(requests.clone()))?;
        let sessions = IntGauge::new(full("sessions"), "Sessions that gateways have here.")?;
        registry.register(Box::new(sessions.clone()))?;
        Ok(Self {
            requests,
            repeated: counter("repeated_total", "Requests that came again, as when an answer was lost.")?,
            put_off: counter(
                "put_off_total",
                "Requests that were not begun because too many were under way. Gateways ask again.",
            )?,
            refused: counter("refused_total", "Letters and words of gateways that were not understood.")?,
            sessions,
        })
    }

    pub(super) fn replied(&self, kind: &'static str, reply: &FromRelay) {
        let failed = match reply {
            FromRelay::Failed { refusal, .. } => Some(refusal.code),
            _ => None,
        };
        self.requests.with_label_values(&[kind, failed.map_or(OK, Code::slug)]).inc();
    }
}

pub(super) fn kind_of(ask: &Ask) -> &'static str {
    match ask {
        Ask::Publish { .. } => "publish",
        Ask::Subscribe { .. } => "subscribe",
        Ask::Restart { .. } => "restart",
        Ask::Answer { .. } => "answer",
        Ask::Candidate { .. } => "candidate",
        Ask::Layer(_) => "layer",
        Ask::Mute(_) => "mute",
        Ask::Stop => "stop",
        Ask::Resume => "resume",
    }
}

fn full(name: &str) -> String {
    format!("turnpike_media_signaling_{name}")
}
