//! The newest signed checkpoints of the audit log of this node, for whoever keeps them elsewhere.

use std::path::Path;

use axum::http::StatusCode;
use serde_json::{Value, json};
use turnpike_audit::{Kind, Record, segments};

use super::operation::{Method, Operation, Outcome, Parameter, Plan, done};
use super::records::reading;
use super::request::limit;

const COUNT_DEFAULT: usize = 1;
const COUNT_MAX: usize = 100;

pub(super) const LIST: Operation = Operation {
    id: "listCheckpoints",
    method: Method::Get,
    path: "/admin/v1/audit/checkpoints",
    about: "The newest checkpoints of the audit log of this node, newest first. `note` is what `turnpike audit verify \
            --anchors` takes: kept on another machine, it shows later that nothing was cut off or made anew.",
    parameters: &[Parameter { name: "limit", about: "at most so many, 1 to 100 (1)" }],
    body: None,
    success: StatusCode::OK,
    answer: || {
        json!({ "checkpoints": [{
            "record": 1043, "time": "2026-11-21T10:05:02.000Z", "note": "turnpike/gateway-1\n1043\n...\n",
        }] })
    },
    recorded: false,
    plan: |call| {
        let [most] = call.query(["limit"])?;
        let most = limit(most.as_deref(), COUNT_DEFAULT, COUNT_MAX)?;
        let desk = call.desk.clone();
        let act = async move {
            let directory = desk.parts.audit_directory.clone();
            let found = reading(&desk, move || newest(&directory, most)).await?;
            Outcome::Ok(done(&json!({ "checkpoints": found })))
        };
        Ok(Plan::new(act))
    },
};

fn newest(directory: &Path, most: usize) -> std::io::Result<Vec<Value>> {
    let mut found = Vec::new();
    for segment in segments(directory)?.into_iter().rev() {
        let mut lines = segment.lines()?;
        let mut here = Vec::new();
        while let Some(line) = lines.next_line()? {
            let Some(record) = Record::read(line.bytes) else { continue };
            if record.class() == Kind::Checkpoint.class() && record.activity() == Kind::Checkpoint.activity()
            {
                here.push(json!({
                    "record": record.seq(),
                    "time": record.text(&["time"]),
                    "note": record.text(&["detail", "note"]),
                }));
            }
        }
        found.extend(here.into_iter().rev());
        if found.len() >= most {
            break;
        }
    }
    found.truncate(most);
    Ok(found)
}
