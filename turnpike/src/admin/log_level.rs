//! What this node logs: as configured, or otherwise for a while.

use std::time::Duration;

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use turnpike_audit::Object;
use turnpike_daemon::config::Setting as _;
use turnpike_daemon::log::{Dial, Levels};

use super::operation::{Call, Method, Operation, Plan, Problem, done};
use super::request::bad;

const SECONDS_DEFAULT: u64 = 600;
/// Who wants it for longer configures it.
const SECONDS_MAX: u64 = 86_400;
const SETTING: &str = "log.level";

pub(super) const GET: Operation = Operation {
    id: "getLogLevel",
    method: Method::Get,
    path: "/admin/v1/log-level",
    about: "What this node logs, what is configured, and after how many seconds it goes back to that by itself.",
    parameters: &[],
    body: None,
    success: StatusCode::OK,
    answer: || json!({ "levels": "info,turnpike_engine=debug", "configured": "info", "back_in_seconds": 600 }),
    recorded: false,
    plan: |call| {
        let [] = call.query([])?;
        let dial = call.desk.parts.dial.clone();
        Ok(Plan::new(async move { Ok(done(&shown(&dial))) }))
    },
};

pub(super) const SET: Operation = Operation {
    id: "setLogLevel",
    method: Method::Put,
    path: "/admin/v1/log-level",
    about: "Log other levels for a while: a level, or levels by part of the program. After `seconds` (1 to 86400, unless \
            said: 600) it is as configured again.",
    parameters: &[],
    body: Some(|| json!({ "levels": "info,turnpike_engine=debug", "seconds": 600 })),
    success: StatusCode::OK,
    answer: || json!({ "levels": "info,turnpike_engine=debug", "configured": "info", "back_in_seconds": 600 }),
    recorded: true,
    plan: set,
};

pub(super) const RESET: Operation = Operation {
    id: "resetLogLevel",
    method: Method::Delete,
    path: "/admin/v1/log-level",
    about: "Log what is configured again.",
    parameters: &[],
    body: None,
    success: StatusCode::OK,
    answer: || json!({ "levels": "info", "configured": "info", "back_in_seconds": null }),
    recorded: true,
    plan: |call| {
        let [] = call.query([])?;
        let dial = call.desk.parts.dial.clone();
        let act = async move {
            dial.turn_back();
            Ok(done(&shown(&dial)))
        };
        Ok(Plan::new(act).on(Object::Setting, SETTING))
    },
};

fn shown(dial: &Dial) -> Value {
    let read = dial.read();
    json!({
        "levels": read.levels,
        "configured": read.configured,
        "back_in_seconds": read.back_in.map(|back| back.as_millis().div_ceil(1000) as u64),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    levels: String,
    #[serde(default)]
    seconds: Option<u64>,
}

fn set(call: &Call) -> Result<Plan, Problem> {
    let [] = call.query([])?;
    let Wanted { levels, seconds } = call.json()?;
    let levels =
        Levels::parse(&levels).map_err(|_| bad(format!("`levels`: expected {}", Levels::EXPECTS)))?;
    let seconds = seconds.unwrap_or(SECONDS_DEFAULT);
    if !(1..=SECONDS_MAX).contains(&seconds) {
        return Err(bad(format!("`seconds` is from 1 to {SECONDS_MAX}")));
    }
    let dial = call.desk.parts.dial.clone();
    let setting = format!("{SETTING}={}", levels.show());
    let act = async move {
        dial.turn(levels, Duration::from_secs(seconds));
        Ok(done(&shown(&dial)))
    };
    Ok(Plan::new(act).on(Object::Setting, setting))
}
