//! The configuration in effect, and where each value comes from. Secrets are said to be there, and nothing else.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::operation::{Method, Operation, Plan, done};
use crate::configuration::shown;

pub(super) const GET: Operation = Operation {
    id: "getConfiguration",
    method: Method::Get,
    path: "/admin/v1/configuration",
    about: "Every key of the configuration, its value, and where that comes from. Of a secret only whether it is set.",
    parameters: &[],
    body: None,
    success: StatusCode::OK,
    answer: || {
        json!({ "keys": [
            { "key": "gateway.port", "value": "3010", "from": "default" },
            { "key": "auth.jwt_secret", "set": true, "from": "environment JWT_SECRET" },
        ] })
    },
    recorded: true,
    plan: |call| {
        let [] = call.query([])?;
        let keys: Vec<Value> = call.desk.parts.effective.read().iter().map(shown).collect();
        Ok(Plan::new(async move { Ok(done(&json!({ "keys": keys }))) }))
    },
};
