//! The audit log of this node, asked for what it says.

use std::path::Path;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value, json};
use turnpike_audit::{Filter, Kind, Outcome as Result_, Records, Time};
use turnpike_wire::{Code, Failure};

use super::desk::Desk;
use super::operation::{Call, Method, Operation, Outcome, Parameter, Plan, Problem, done};
use super::request::{bad, limit};
use crate::audit::moment;

const RECORDS_DEFAULT: usize = 100;
const RECORDS_MAX: usize = 1_000;
const BYTES_MAX: usize = 1024 * 1024;
/// Then the answer says how far it came, and the next request goes on from there.
const READING_MAX: Duration = Duration::from_secs(5);

pub(super) const QUERY: Operation = Operation {
    id: "queryAudit",
    method: Method::Get,
    path: "/admin/v1/audit/records",
    about: "Records of the audit log of this node that all these fit, oldest first, as they stand in the log. `next` is \
            there if there may be more: the same request with it as `after` goes on. An answer may be empty and have a \
            `next`, if much was read and nothing found.",
    parameters: &[
        Parameter { name: "user", about: "who did it, or to whom it was done" },
        Parameter { name: "address", about: "where it came from, or which address it was done to" },
        Parameter { name: "room", about: "what it was done to" },
        Parameter { name: "stream", about: "what it was done to" },
        Parameter { name: "connection", about: "over which connection" },
        Parameter { name: "class", about: "`admin`, `ban`, ... as in [audit.md](audit.md#kinds-of-records)" },
        Parameter { name: "activity", about: "`intent`, `placed`, ... as there" },
        Parameter { name: "outcome", about: "`success`, `failure`, `refused` or `pending`" },
        Parameter { name: "since", about: "a time such as `2026-11-21T10:05Z`, or `2h` for two hours ago" },
        Parameter { name: "until", about: "the same; not included" },
        Parameter { name: "after", about: "only records with higher numbers" },
        Parameter { name: "limit", about: "at most so many, 1 to 1000 (100)" },
    ],
    body: None,
    success: StatusCode::OK,
    answer: || {
        json!({
            "records": [{ "seq": 1042, "time": "2026-11-21T10:05:01.123Z", "class": "admin", "activity": "intent", "...": "" }],
            "next": 1042,
        })
    },
    recorded: true,
    plan: query,
};

#[derive(Serialize)]
struct Page {
    records: Vec<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

fn query(call: &Call) -> Result<Plan, Problem> {
    let [user, address, room, stream, connection, class, activity, outcome, since, until, after, most] = call
        .query([
            "user",
            "address",
            "room",
            "stream",
            "connection",
            "class",
            "activity",
            "outcome",
            "since",
            "until",
            "after",
            "limit",
        ])?;
    if let Some(class) = class.as_deref().filter(|class| !turnpike_audit::classes().contains(class)) {
        return Err(bad(format!("`class`: there is no `{class}`")));
    }
    if let Some(activity) = &activity
        && !Kind::ALL.iter().any(|kind| kind.activity() == activity)
    {
        return Err(bad(format!("`activity`: there is no `{activity}`")));
    }
    if let Some(outcome) = &outcome
        && !Result_::ALL.iter().any(|known| known.word() == outcome)
    {
        return Err(bad(format!("`outcome`: there is no `{outcome}`")));
    }
    let time = |name: &str, text: Option<String>| -> Result<Option<Time>, Problem> {
        text.map(|text| moment(&text).map_err(|error| bad(format!("`{name}`: {error}")))).transpose()
    };
    let filter = Filter {
        user,
        address,
        room,
        stream,
        connection,
        class,
        activity,
        outcome,
        since: time("since", since)?,
        until: time("until", until)?,
    };
    let after: Option<u64> = after
        .map(|text| text.parse().map_err(|_| bad("`after` is not the number of a record")))
        .transpose()?;
    let records_max = limit(most.as_deref(), RECORDS_DEFAULT, RECORDS_MAX)?;
    let desk = call.desk.clone();
    let act = async move {
        let directory = desk.parts.audit_directory.clone();
        let page = reading(&desk, move || page(&directory, &filter, after, records_max)).await?;
        Outcome::Ok(done(&page))
    };
    Ok(Plan::new(act))
}

/// Reads files, on a thread that may wait for them.
pub(super) async fn reading<T: Send + 'static>(
    desk: &Desk,
    read: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Problem> {
    let Ok(place) = desk.readings.clone().try_acquire_owned() else {
        let failure = Failure::new(Code::Unavailable, "the audit log is being read by others");
        return Err(failure.retry_after_ms(1_000).into());
    };
    let read = tokio::task::spawn_blocking(move || {
        let _place = place;
        read()
    });
    match read.await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the audit log cannot be read");
            Err(Failure::new(Code::Unavailable, "the audit log cannot be read; see the log of this node")
                .into())
        }
        Err(_) => Err(Failure::from(Code::Internal).into()),
    }
}

fn page(directory: &Path, filter: &Filter, after: Option<u64>, records_max: usize) -> std::io::Result<Page> {
    let began = Instant::now();
    // All of them are looked at here: else nobody could say how far it came.
    let all = Filter { since: filter.since, ..Filter::default() };
    let mut found = Page { records: Vec::new(), next: None };
    let mut bytes = 0;
    for record in Records::of(directory, all)?.after(after) {
        let record = record?;
        let seq = record.seq();
        if filter.finds(&record.0) {
            bytes += serde_json::to_string(&record.0).map_or(0, |text| text.len());
            found.records.push(record.0);
        }
        if found.records.len() == records_max || bytes > BYTES_MAX || began.elapsed() > READING_MAX {
            found.next = Some(seq);
            break;
        }
    }
    Ok(found)
}
