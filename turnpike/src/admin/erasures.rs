//! Taking somebody's personal values out of the audit log of this node. What is written about it names nobody.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use turnpike_audit::Kept;
use turnpike_wire::{Code, Failure};

use super::operation::{Call, Method, Operation, Plan, Problem, done};
use super::request::bad;
use crate::audit::erase::{Whom, erase};

pub(super) const BEGIN: Operation = Operation {
    id: "eraseFromAudit",
    method: Method::Post,
    path: "/admin/v1/audit/erasures",
    about: "Erase the personal values of a user (`user`) or an address (`address`) from the audit log of this node; each \
            node has a log of its own. Chain and signatures still hold. The files that have some are rewritten, which may \
            take minutes. What is written about it names nobody.",
    parameters: &[],
    body: Some(|| json!({ "user": "alice" })),
    success: StatusCode::OK,
    answer: || json!({ "erased": 12, "files": 2 }),
    recorded: true,
    plan: begin,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
enum Wanted {
    User(String),
    Address(String),
}

fn begin(call: &Call) -> Result<Plan, Problem> {
    let [] = call.query([])?;
    let whom = match call.json()? {
        Wanted::User(user) => Whom::User(user),
        Wanted::Address(address) => Whom::Address(address),
    };
    let housekeeper =
        call.desk.parts.housekeeper.clone().ok_or_else(|| bad("no audit log is written here"))?;
    let act = async move {
        let erased = tokio::task::spawn_blocking(move || erase(&housekeeper, &whom)).await;
        match erased {
            Ok(Ok(Kept { erased, rewritten, .. })) => {
                Ok(done(&json!({ "erased": erased, "files": rewritten })))
            }
            Ok(Err(error)) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "nothing was erased from the audit log"
                );
                let failure = Failure::new(Code::Unavailable, "not erased; see the log of this node");
                Err(failure.into())
            }
            // It has panicked.
            Err(_) => Err(Failure::from(Code::Internal).into()),
        }
    };
    // Not on somebody: that would write down again what is to go.
    Ok(Plan::new(act))
}
