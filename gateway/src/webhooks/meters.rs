//! What Prometheus is told about webhooks.

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

use super::endpoint::Outcome;

/// Why events are given up.
const DROPPED: [&str; 4] = ["queue_full", "deadline", "gone", "lookups_full"];

#[derive(Clone)]
pub(crate) struct WebhookMeters {
    deliveries: IntCounterVec,
    dropped: IntCounterVec,
    queue_length: IntGauge,
}

impl WebhookMeters {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let deliveries = IntCounterVec::new(
            Opts::new(
                "turnpike_gateway_webhook_deliveries_total",
                "Attempts to deliver a batch, by how they ended.",
            ),
            &["outcome"],
        )?;
        let dropped = IntCounterVec::new(
            Opts::new("turnpike_gateway_webhook_dropped_total", "Events that were given up, by reason."),
            &["reason"],
        )?;
        let queue_length = IntGauge::new(
            "turnpike_gateway_webhook_queue_length",
            "Events that wait to be delivered, those under way among them.",
        )?;
        // From the beginning, so that the first failure is a change.
        for outcome in Outcome::ALL {
            deliveries.with_label_values(&[outcome.slug()]);
        }
        for reason in DROPPED {
            dropped.with_label_values(&[reason]);
        }
        registry.register(Box::new(deliveries.clone()))?;
        registry.register(Box::new(dropped.clone()))?;
        registry.register(Box::new(queue_length.clone()))?;
        Ok(Self { deliveries, dropped, queue_length })
    }

    pub(super) fn attempted(&self, outcome: Outcome) {
        self.deliveries.with_label_values(&[outcome.slug()]).inc();
    }

    pub(super) fn queued(&self, events: usize) {
        self.queue_length.add(signed(events));
    }

    pub(super) fn taken(&self, events: usize) {
        self.queue_length.sub(signed(events));
    }

    pub(super) fn dropped(&self, reason: &'static str, events: usize) {
        self.queue_length.sub(signed(events));
        self.dropped.with_label_values(&[reason]).inc_by(events as u64);
    }

    /// Something that would have been looked into, and is not.
    pub(super) fn passed_over(&self) {
        self.dropped.with_label_values(&["lookups_full"]).inc();
    }
}

fn signed(events: usize) -> i64 {
    i64::try_from(events).unwrap_or(i64::MAX)
}
