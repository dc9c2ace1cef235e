//! What the admin API counts.

use axum::http::StatusCode;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

pub(super) struct Meters {
    requests: IntCounterVec,
    pub(super) refused_entry: IntCounter,
}

impl Meters {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let requests = IntCounterVec::new(
            Opts::new("turnpike_admin_requests_total", "Requests to the admin API, by operation and status"),
            &["operation", "status"],
        )?;
        let refused_entry = IntCounter::new(
            "turnpike_admin_refused_total",
            "Requests to the admin listener by somebody who could not prove that they may",
        )?;
        for operation in super::OPERATIONS {
            requests.with_label_values(&[operation.id, operation.success.as_str()]);
        }
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(refused_entry.clone()))?;
        Ok(Self { requests, refused_entry })
    }

    pub(super) fn answered(&self, operation: &str, status: StatusCode) {
        self.requests.with_label_values(&[operation, status.as_str()]).inc();
    }
}
