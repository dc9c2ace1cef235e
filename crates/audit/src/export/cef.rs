//! ArcSight's Common Event Format, version 0.

use std::fmt::Write as _;

use super::{severity, title};
use crate::Record;

pub(super) fn line(record: &Record) -> String {
    // Of ten: 1, 3, 5, 8, 10.
    let severity = [1, 3, 5, 8, 10][severity(record) as usize];
    let name = title(record).trim_end_matches('.');
    let version = env!("CARGO_PKG_VERSION");
    let id = format!("{}.{}", record.class(), record.activity());
    let mut out = format!("CEF:0|Turnpike|Turnpike|{version}|{}|{}|{severity}|", header(&id), header(name));

    let time = record.time().map(|time| time.0.to_string());
    let object = record.object();
    let object_kind = object.map(|(kind, _)| kind);
    let object_id = object.and_then(|(_, id)| id);
    let detail = record.detail().map(|detail| serde_json::Value::Object(detail.clone()).to_string());
    let seq = record.seq().to_string();
    let fields = [
        ("rt", time.as_deref()),
        ("dvchost", Some(record.node())),
        ("externalId", Some(seq.as_str())),
        ("outcome", record.text(&["outcome"])),
        ("reason", record.text(&["reason"])),
        ("suid", record.personal("actor.user")),
        ("spriv", record.text(&["actor", "role"])),
        ("src", record.personal("connection.address")),
        ("requestClientApplication", record.personal("connection.agent")),
        ("requestMethod", record.text(&["request", "method"])),
        ("cs1Label", Some("hash")),
        ("cs1", record.text(&["hash"])),
        ("cs2Label", record.text(&["connection", "id"]).map(|_| "connection")),
        ("cs2", record.text(&["connection", "id"])),
        ("cs3Label", object_id.and(object_kind)),
        ("cs3", object_id),
        ("cs4Label", detail.as_deref().map(|_| "detail")),
        ("cs4", detail.as_deref()),
    ];
    let mut first = true;
    for (key, value) in fields.into_iter().filter_map(|(key, value)| value.map(|value| (key, value))) {
        let _ = write!(out, "{}{key}={}", if first { "" } else { " " }, extension(value));
        first = false;
    }
    out
}

/// A record that somebody has changed may hold anything: it makes no second line of it.
fn header(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace(char::is_control, " ")
}

fn extension(text: &str) -> String {
    text.replace('\\', "\\\\").replace('=', "\\=").replace('\n', "\\n").replace('\r', "\\r")
}
