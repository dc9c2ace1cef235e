//! `turnpike inspect`: what it asks of a node, and how the answers look on a terminal.

mod stream;

use std::fmt::Write as _;

use serde_json::Value;
use turnpike_daemon::config::{Arguments, Faults};
use turnpike_wire::{RoomId, UserId};

use super::command::{Request, fault, id, is_url};
use super::table::{Column, table, text, time};

/// `words` are those after `inspect`. `None` if there is no such command; faults of flags are pushed.
pub(crate) fn parse(words: &[&str], arguments: &mut Arguments, faults: &mut Faults) -> Option<Request> {
    let json = arguments.take_switch("json");
    let url = arguments.take_one("url", "a URL", faults).filter(|url| is_url(url, faults));
    let by = arguments.take_one("as", "an id", faults).and_then(|text| id("as", &text, faults));
    let room = arguments.take_one("room", "a room", faults);
    let seq = arguments.take_one("seq", "a number", faults);
    let message = arguments.take_one("id", "the id of a message", faults);
    let user = arguments.take_one("for", "a user id", faults);
    let path = if words == ["message"] {
        path_of_message(room, seq, message, user, faults)?
    } else {
        let left = [("room", room), ("seq", seq), ("id", message), ("for", user)]
            .into_iter()
            .filter(|(_, it)| it.is_some());
        for (name, _) in left {
            faults.push(fault(name, None, "is not for this command", "it is for `turnpike inspect message`"));
        }
        match words {
            ["connection", id] => format!("/admin/v1/inspect/connections/{}", encoded(id)),
            ["user", user] => format!("/admin/v1/inspect/users/{}", id::<UserId>("user", user, faults)?),
            ["room", room] => format!("/admin/v1/inspect/rooms/{}", id::<RoomId>("room", room, faults)?),
            ["stream", stream] => {
                format!("/admin/v1/inspect/streams/{}", id::<RoomId>("stream", stream, faults)?)
            }
            _ => return None,
        }
    };
    let show: fn(&Value) -> String = match words.first() {
        Some(&"connection") => connections,
        Some(&"user") => user_text,
        Some(&"room") => room_text,
        Some(&"stream") => stream::shown,
        _ => message_text,
    };
    Some(Request { json, url, by, ..Request::get(path, show) })
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn path_of_message(
    room: Option<String>,
    seq: Option<String>,
    message: Option<String>,
    user: Option<String>,
    faults: &mut Faults,
) -> Option<String> {
    let mut missing = |flag: &str, remedy: &str| faults.push(fault(flag, None, "is missing", remedy));
    if room.is_none() {
        missing("room", "expected the room of the message");
    }
    if user.is_none() {
        missing("for", "expected whom it was for");
    }
    if seq.is_some() == message.is_some() {
        missing("seq", "expected either --seq or --id");
    }
    let (room, user) = (room?, user?);
    let room: RoomId = id("room", &room, faults)?;
    let user: UserId = id("for", &user, faults)?;
    let which = match (seq, message) {
        (Some(seq), None) => {
            let number = seq.parse::<u64>().ok().filter(|number| *number > 0);
            if number.is_none() {
                faults.push(fault("seq", Some(&seq), "does not fit", "expected the number of a message"));
            }
            format!("seq={}", number?)
        }
        (None, Some(message)) => format!("id={}", encoded(&message)),
        _ => return None,
    };
    Some(format!("/admin/v1/inspect/rooms/{room}/message?user={}&{which}", encoded(user.as_str())))
}

/// Nodes that did not answer: what they know is not in the answer.
pub(super) fn is_partial(answer: &Value) -> bool {
    answer["unanswered"].as_array().is_some_and(|nodes| !nodes.is_empty())
}

fn unanswered(answer: &Value) -> String {
    let nodes: Vec<String> = answer["unanswered"].as_array().into_iter().flatten().map(text).collect();
    if nodes.is_empty() { String::new() } else { format!("\n\nDid not answer: {}", nodes.join(", ")) }
}

fn state(one: &Value) -> String {
    match &one["state"] {
        Value::String(state) => state.clone(),
        state if state["away"].is_object() => {
            format!("away, may return until {}", time(&state["away"]["until_ms"]))
        }
        state => {
            let closed = &state["closed"];
            let detail = match closed["text"].as_str() {
                Some(detail) if !detail.is_empty() && closed["text"] != closed["reason"] => {
                    format!(" ({})", text(&closed["text"]))
                }
                _ => String::new(),
            };
            format!("closed at {}: {}{detail}", time(&closed["at_ms"]), text(&closed["reason"]))
        }
    }
}

fn listed(list: &Value) -> String {
    let all: Vec<String> = list.as_array().into_iter().flatten().map(text).collect();
    if all.is_empty() { "-".into() } else { all.join(" ") }
}

/// A connection, and below it what happened to it.
fn connection(one: &Value) -> String {
    let mut out = format!("{} on {}: {}", text(&one["connection"]), text(&one["node"]), state(one));
    let _ = write!(
        out,
        "\n  user       {}, {}, from {}, since {}{}",
        text(&one["user"]),
        text(&one["kind"]),
        text(&one["address"]),
        time(&one["since_ms"]),
        if one["recovered"] == true { ", recovered" } else { "" }
    );
    if !one["device"].is_null() {
        let _ = write!(out, ", device {}", text(&one["device"]));
    }
    if let Some(expires) = one["token"]["expires_at"].as_u64() {
        let (role, token) = (text(&one["token"]["role"]), text(&one["token"]["id"]));
        let _ = write!(out, "\n  token      {role} {token}, until {}", time(&(expires * 1_000).into()));
    }
    let _ = write!(out, "\n  rooms      {} ({})", listed(&one["rooms"]), text(&one["rooms_count"]));
    let transport = &one["transport"];
    if !transport.is_null() {
        let is = |name: &str| transport[name] == true;
        let wire = match (is("websocket"), is("upgraded")) {
            (true, true) => "websocket, upgraded",
            (true, false) => "websocket",
            _ => "long-polling",
        };
        let marks =
            [("compressed", "compressed"), ("blocked", "the kernel takes no more"), ("behind", "behind")];
        let marks = marks.into_iter().filter(|(name, _)| is(name)).map(|(_, words)| words);
        let marks: Vec<&str> = std::iter::once(wire).chain(marks).collect();
        let _ = write!(out, "\n  transport  {}", marks.join(", "));
        let _ = write!(
            out,
            "\n  traffic    {} bytes in, {} out; {} events in, {} messages out; {} bytes wait",
            text(&transport["received_bytes"]),
            text(&transport["sent_bytes"]),
            text(&transport["asked"]),
            text(&transport["delivered"]),
            text(&transport["queue_bytes"])
        );
    }
    for event in one["events"].as_array().into_iter().flatten() {
        let _ = write!(out, "\n  {}  {}", time(&event["at_ms"]), happened(event));
    }
    out
}

/// A line of the record.
fn happened(event: &Value) -> String {
    let (room, what, number) = (text(&event["room"]), text(&event["what"]), text(&event["number"]));
    let asked = text(&event["event"]);
    let somewhere =
        |words: &str| if event["room"].is_null() { String::new() } else { format!("{words} {room}") };
    match &*what {
        "joined" => format!("joined {room}"),
        "left" => format!("left {room}"),
        "delivered" => format!("delivered {number}{}", somewhere(" of")),
        "delivered_through" => format!("delivered ... {number}{}", somewhere(" of")),
        "asked" => format!("sent {asked}"),
        "answered" => format!("sent {asked}, answered after {number} ms"),
        "refused" => format!("{asked} refused: {}{}", text(&event["reason"]), somewhere(", of")),
        "behind" => format!("behind: its queue is full with {number} bytes, messages are kept back"),
        "refilled" => format!("was given {number} events that it had missed"),
        "blocked" => format!("the kernel takes no more; {number} bytes wait"),
        "dropped" => format!("{number} events dropped that nobody is promised"),
        "discarded" => format!("{number} bytes thrown away: the client had gone"),
        "pong_late" => format!("answered a ping only after {number} ms"),
        "muted" => format!("{asked} refused: muted"),
        "recovered" => format!("recovered, with {number} missed messages"),
        "not_recovered" => format!("could not be recovered; {number} rooms lost"),
        "token_expiring" => format!("its token ends in {number} s"),
        "token_refreshed" => "brought a new token".into(),
        other => other.to_owned(),
    }
}

fn connections(answer: &Value) -> String {
    let all: Vec<String> = answer["connections"].as_array().into_iter().flatten().map(connection).collect();
    let more = answer["more"].as_u64().filter(|more| *more > 0);
    let more = more.map(|more| format!("\n\n{more} more are not shown")).unwrap_or_default();
    format!("{}{more}{}", all.join("\n\n"), unanswered(answer))
}

fn user_text(answer: &Value) -> String {
    let devices: &[Column] = &[
        ("NODE", |one| text(&one["node"])),
        ("DEVICE", |one| text(&one["device"])),
        ("STATUS", |one| text(&one["status"])),
    ];
    let standing: &[Column] = &[
        ("STEP", |one| text(&one["step"])),
        ("UNTIL", |one| time(&one["until_ms"])),
        ("BY", |one| text(&one["by"])),
        ("REASON", |one| text(&one["reason"])),
    ];
    let limits: &[Column] = &[
        ("LIMIT", |one| text(&one["limit"])),
        ("A SECOND", |one| text(&one["a_second"])),
        ("AT ONCE", |one| text(&one["burst"])),
    ];
    let shown = connections(answer);
    format!(
        "{}\n\n{}\n\n{}\n\n{}",
        table(&answer["devices"], devices, "no device is connected"),
        table(&answer["standing"], standing, "neither banned nor muted"),
        table(&answer["limits"], limits, "no limits"),
        if shown.is_empty() {
            "no connection, nor one that ended within the last hour".to_owned()
        } else {
            shown
        },
    )
}

fn history(history: &Value) -> String {
    if history["first_seq"].is_null() {
        return "nothing is kept".into();
    }
    format!(
        "{} to {} are kept, from {} to {}",
        text(&history["first_seq"]),
        text(&history["last_seq"]),
        time(&history["first_ts"]),
        time(&history["last_ts"])
    )
}

const NODES: &[Column] =
    &[
        ("NODE", |one| text(&one["node"])),
        ("HAS", |one| {
            if one["open"] == true { format!("up to {}", text(&one["seq"])) } else { "nobody there".into() }
        }),
        ("CONNECTED", |one| text(&one["connected"])),
        ("SESSIONS", |one| text(&one["sessions"])),
    ];

fn room_text(answer: &Value) -> String {
    let latest: &[Column] = &[
        ("SEQ", |one| text(&one["seq"])),
        ("AT", |one| time(&one["ts"])),
        ("FROM", |one| text(&one["from"])),
        ("ID", |one| text(&one["id"])),
        ("BYTES", |one| text(&one["bytes"])),
    ];
    let mut out = format!(
        "{} stands at {}, epoch {}; {}\n\n{}\n\n{}",
        text(&answer["room"]),
        text(&answer["seq"]),
        text(&answer["epoch"]),
        history(&answer["history"]),
        table(&answer["latest"], latest, "no messages"),
        table(&answer["nodes"], NODES, "no node answered"),
    );
    for node in answer["nodes"].as_array().into_iter().flatten() {
        for member in node["members"].as_array().into_iter().flatten() {
            let away = if member["connected"] == true { "" } else { ", away" };
            let (node, user) = (text(&node["node"]), text(&member["user"]));
            let _ = write!(out, "\n  {node}  {user}  {}{away}", text(&member["connection"]));
        }
    }
    out + &unanswered(answer)
}

fn message_text(answer: &Value) -> String {
    let verdict = &answer["verdict"];
    let word = match verdict["delivered"].as_bool() {
        Some(true) => "DELIVERED",
        Some(false) => "NOT DELIVERED",
        None => "NOT KNOWN",
    };
    let mut out = format!("{word} ({}): {}.", text(&verdict["reason"]), text(&verdict["text"]));
    let message = &answer["message"];
    if !message.is_null() {
        let _ = write!(
            out,
            "\n\nMessage    {} of {}, id {}, from {} at {}, {} bytes; still kept",
            text(&message["seq"]),
            text(&answer["room"]),
            text(&message["id"]),
            text(&message["from"]),
            time(&message["ts"]),
            text(&message["bytes"])
        );
    }
    let _ = write!(out, "\nHistory    {}", history(&answer["history"]));
    let (received, read) = (&answer["received"], &answer["read"]);
    if !received.is_null() {
        let _ = write!(out, "\nConfirmed  received up to {}, read up to {}", text(received), text(read));
    }
    if !message.is_null() {
        let _ = write!(out, "\n\n{}", table(&answer["nodes"], NODES, "no node answered"));
    }
    for one in answer["connections"].as_array().into_iter().flatten() {
        let _ = write!(out, "\n\n[{}] {}\n{}", text(&one["finding"]), text(&one["text"]), connection(one));
    }
    out + &unanswered(answer)
}

#[cfg(test)]
mod tests {
    /// Everything that a record or a verdict can say is explained.
    #[test]
    fn the_document_has_the_words() {
        let document = include_str!("../../../docs/inspect.md");
        let lines = [
            "joined",
            "left",
            "delivered",
            "delivered_through",
            "asked",
            "answered",
            "refused",
            "behind",
            "refilled",
            "blocked",
            "dropped",
            "discarded",
            "pong_late",
            "muted",
            "recovered",
            "not_recovered",
            "token_expiring",
            "token_refreshed",
        ];
        let reasons = ["no_such_message", "no_longer_kept", "not_published_yet", "not_connected"];
        let findings = turnpike_gateway::inspect::Finding::ALL.iter().map(|finding| finding.slug());
        for word in lines.into_iter().chain(reasons).chain(findings) {
            assert!(document.contains(&format!("| `{word}`")), "docs/inspect.md does not explain `{word}`");
        }
    }
}
