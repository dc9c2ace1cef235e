//! The public keys that verify the audit log of this node.

use axum::http::StatusCode;
use serde_json::json;
use turnpike_audit::PublicKey;
use turnpike_wire::{Code, Failure};

use super::desk::Desk;
use super::operation::{Method, Operation, Plan, Problem, done};
use crate::audit::key_file;

pub(super) const LIST: Operation = Operation {
    id: "listAuditKeys",
    method: Method::Get,
    path: "/admin/v1/audit/keys",
    about: "The public keys that verify the audit log of this node, oldest first. Keep them elsewhere: whoever changes the \
            log could otherwise change them too.",
    parameters: &[],
    body: None,
    success: StatusCode::OK,
    answer: || json!({ "keys": ["turnpike/gateway-1+5f2c1a07+AXv2..."] }),
    recorded: false,
    plan: |call| {
        let [] = call.query([])?;
        let desk = call.desk.clone();
        Ok(Plan::new(async move {
            let keys: Vec<String> = public(&desk)?.iter().map(ToString::to_string).collect();
            Ok(done(&json!({ "keys": keys })))
        }))
    },
};

pub(super) fn public(desk: &Desk) -> Result<Vec<PublicKey>, Problem> {
    let signers = key_file::read(&desk.parts.audit_key_file).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "the keys of the audit log cannot be read");
        Failure::new(
            Code::Unavailable,
            "the key file of the audit log cannot be read; see the log of this node",
        )
    })?;
    Ok(signers.into_iter().map(|signer| signer.public().clone()).collect())
}
