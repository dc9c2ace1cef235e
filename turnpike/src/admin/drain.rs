//! Leaving in order: how far it is, and asking for it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use turnpike_audit::Object;

use super::operation::{Call, Method, Operation, Outcome, Plan, Problem, done};
use super::request::conflict;

/// A process without clients is gone at once, and whoever asked for it would wait for an answer that does not come.
const ANSWER_GRACE: Duration = Duration::from_millis(250);

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
    let act = async move {
        if !desk.parts.health.ready().body["draining"].is_null() || desk.leaving.swap(true, Ordering::Relaxed)
        {
            return Err(conflict("this node is leaving already"));
        }
        tokio::spawn(async move {
            tokio::time::sleep(ANSWER_GRACE).await;
            desk.parts.drain.send_replace(true);
        });
        Outcome::Ok(done(&json!({})))
    };
    Ok(Plan::new(act).on(Object::Node, node))
}
