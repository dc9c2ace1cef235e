//! How this node and its cluster are, for operators.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::json;
use turnpike_cluster::{BreakerState, Lease};
use turnpike_wire::{Code, Failure};

use super::operation::{Access, Call, Method, Operation, Outcome, done};
use crate::gates::Gatekeeper;

pub(super) const HEALTH: Operation = Operation {
    id: "getRealtimeHealth",
    method: Method::Get,
    path: "/health/realtime",
    access: Access::Admin,
    summary: "Read whether the node that answers serves users as it should.",
    description: "Answered with 503, and with what is wrong in the message, while something between this node and the \
                  cluster keeps it from that.",
    parameters: &[],
    body: None,
    success: StatusCode::OK,
    answer: || json!({ "$ref": "#/components/schemas/RealtimeHealth" }),
    refusals: &[400],
    handle: |call| Box::pin(async move { health(&call) }),
};

pub(super) const MONITORING: Operation = Operation {
    id: "getMonitoring",
    method: Method::Get,
    path: "/api/v1/info/monitoring",
    access: Access::Admin,
    summary: "Read the counts of the node that answers.",
    description: "Sums since its start, and levels of the moment (their names end in `_now`). Names may come and go \
                  with versions; what is watched for long is better taken from the metrics.",
    parameters: &[],
    body: None,
    success: StatusCode::OK,
    answer: || json!({ "$ref": "#/components/schemas/Monitoring" }),
    refusals: &[400],
    handle: |call| Box::pin(async move { monitoring(&call) }),
};

pub(super) const CIRCUIT_BREAKERS: Operation = Operation {
    id: "getCircuitBreakers",
    method: Method::Get,
    path: "/status/circuit-breakers",
    access: Access::Admin,
    summary: "Read which parts of the cluster the node that answers can use.",
    description: "One breaker for each part that can fail on its own, and one for each gate that is asked; a node that \
                  is a cluster by itself has none of the first. `faults` are in words, and empty when all is well.",
    parameters: &[],
    body: None,
    success: StatusCode::OK,
    answer: || json!({ "$ref": "#/components/schemas/CircuitBreakers" }),
    refusals: &[400],
    handle: |call| Box::pin(async move { circuit_breakers(&call) }),
};

#[derive(Serialize)]
struct RealtimeHealth<'a> {
    node: &'a str,
    /// Nodes that live, as far as this one knows.
    nodes: usize,
    connections: u64,
}

fn health(call: &Call) -> Outcome {
    let [] = call.query([])?;
    let app = &call.app;
    let lease = *app.cluster.membership.lease().borrow();
    verdict(&app.cluster.condition.borrow().faults, lease)?;
    Ok(done(&RealtimeHealth {
        node: &app.node,
        nodes: app.cluster.membership.nodes().borrow().len(),
        connections: app.handle.counters().connections_now,
    }))
}

fn verdict(faults: &[String], lease: Lease) -> Result<(), Failure> {
    let of_lease = match lease {
        Lease::Held => None,
        Lease::Doubtful => Some("the lease of this node could not be renewed in time"),
        Lease::Lost => Some("this node has lost its lease: others take it for dead"),
    };
    let wrong: Vec<&str> = of_lease.into_iter().chain(faults.iter().map(String::as_str)).collect();
    if wrong.is_empty() { Ok(()) } else { Err(Failure::new(Code::Unavailable, wrong.join("; "))) }
}

#[derive(Serialize)]
struct Monitoring<'a> {
    node: &'a str,
    nodes: Vec<&'a str>,
    counters: BTreeMap<&'static str, u64>,
}

fn monitoring(call: &Call) -> Outcome {
    let [] = call.query([])?;
    let app = &call.app;
    let nodes = app.cluster.membership.nodes().borrow().clone();
    Ok(done(&Monitoring {
        node: &app.node,
        nodes: nodes.iter().map(|node| node.name.as_str()).collect(),
        counters: app.handle.counters().list().collect(),
    }))
}

#[derive(Serialize)]
struct CircuitBreakers<'a> {
    node: &'a str,
    faults: &'a [String],
    breakers: Vec<Breaker<'a>>,
}

#[derive(Serialize)]
struct Breaker<'a> {
    name: &'a str,
    state: &'static str,
    failures: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

fn circuit_breakers(call: &Call) -> Outcome {
    let [] = call.query([])?;
    let condition = call.app.cluster.condition.borrow().clone();
    let gates = call.app.gates.iter().flat_map(Gatekeeper::breakers);
    let all: Vec<_> = condition.breakers.iter().cloned().chain(gates).collect();
    let breakers = all.iter().map(|breaker| {
        let state = match breaker.state {
            BreakerState::Closed => "closed",
            BreakerState::HalfOpen => "half_open",
            BreakerState::Open => "open",
        };
        let is_open = breaker.state == BreakerState::Open;
        let retry_after_ms = is_open.then_some(breaker.retry_after_ms);
        Breaker { name: &breaker.name, state, failures: breaker.failures, retry_after_ms }
    });
    Ok(done(&CircuitBreakers {
        node: &call.app.node,
        faults: &condition.faults,
        breakers: breakers.collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_a_node_from_serving_is_said() {
        let fault = ["a master does not answer".to_owned()];
        let said = |faults: &[String], lease| {
            verdict(faults, lease).err().map(|failure| (failure.code, failure.message.into_owned()))
        };
        assert_eq!(said(&[], Lease::Held), None);
        assert_eq!(said(&fault, Lease::Held), Some((Code::Unavailable, fault[0].clone())));
        let (code, both) = said(&fault, Lease::Doubtful).unwrap();
        assert!(code == Code::Unavailable && both.contains("renewed") && both.ends_with(&fault[0]), "{both}");
        assert!(said(&[], Lease::Lost).is_some());
    }
}
