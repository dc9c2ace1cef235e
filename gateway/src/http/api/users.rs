//! One user: where they are connected, how far they have read what is theirs, and sending them away.

use std::collections::HashMap;

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use turnpike_cluster::{Command, Incarnation, Mark, Range, Read, Row, RowKey, Signal, Status};
use turnpike_wire::event::Empty;
use turnpike_wire::{Disconnect, RoomId, UserId};

use super::openapi::USER;
use super::operation::{Access, Call, Method, Operation, Outcome, RequestBody, done};
use super::request::bad;
use crate::membership::unavailable;

pub(super) const GET: Operation = Operation {
    id: "getUser",
    method: Method::Get,
    path: "/api/v1/users/{user}",
    access: Access::Service,
    summary: "Read where a user is connected, and what they have not read.",
    description: "`status` is the most present of all devices: online, busy, away, invisible, or offline without any. \
                  `invisible` is for the backend alone: nobody else may learn it. A connection that names no device \
                  is one of its own, under its id. `inbox` is about the user's personal room. A user nobody has \
                  heard of is answered like one who is away.",
    parameters: &[USER],
    body: None,
    success: StatusCode::OK,
    answer: || json!({ "$ref": "#/components/schemas/User" }),
    refusals: &[400],
    handle: |call| Box::pin(get(call)),
};

pub(super) const DISCONNECT: Operation = Operation {
    id: "disconnectUser",
    method: Method::Post,
    path: "/api/v1/users/{user}/disconnect",
    access: Access::Service,
    summary: "Close all connections of a user.",
    description: "Every node that the user is connected to is asked; it is done a moment later. Codes below 3500 tell \
                  clients to come back, the others not to with these credentials. The user's token stays valid.",
    parameters: &[USER],
    body: Some(RequestBody {
        bodies_max: 0,
        schema: || json!({ "$ref": "#/components/schemas/Dismissal" }),
        example: || json!({ "code": 3502 }),
    }),
    success: StatusCode::ACCEPTED,
    answer: || json!({ "$ref": "#/components/schemas/Empty" }),
    refusals: &[400, 413, 415],
    handle: |call| Box::pin(async move { disconnect(&call) }),
};

#[derive(Serialize)]
struct Account<'a> {
    user: &'a UserId,
    status: &'static str,
    devices: Vec<Shown<'a>>,
    /// Milliseconds since 1970, of a user who is not connected and was within a month.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<u64>,
    inbox: Inbox,
}

#[derive(Serialize)]
struct Shown<'a> {
    device: &'a str,
    /// A node that has just come or gone may not be known by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a str>,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    activity: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Inbox {
    epoch: u64,
    seq: u64,
    received: u64,
    read: u64,
    unread: u64,
}

async fn get(call: Call) -> Outcome {
    let app = &call.app;
    let user: UserId = call.param("user")?;
    let [] = call.query([])?;
    let room = RoomId::personal(&user);
    let mut rows = app.presences.devices(&user).wait().await.map_err(unavailable)?.rows;
    rows.sort_by(|(_, one, _), (_, other, _)| one.cmp(other));
    let last_seen = if rows.is_empty() {
        app.presences.last_seen(&user).wait().await.map_err(unavailable)?
    } else {
        None
    };
    let marks = app.cluster.marks.marks(&room, std::slice::from_ref(&user));
    let marks = marks.wait().await.map_err(unavailable)?;
    let latest = Read { room, range: Range::Latest, messages_max: 1, bytes_max: 0 };
    let standing = app.cluster.broker.read(&latest).wait().await.map_err(unavailable)?.standing;
    let (received, read) = marks.first().map_or((0, 0), |Mark { received, read, .. }| (*received, *read));
    let nodes = app.cluster.membership.nodes().borrow().clone();
    let names: HashMap<Incarnation, &str> =
        nodes.iter().map(|node| (node.incarnation, node.name.as_str())).collect();
    let devices = rows
        .iter()
        .map(|(incarnation, RowKey { device, .. }, Row { status, activity })| Shown {
            device,
            node: names.get(incarnation).copied(),
            status: *status,
            activity: activity.as_deref(),
        })
        .collect();
    Ok(done(&Account {
        user: &user,
        status: most_present(rows.iter().map(|(_, _, row)| row.status)),
        devices,
        last_seen,
        inbox: Inbox {
            epoch: standing.epoch,
            seq: standing.seq,
            received,
            read,
            unread: standing.seq.saturating_sub(read),
        },
    }))
}

fn most_present(statuses: impl Iterator<Item = Status>) -> &'static str {
    let name = |status| match status {
        Status::Online => (0, "online"),
        Status::Busy => (1, "busy"),
        Status::Away => (2, "away"),
        Status::Invisible => (3, "invisible"),
    };
    statuses.map(name).min().map_or("offline", |(_, name)| name)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dismissal {
    #[serde(default)]
    code: Option<u16>,
}

fn disconnect(call: &Call) -> Outcome {
    let user: UserId = call.param("user")?;
    let [] = call.query([])?;
    let dismissal: Dismissal = call.json()?;
    let code = dismissal.code.unwrap_or(Disconnect::Revoked.code());
    if !Disconnect::ALL.iter().any(|known| known.code() == code) {
        return Err(
            bad(format!("`code`: {code} is none of the codes that connections are closed with")).into()
        );
    }
    call.app.cluster.broker.signal(&RoomId::personal(&user), Signal::Command(Command::Disconnect { code }));
    Ok(done(&Empty {}))
}
