//! Verifying the audit log of this node while it runs. One at a time, on a thread of its own; how far it is can be asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use turnpike_audit::{Event, Kind, Outcome as Result_, Progress, Trust, Verdict, Verify};

use super::desk::Desk;
use super::keys;
use super::operation::{Call, Method, Operation, Outcome, Plan, Problem, done};
use super::request::conflict;
use crate::audit::report_json;

/// How much may lie after the newest checkpoint.
const TAIL_MAX: Duration = Duration::from_secs(10);

pub(super) const GET: Operation = Operation {
    id: "getVerification",
    method: Method::Get,
    path: "/admin/v1/audit/verification",
    about: "The verification that runs, or what the last one found: `state` is `none`, `running`, `done` or `failed`; \
            `report` is as `turnpike audit verify --json` prints it.",
    parameters: &[],
    body: None,
    success: StatusCode::OK,
    answer: || json!({ "state": "running", "records": 40960, "bytes": 20_971_520, "bytes_total": 67_108_864 }),
    recorded: false,
    plan: |call| {
        let [] = call.query([])?;
        let shown = shown(&call.desk.verification.state());
        Ok(Plan::new(async move { Ok(done(&shown)) }))
    },
};

pub(super) const BEGIN: Operation = Operation {
    id: "beginVerification",
    method: Method::Post,
    path: "/admin/v1/audit/verification",
    about: "Verify the audit log of this node from its first record to its last, in the background. It is asked with the \
            keys of this machine and without anchors, so a sound answer is no proof to an outsider: see \
            [audit.md](audit.md#verifying) for what an investigation does. What came of it is a record of the log.",
    parameters: &[],
    body: None,
    success: StatusCode::ACCEPTED,
    answer: || json!({ "state": "running", "records": 0, "bytes": 0, "bytes_total": 0 }),
    recorded: true,
    plan: begin,
};

#[derive(Default)]
pub(super) struct Bench(Mutex<State>);

#[derive(Default)]
pub(super) enum State {
    #[default]
    None,
    Running(Progress),
    Done(Value),
    Failed(String),
}

impl Bench {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one assignment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shown(state: &State) -> Value {
    match state {
        State::None => json!({ "state": "none" }),
        State::Running(Progress { records, bytes, bytes_total }) => {
            json!({ "state": "running", "records": records, "bytes": bytes, "bytes_total": bytes_total })
        }
        State::Done(report) => json!({ "state": "done", "report": report }),
        State::Failed(why) => json!({ "state": "failed", "reason": why }),
    }
}

fn begin(call: &Call) -> Result<Plan, Problem> {
    let [] = call.query([])?;
    let (desk, by) = (call.desk.clone(), call.by.clone());
    let act = async move {
        let keys = keys::public(&desk)?;
        let begun = shown(&{
            let mut state = desk.verification.state();
            if matches!(*state, State::Running(_)) {
                return Err(conflict("a verification is running already"));
            }
            *state = State::Running(Progress { records: 0, bytes: 0, bytes_total: 0 });
            State::Running(Progress { records: 0, bytes: 0, bytes_total: 0 })
        });
        let verify =
            Verify { trust: Trust { keys, anchors: Vec::new() }, tail_max: TAIL_MAX, anchors_needed: false };
        tokio::spawn(async move {
            let bench = desk.clone();
            if tokio::task::spawn_blocking(move || run(&desk, &verify, &by)).await.is_err() {
                *bench.verification.state() = State::Failed("it broke off; see the log of this node".into());
            }
        });
        Outcome::Ok(done(&begun))
    };
    Ok(Plan::new(act))
}

fn run(desk: &Arc<Desk>, verify: &Verify, by: &str) {
    let mut progress = |progress| *desk.verification.state() = State::Running(progress);
    let (state, event) = match verify.directory(&desk.parts.audit_directory, &mut progress) {
        Ok(report) => {
            let sound = report.verdict == Verdict::Sound;
            let event = Event::new(Kind::Verified, if sound { Result_::Success } else { Result_::Failure })
                .reason(report.verdict.word())
                .detail("records", report.records);
            if !sound {
                tracing::error!(verdict = report.verdict.word(), "the audit log is not as it was written");
            }
            (State::Done(report_json(&report)), event)
        }
        Err(error) => {
            let event = Event::new(Kind::Verified, Result_::Failure).reason("unreadable");
            (State::Failed(format!("the audit log cannot be read: {error}")), event)
        }
    };
    desk.audit.note(event.user(by));
    *desk.verification.state() = state;
}
