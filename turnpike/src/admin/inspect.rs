//! Looking into the cluster: connections with what happened to them last, users, rooms, streams, and why somebody did or did
//! not get a message. Whichever node is asked asks the others.

use axum::http::StatusCode;
use serde_json::{Value, json};
use turnpike_audit::Object;
use turnpike_gateway::inspect::Which;
use turnpike_wire::{Code, Failure, RoomId, UserId};

use super::operation::{Call, Method, Operation, Outcome, Parameter, Plan, Problem, done};
use super::request::{bad, nothing};

pub(super) const CONNECTION: Operation = Operation {
    id: "inspectConnection",
    method: Method::Get,
    path: "/admin/v1/inspect/connections/{connection}",
    about: "A connection by its id, on whichever node it is or was within the last hour: who it is, what waits to be written, \
            and what happened to it last. One that was recovered has an entry for each time. `unanswered` names the nodes \
            that did not answer.",
    parameters: &[],
    body: None,
    success: StatusCode::OK,
    answer: || json!({ "connections": [seen()], "more": 0, "unanswered": [] }),
    recorded: true,
    plan: connection,
};

pub(super) const USER: Operation = Operation {
    id: "inspectUser",
    method: Method::Get,
    path: "/admin/v1/inspect/users/{user}",
    about: "All connections of a user on all nodes, those included that ended within the last hour, with rooms, devices, bans \
            and mutes, and the limits of their class.",
    parameters: &[],
    body: None,
    success: StatusCode::OK,
    answer: || {
        json!({
            "user": "bob", "connections": [seen()], "more": 0, "unanswered": [],
            "devices": [{ "node": "gateway-2", "device": "phone", "status": "online" }],
            "standing": [{ "step": "mute", "until_ms": 1_795_000_000_000_u64, "by": "gateway-1", "reason": "flood" }],
            "limits": [{ "limit": "messages", "a_second": 10.0, "burst": 50 }],
        })
    },
    recorded: true,
    plan: user,
};

pub(super) const ROOM: Operation = Operation {
    id: "inspectRoom",
    method: Method::Get,
    path: "/admin/v1/inspect/rooms/{room}",
    about: "Where a room stands, how far back its messages are kept, the latest of them without their bodies, and what each \
            node has of it: how far it has come, and its members (100 are named).",
    parameters: &[],
    body: None,
    success: StatusCode::OK,
    answer: || {
        json!({
            "room": "chat:lobby", "epoch": 1, "seq": 41, "history": history(), "latest": [published()],
            "nodes": [of_node()], "unanswered": [],
        })
    },
    recorded: true,
    plan: room,
};

pub(super) const STREAM: Operation = Operation {
    id: "inspectStream",
    method: Method::Get,
    path: "/admin/v1/inspect/streams/{stream}",
    about: "A stream of live video: the relay where it is published, the relays that carry it, and the clients of gateways \
            that publish or watch it. `relays[].at` is what a relay itself says: who watches there by whichever way, the relay that it \
            comes `from`, to how many others it goes on (`gives_to`), and each track with its layers. `publishers` and `viewers` beside \
            it are clients of gateways alone.",
    parameters: &[],
    body: None,
    success: StatusCode::OK,
    answer: || {
        json!({
            "stream": "live:show",
            "home": { "node": "relay-1", "incarnation": "01957c2e9b1a4f60", "since_ms": 1_794_990_000_000_u64, "publishers": 1, "viewers": 120 },
            "relays": [{
                "node": "relay-1", "incarnation": "01957c2e9b1a4f60", "home": true, "publishers": 1, "viewers": 40,
                "link": "10.0.0.31:40112", "load_permille": 120, "has_room": true,
                "at": {
                    "phase": "live", "viewers": 42, "recording": false, "from": null, "gives_to": 1,
                    "tracks": [{
                        "user": "alice", "kind": "video", "muted": false,
                        "layers": [{ "rid": "f", "active": true, "bits_per_second": 1_480_000, "size": [1280, 720] }],
                    }],
                    "more": 0,
                },
            }],
            "nodes": [{ "node": "gateway-1", "more": 0, "sessions": [{ "connection": "x7Jq...", "role": "viewer", "relay": 113_790_242_131_300_192_u64 }] }],
            "unanswered": [],
        })
    },
    recorded: true,
    plan: stream,
};

pub(super) const MESSAGE: Operation = Operation {
    id: "inspectMessage",
    method: Method::Get,
    path: "/admin/v1/inspect/rooms/{room}/message",
    about: "Why a user got a message of the room, or did not. `verdict.delivered` is null where that cannot be told; \
            `verdict.reason` and each connection's `finding` are explained in inspect.md.",
    parameters: &[
        Parameter { name: "user", about: "for whom" },
        Parameter { name: "seq", about: "the message's number in the room" },
        Parameter { name: "id", about: "or its id; among the latest 5000 messages" },
    ],
    body: None,
    success: StatusCode::OK,
    answer: || {
        let mut judged = seen();
        judged["finding"] = "lost_in_queue".into();
        judged["text"] =
            "had not read what was before it when it ended 9.8 s after the message was published...".into();
        json!({
            "room": "chat:lobby", "user": "bob", "message": published(), "history": history(),
            "verdict": { "delivered": false, "reason": "lost_in_queue", "text": "bob did not get message 41 of chat:lobby..." },
            "nodes": [of_node()], "connections": [judged], "received": 38, "read": null, "more": 0, "unanswered": [],
        })
    },
    recorded: true,
    plan: message,
};

