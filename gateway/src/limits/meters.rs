//! What Prometheus is told about limits.

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};
use turnpike_guard::limit::Limit;

pub(super) struct LimitMeters {
    refused: [IntCounter; Limit::ALL.len()],
    entries: IntGaugeVec,
    crowded: IntCounterVec,
    pub(super) unknown_classes: IntCounter,
    pub(super) unknown: IntCounter,
    pub(super) leases: LeaseMeters,
}

/// Of what is taken from the cluster.
#[derive(Clone)]
pub(super) struct LeaseMeters {
    pub(super) taken: IntCounter,
    pub(super) given_back: IntCounter,
    pub(super) asked: IntCounter,
    pub(super) failed: IntCounter,
    pub(super) waited: IntCounter,
}

impl LimitMeters {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let refused = IntCounterVec::new(
            Opts::new(
                "turnpike_limit_refused_total",
                "What was refused because a limit was reached, by limit.",
            ),
            &["limit"],
        )?;
        let entries = IntGaugeVec::new(
            Opts::new(
                "turnpike_limit_entries",
                "Users, rooms and keys that are counted right now, by limit.",
            ),
            &["limit"],
        )?;
        let crowded = IntCounterVec::new(
            Opts::new(
                "turnpike_limit_crowded_total",
                "Who had to share a limit with others because too many were counted, by limit.",
            ),
            &["limit"],
        )?;
        registry.register(Box::new(refused.clone()))?;
        registry.register(Box::new(entries.clone()))?;
        registry.register(Box::new(crowded.clone()))?;
        Ok(Self {
            // From the beginning, so that the first refusal is a change.
            refused: Limit::ALL.map(|limit| refused.with_label_values(&[limit.slug()])),
            entries,
            crowded,
            unknown_classes: counter(
                "turnpike_limit_classes_unknown_total",
                "Connections and requests whose token named a limit class that there is none of.",
            )?,
            unknown: counter(
                "turnpike_limit_undecided_total",
                "Messages refused because the cluster did not say whether a limit was reached.",
            )?,
            leases: LeaseMeters {
                taken: counter(
                    "turnpike_limit_leased_total",
                    "Messages that this node was given leave for by the cluster, in advance or for those who waited.",
                )?,
                given_back: counter(
                    "turnpike_limit_lease_given_back_total",
                    "Messages that this node had leave for and gave back unused.",
                )?,
                asked: counter(
                    "turnpike_limit_lease_requests_total",
                    "How often this node asked the cluster for leave.",
                )?,
                failed: counter(
                    "turnpike_limit_lease_failures_total",
                    "How often the cluster did not answer that, or not in time.",
                )?,
                waited: counter(
                    "turnpike_limit_waits_total",
                    "Messages that waited for the cluster's leave because the share of this node was used up.",
                )?,
            },
        })
    }

    pub(super) fn refused(&self, limit: Limit) {
        self.refused[limit as usize].inc();
    }

    pub(super) fn table(&self, limit: Limit, entries: usize, crowded: u64) {
        self.entries.with_label_values(&[limit.slug()]).set(i64::try_from(entries).unwrap_or(i64::MAX));
        let counted = self.crowded.with_label_values(&[limit.slug()]);
        counted.inc_by(crowded.saturating_sub(counted.get()));
    }
}
