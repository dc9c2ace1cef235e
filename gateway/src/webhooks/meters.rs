//! What Prometheus is told about webhooks.

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::endpoint::Outcome;

/// Why events are given up.
const DROPPED: [&str; 4] = ["queue_full", "deadline", "gone", "lookups_full"];

#[derive(Clone)]
pub(crate) struct WebhookMeters {
    deliveries: IntCounterVec,
    dropped: IntCounterVec,
    queue_length: IntGauge,
    receiver: String,
}

impl WebhookMeters {
    /// One for each receiver, which are told apart by their places in the configuration, from 1 on.
    pub(crate) fn register(registry: &Registry, receivers: usize) -> Result<Vec<Self>, prometheus::Error> {
        let deliveries = IntCounterVec::new(
            Opts::new(
                "turnpike_gateway_webhook_deliveries_total",
                "Attempts to deliver a batch, by how they ended.",
            ),
            &["receiver", "outcome"],
        )?;
        let dropped = IntCounterVec::new(
            Opts::new("turnpike_gateway_webhook_dropped_total", "Events that were given up, by reason."),
            &["receiver", "reason"],
        )?;
        let queue_length = IntGaugeVec::new(
            Opts::new(
                "turnpike_gateway_webhook_queue_length",
                "Events that wait to be delivered, those under way among them.",
            ),
            &["receiver"],
        )?;
        registry.register(Box::new(deliveries.clone()))?;
        registry.register(Box::new(dropped.clone()))?;
        registry.register(Box::new(queue_length.clone()))?;
        let of = |number: usize| {
            let receiver = number.to_string();
            // From the beginning, so that the first failure is a change.
            for outcome in Outcome::ALL {
                deliveries.with_label_values(&[&receiver, outcome.slug()]);
            }
            for reason in DROPPED {
                dropped.with_label_values(&[&*receiver, reason]);
            }
            let queue_length = queue_length.with_label_values(&[&receiver]);
            Self { deliveries: deliveries.clone(), dropped: dropped.clone(), queue_length, receiver }
        };
        Ok((1..=receivers.max(1)).map(of).collect())
    }

    pub(super) fn attempted(&self, outcome: Outcome) {
        self.deliveries.with_label_values(&[&self.receiver, outcome.slug()]).inc();
    }

    pub(super) fn queued(&self, events: usize) {
        self.queue_length.add(signed(events));
    }

    pub(super) fn taken(&self, events: usize) {
        self.queue_length.sub(signed(events));
    }

    pub(super) fn dropped(&self, reason: &'static str, events: usize) {
        self.queue_length.sub(signed(events));
        self.dropped.with_label_values(&[&*self.receiver, reason]).inc_by(events as u64);
    }

    /// Something that would have been looked into, and is not.
    pub(super) fn passed_over(&self) {
        self.dropped.with_label_values(&[&*self.receiver, "lookups_full"]).inc();
    }
}

fn signed(events: usize) -> i64 {
    i64::try_from(events).unwrap_or(i64::MAX)
}
