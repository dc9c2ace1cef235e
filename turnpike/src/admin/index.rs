//! What the admin API can do, said by itself.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::OPERATIONS;
use super::operation::{Method, Operation, Parameter, Plan, done};

pub(super) const GET: Operation = Operation {
    id: "getIndex",
    method: Method::Get,
    path: "/admin/v1",
    about: "This list: every operation, with what it takes and what it answers.",
    parameters: &[],
    body: None,
    success: StatusCode::OK,
    answer: || json!({ "operations": [{ "id": "getIndex", "request": "GET /admin/v1", "about": "...", "status": 200 }] }),
    recorded: false,
    plan: |call| {
        let [] = call.query([])?;
        Ok(Plan::new(async move {
            Ok(done(&json!({ "operations": OPERATIONS.iter().map(shown).collect::<Vec<_>>() })))
        }))
    },
};

fn shown(operation: &Operation) -> Value {
    let Operation { id, method, path, about, parameters, body, success, answer, recorded, .. } = operation;
    let query: Vec<Value> =
        parameters.iter().map(|Parameter { name, about }| json!({ "name": name, "about": about })).collect();
    json!({
        "id": id,
        "request": format!("{} {path}", method.name()),
        "about": about,
        "query": query,
        "body": body.map(|example| example()),
        "status": success.as_u16(),
        "answer": answer(),
        "recorded": recorded,
    })
}
