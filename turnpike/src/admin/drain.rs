//! Leaving in order: how far it is, and asking for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use turnpike_audit::Object;
use turnpike_cluster::{Incarnation, Node};
use turnpike_wire::{Code, Failure};

use super::desk::Desk;
use super::operation::{Call, Method, Operation, Outcome, Plan, Problem, done};
use super::orders::{Order, Said, Wish};
use super::request::{bad, conflict, nothing};

/// A process without clients is gone at once, and whoever asked for it would wait for an answer that does not come.
const ANSWER_GRACE: Duration = Duration::from_millis(250);
/// Who is asked whether another node leaves may ask again after that.
const UNANSWERED_RETRY_MS: u64 = 5_000;

pub(super) const GET: Operation = Operation {
    id: "getDrain",
    method: Method::Get,
    path: "/admin/v1/drain",
    about: "Whether this node is leaving, and how far it is: the phase, what is left of it, and the seconds until it is cut \
            off.",
    parameters: &[],
    body: None,
    success: StatusCode::OK,
    answer: || json!({ "draining": { "phase": "close connections", "left": 1204, "seconds_left": 9 } }),
    recorded: false,
    plan: |call| {
        let [] = call.query([])?;
        let draining = draining(call);
        Ok(Plan::new(async move { Ok(done(&json!({ "draining": draining }))) }))
    },
};

pub(super) const BEGIN: Operation = Operation {
    id: "beginDrain",
    method: Method::Post,
    path: "/admin/v1/drain",
    about: "Leave in order, as after SIGTERM: nobody new is let in, clients are moved to the other nodes over the drain \
            window, and the process ends. It cannot be taken back.",
    parameters: &[],
    body: None,
    success: StatusCode::ACCEPTED,
    answer: || json!({}),
    recorded: true,
    plan: begin,
};

pub(super) const OF_NODE: Operation = Operation {
    id: "drainNode",
    method: Method::Post,
    path: "/admin/v1/nodes/{node}/drain",
    about: "Have any node of the cluster leave in order, as after SIGTERM there. `{node}` is its name, or its `incarnation` \
            where two have the same name. It stands in the audit log of the node that answers and in that of the one that leaves. A \
            node that does not answer is drained at its own listener.",
    parameters: &[],
    body: None,
    success: StatusCode::ACCEPTED,
    answer: || json!({ "node": "gateway-2", "incarnation": "01957c2e9b1a4f61" }),
    recorded: true,
    plan: of_node,
};

fn draining(call: &Call) -> Value {
    let draining = call.desk.parts.health.ready().body["draining"].clone();
    if draining.is_null() && call.desk.leaving.load(Ordering::Relaxed) {
        // It begins as soon as whoever asked for it has read that it does.
        return json!({ "phase": "begins", "left": null, "seconds_left": null });
    }
    draining
}

fn begin(call: &Call) -> Result<Plan, Problem> {
    let [] = call.query([])?;
    let desk = call.desk.clone();
    let node = desk.parts.node.clone();
    let act =
        async move { if leave(&desk) { Outcome::Ok(done(&json!({}))) } else { Err(leaving_already()) } };
    Ok(Plan::new(act).on(Object::Node, node))
}

/// False: it is leaving already.
pub(super) fn leave(desk: &Arc<Desk>) -> bool {
    if !desk.parts.health.ready().body["draining"].is_null() || desk.leaving.swap(true, Ordering::Relaxed) {
        return false;
    }
    let desk = Arc::clone(desk);
    tokio::spawn(async move {
        tokio::time::sleep(ANSWER_GRACE).await;
        desk.parts.drain.send_replace(true);
    });
    true
}

fn leaving_already() -> Problem {
    conflict("this node is leaving already")
}

fn of_node(call: &Call) -> Result<Plan, Problem> {
    let named: String = call.param("node")?;
    let [] = call.query([])?;
    let desk = call.desk.clone();
    let Node { incarnation, name, .. } = find(&desk, &named)?;
    let (about, operator) = (name.clone(), call.entered.operator());
    let act = async move {
        let said = if incarnation == desk.parts.cluster.membership.own() {
            Some(if leave(&desk) { Said::Done } else { Said::LeavingAlready })
        } else {
            desk.orders.ask(incarnation, &Wish { order: Order::Drain, from: operator }).await
        };
        match said {
            Some(Said::Done) => {}
            Some(Said::LeavingAlready) => return Err(leaving_already()),
            Some(Said::NotWritten) => {
                let message = format!("{name} cannot write it down right now, and so not do it");
                return Err(Failure::new(Code::Unavailable, message)
                    .retry_after_ms(UNANSWERED_RETRY_MS)
                    .into());
            }
            // What it answered may be lost, and what it does is seen.
            None if is_leaving(&desk, incarnation) => {}
            None => {
                let message = format!("{name} does not answer: ask at its own listener");
                return Err(Failure::new(Code::Unavailable, message)
                    .retry_after_ms(UNANSWERED_RETRY_MS)
                    .into());
            }
        }
        Outcome::Ok(done(&json!({ "node": name, "incarnation": incarnation.to_string() })))
    };
    Ok(Plan::new(act).on(Object::Node, about))
}

fn find(desk: &Desk, named: &str) -> Result<Node, Problem> {
    let nodes = desk.parts.cluster.membership.nodes().borrow().clone();
    let mut found = nodes.iter().filter(|node| node.name == named || node.incarnation.to_string() == named);
    match (found.next(), found.next()) {
        (Some(node), None) => Ok(node.clone()),
        (None, _) => Err(nothing("no node of this name or incarnation lives")),
        (Some(_), Some(_)) => Err(bad("several nodes have this name: say which by its incarnation")),
    }
}

fn is_leaving(desk: &Desk, incarnation: Incarnation) -> bool {
    let nodes = desk.parts.cluster.membership.nodes().borrow().clone();
    nodes.iter().find(|node| node.incarnation == incarnation).is_none_or(|node| node.draining)
}
