//! What Prometheus is told about gates.

use std::time::Duration;

use prometheus::{Counter, CounterVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::config::Gate;
use crate::webhooks::Outcome;

/// How a question can end beside what becomes of the request.
const ENDS: [&str; 6] = ["allowed", "refused", "malformed", "queue_full", "queue_timeout", "breaker_open"];

#[derive(Clone)]
pub(crate) struct GateMeters {
    answers: IntCounterVec,
    seconds: [Counter; Gate::ALL.len()],
    waiting: [IntGauge; Gate::ALL.len()],
}

/// One who waits for a turn, for as long as this is held.
pub(super) struct Waits(IntGauge);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl GateMeters {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let answers = IntCounterVec::new(
            Opts::new(
                "turnpike_gateway_gate_answers_total",
                "Questions to a gate's backend, by how they ended.",
            ),
            &["gate", "outcome"],
        )?;
        let seconds = CounterVec::new(
            Opts::new("turnpike_gateway_gate_seconds_total", "Time that was waited for answers of gates."),
            &["gate"],
        )?;
        let waiting = IntGaugeVec::new(
            Opts::new("turnpike_gateway_gate_queue_length", "Who waits for a turn to be asked about."),
            &["gate"],
        )?;
        registry.register(Box::new(answers.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(waiting.clone()))?;
        // From the beginning, so that the first failure is a change.
        let requests = Outcome::ALL.into_iter().filter(|outcome| outcome.is_failure()).map(Outcome::slug);
        for outcome in ENDS.into_iter().chain(requests) {
            for gate in Gate::ALL {
                answers.with_label_values(&[gate.name(), outcome]);
            }
        }
        Ok(Self {
            answers,
            seconds: Gate::ALL.map(|gate| seconds.with_label_values(&[gate.name()])),
            waiting: Gate::ALL.map(|gate| waiting.with_label_values(&[gate.name()])),
        })
    }

    pub(super) fn answered(&self, gate: Gate, outcome: &str, took: Duration) {
        self.answers.with_label_values(&[gate.name(), outcome]).inc();
        self.seconds[gate.index()].inc_by(took.as_secs_f64());
    }

    pub(super) fn waits(&self, gate: Gate) -> Waits {
        let waiting = self.waiting[gate.index()].clone();
        waiting.inc();
        Waits(waiting)
    }
}