fn seen() -> Value {
    json!({
        "node": "gateway-2", "connection": "x7JqWm3n0aPzQk5TtB2c", "user": "bob", "kind": "socketio", "device": "phone",
        "state": { "closed": { "at_ms": 1_794_990_009_800_u64, "reason": "slow_reader" } },
        "address": "192.0.2.7", "since_ms": 1_794_980_000_000_u64, "recovered": false,
        "transport": {
            "websocket": true, "upgraded": true, "compressed": false, "queue_bytes": 32_700, "queue_items": 80, "blocked": true,
            "behind": true, "pinged": false, "received_bytes": 4_120, "sent_bytes": 190_022, "delivered": 812, "asked": 17,
        },
        "rooms": ["user:bob", "chat:lobby"], "rooms_count": 2,
        "events": [
            { "at_ms": 1_794_980_000_450_u64, "what": "joined", "room": "chat:lobby" },
            { "at_ms": 1_794_989_999_000_u64, "what": "behind", "number": 32_700 },
        ],
    })
}

fn published() -> Value {
    json!({ "epoch": 1, "seq": 41, "id": "m-41", "from": "alice", "ts": 1_794_990_000_000_u64, "bytes": 112 })
}

fn history() -> Value {
    json!({ "first_seq": 1, "first_ts": 1_794_000_000_000_u64, "last_seq": 41, "last_ts": 1_794_990_000_000_u64 })
}

fn of_node() -> Value {
    json!({
        "node": "gateway-2", "open": true, "epoch": 1, "seq": 41, "sessions": 2, "connected": 1,
        "members": [{ "connection": "x7JqWm3n0aPzQk5TtB2c", "user": "bob", "connected": false }],
    })
}

fn connection(call: &Call) -> Result<Plan, Problem> {
    let id: String = call.param("connection")?;
    let [] = call.query([])?;
    let (desk, about) = (call.desk.clone(), id.clone());
    let act = async move {
        let found = desk.parts.gateway.inspect_connection(&id).await;
        let found = found
            .ok_or_else(|| bad("not the id of a connection: those have 20 letters, digits, `-` and `_`"))?;
        if found.connections.is_empty() {
            return Err(nobody(
                &found.unanswered,
                "no node knows this connection, nor one that ended within the last hour",
            ));
        }
        Outcome::Ok(done(&found))
    };
    Ok(Plan::new(act).on(Object::Connection, about))
}

/// Nothing was found, by those who answered.
fn nobody(unanswered: &[String], message: &'static str) -> Problem {
    if unanswered.is_empty() {
        return nothing(message);
    }
    let message = format!("{message}; but these did not answer: {}", unanswered.join(", "));
    Failure::new(Code::Unavailable, message).into()
}

fn user(call: &Call) -> Result<Plan, Problem> {
    let user: UserId = call.param("user")?;
    let [] = call.query([])?;
    let (desk, about) = (call.desk.clone(), user.as_str().to_owned());
    let act = async move {
        let found = desk.parts.gateway.inspect_user(&user).await;
        let found =
            found.map_err(|error| Failure::from(Code::Unavailable).retry_after_ms(error.retry_after_ms))?;
        Outcome::Ok(done(&found))
    };
    Ok(Plan::new(act).on(Object::User, about))
}

fn room(call: &Call) -> Result<Plan, Problem> {
    let room: RoomId = call.param("room")?;
    let [] = call.query([])?;
    let (desk, about) = (call.desk.clone(), room.as_str().to_owned());
    let act = async move {
        let found = desk.parts.gateway.inspect_room(&room).await?;
        let found =
            found.ok_or_else(|| nothing("nobody is in this room, and nothing of it is remembered"))?;
        Outcome::Ok(done(&found))
    };
    Ok(Plan::new(act).on(Object::Room, about))
}

fn stream(call: &Call) -> Result<Plan, Problem> {
    let stream: RoomId = call.param("stream")?;
    let [] = call.query([])?;
    let (desk, about) = (call.desk.clone(), stream.as_str().to_owned());
    let act = async move { Outcome::Ok(done(&desk.parts.gateway.inspect_stream(&stream).await?)) };
    Ok(Plan::new(act).on(Object::Stream, about))
}

fn message(call: &Call) -> Result<Plan, Problem> {
    let room: RoomId = call.param("room")?;
    let [user, seq, id] = call.query(["user", "seq", "id"])?;
    let user = user.ok_or_else(|| bad("`user` is missing: for whom?"))?;
    let user: UserId = user.parse().map_err(|error: turnpike_wire::IdError| bad(error.to_string()))?;
    let which = match (seq, id) {
        (Some(seq), None) => {
            let seq = seq.parse().ok().filter(|seq| *seq > 0);
            Which::Seq(seq.ok_or_else(|| bad("`seq` is not the number of a message"))?)
        }
        (None, Some(id)) => Which::Id(id),
        (None, None) | (Some(_), Some(_)) => return Err(bad("expected either `seq` or `id`")),
    };
    let (desk, about) = (call.desk.clone(), user.as_str().to_owned());
    let act = async move { Outcome::Ok(done(&desk.parts.gateway.trace(&room, &which, &user).await?)) };
    Ok(Plan::new(act).on(Object::User, about))
}
