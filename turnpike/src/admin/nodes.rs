//! The nodes of the cluster, and how the one that answers is.

use axum::http::StatusCode;
use serde_json::{Value, json};
use turnpike_cluster::{Breaker, BreakerState, Lease, Node, RelayOffer};

use super::desk::Desk;
use super::operation::{Method, Operation, Plan, done};

pub(super) const LIST: Operation = Operation {
    id: "listNodes",
    method: Method::Get,
    path: "/admin/v1/nodes",
    about: "The nodes that live, as the one that answers knows them. `places` is how many connections a node has room for yet, \
            roughly; null where it does not say. `relay` is there if one relays live video: `load_permille` is of what it can do, `sessions` \
            are its publishers and viewers.",
    parameters: &[],
    body: None,
    success: StatusCode::OK,
    answer: || {
        json!({ "nodes": [{
            "name": "gateway-1", "incarnation": "01957c2e9b1a4f60", "own": true, "address": "10.0.0.21:3010",
            "version": "0.1.0", "draining": false, "places": 18_000,
            "relay": { "url": null, "link": "10.0.0.21:40112", "load_permille": 120, "has_room": true, "alone": false, "sessions": 41, "sessions_max": 2000 },
        }] })
    },
    recorded: false,
    plan: |call| {
        let [] = call.query([])?;
        let membership = &call.desk.parts.cluster.membership;
        let (own, nodes) = (membership.own(), membership.nodes().borrow().clone());
        let mut nodes: Vec<&Node> = nodes.iter().collect();
        nodes.sort_by(|one, other| (&one.name, one.incarnation).cmp(&(&other.name, other.incarnation)));
        let nodes: Vec<Value> = nodes.into_iter().map(|node| shown(node, node.incarnation == own)).collect();
        Ok(Plan::new(async move { Ok(done(&json!({ "nodes": nodes }))) }))
    },
};

pub(super) const GET: Operation = Operation {
    id: "getNode",
    method: Method::Get,
    path: "/admin/v1/node",
    about: "How the node that answers is: its health as under `/health`, its lease, what keeps it from the cluster in \
            words, and the circuit breakers of the parts that can fail on their own.",
    parameters: &[],
    body: None,
    success: StatusCode::OK,
    answer: || {
        json!({
            "name": "gateway-1", "lease": "held", "connections": 1204, "faults": [],
            "breakers": [{ "name": "redis-1.internal:6379", "state": "closed", "failures": 0 }],
            "health": { "status": "ok", "ready": true, "checks": [], "tasks": [], "draining": null, "uptime_seconds": 60, "version": "0.1.0" },
        })
    },
    recorded: false,
    plan: |call| {
        let [] = call.query([])?;
        let node = own(&call.desk);
        Ok(Plan::new(async move { Ok(done(&node)) }))
    },
};

fn shown(node: &Node, own: bool) -> Value {
    let relay = node.relay.as_ref().map(|RelayOffer { url, link, load_permille, sessions, sessions_max, has_room, alone }| {
        json!({
            "url": url, "link": link, "load_permille": load_permille, "has_room": has_room, "alone": alone,
            "sessions": sessions, "sessions_max": sessions_max,
        })
    });
    json!({
        "name": node.name,
        "incarnation": node.incarnation.to_string(),
        "own": own,
        "address": node.address,
        "version": node.version,
        "draining": node.draining,
        "places": node.places,
        "relay": relay,
    })
}

fn own(desk: &Desk) -> Value {
    let cluster = &desk.parts.cluster;
    let condition = cluster.condition.borrow().clone();
    let lease = match *cluster.membership.lease().borrow() {
        Lease::Held => "held",
        Lease::Doubtful => "doubtful",
        Lease::Lost => "lost",
    };
    json!({
        "name": desk.parts.node,
        "lease": lease,
        "connections": desk.parts.gateway.connections(),
        "faults": condition.faults,
        "breakers": condition.breakers.iter().map(breaker).collect::<Vec<_>>(),
        "health": desk.parts.health.healthy().body,
    })
}

fn breaker(Breaker { name, state, failures, .. }: &Breaker) -> Value {
    let state = match state {
        BreakerState::Closed => "closed",
        BreakerState::HalfOpen => "half_open",
        BreakerState::Open => "open",
    };
    json!({ "name": name, "state": state, "failures": failures })
}
