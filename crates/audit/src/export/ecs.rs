//! Elastic Common Schema: <https://www.elastic.co/docs/reference/ecs>. What it has no field for is under `turnpike`.

use serde_json::{Value, json};

use super::{severity, title, without_nulls};
use crate::Record;

const VERSION: &str = "8.11.0";

pub(super) fn event(record: &Record) -> Value {
    let outcome = match record.text(&["outcome"]) {
        Some("success") => "success",
        Some("failure" | "refused") => "failure",
        _ => "unknown",
    };
    let (category, types) = category(record);
    let object = record.object();
    without_nulls(json!({
        "@timestamp": record.text(&["time"]),
        "ecs": { "version": VERSION },
        "message": title(record),
        "event": {
            "kind": if record.class() == "detection" { "alert" } else { "event" },
            "category": [category],
            "type": [types],
            "action": format!("{}.{}", record.class(), record.activity()),
            "outcome": outcome,
            "reason": record.text(&["reason"]),
            "severity": severity(record) as u8 + 1,
            "sequence": record.seq(),
            "id": record.text(&["hash"]),
            "module": "turnpike",
            "dataset": "turnpike.audit",
            "provider": record.text(&["log"]),
        },
        "user": { "id": record.personal("actor.user"), "roles": record.text(&["actor", "role"]).map(|role| [role]) },
        "source": {
            "ip": record.personal("connection.address"),
            "geo": { "country_iso_code": record.text(&["connection", "country"]) },
        },
        "user_agent": { "original": record.personal("connection.agent") },
        "http": { "request": { "id": record.text(&["request", "id"]), "method": record.text(&["request", "method"]) } },
        "host": { "name": record.node() },
        "turnpike": {
            "connection": record.text(&["connection", "id"]),
            "transport": record.text(&["connection", "transport"]),
            "origin": record.text(&["connection", "origin"]),
            "route": record.text(&["request", "route"]),
            "object": object.map(|(kind, id)| without_nulls(json!({ "kind": kind, "id": id }))),
            "detail": record.detail(),
        },
    }))
}

/// From the values that the schema allows.
fn category(record: &Record) -> (&'static str, &'static str) {
    match (record.class(), record.activity()) {
        ("authentication", "expired" | "revoked") => ("authentication", "end"),
        ("authentication" | "turn", _) => ("authentication", "start"),
        ("authorization", _) => ("iam", "denied"),
        ("connection", "opened") | ("link", "up") => ("network", "start"),
        ("connection", "closed") | ("link", "down") => ("network", "end"),
        ("connection" | "limit", _) => ("network", "denied"),
        ("ban", _) => ("iam", "change"),
        ("detection" | "link", _) => ("intrusion_detection", "info"),
        ("admin" | "config" | "key", _) => ("configuration", "change"),
        ("media", "publish_started" | "subscribe_started") => ("session", "start"),
        ("media", _) => ("session", "end"),
        ("node", "started" | "recovered") => ("process", "start"),
        ("node", "stopped") => ("process", "end"),
        ("node", _) => ("process", "info"),
        _ => ("file", "info"),
    }
}
