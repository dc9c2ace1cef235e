//! RFC 5424, with the record's fields as structured data and the sentence of its kind as message.

use std::fmt::Write as _;

use super::{severity, title};
use crate::Record;

/// "log audit" (RFC 5424, table 1).
const FACILITY: u8 = 13;
/// The number that RFC 5612 keeps for examples: we have none of our own.
const ENTERPRISE: u32 = 32_473;

pub(super) fn line(record: &Record) -> String {
    // Informational, notice, warning, error, critical.
    let severity = [6, 5, 4, 3, 2][severity(record) as usize];
    let priority = FACILITY * 8 + severity;
    let time = record.time().and(record.text(&["time"])).unwrap_or("-");
    let host = header(record.node(), 255);
    let id = header(&format!("{}.{}", record.class(), record.activity()), 32);
    let mut out = format!("<{priority}>1 {time} {host} turnpike - {id} [audit@{ENTERPRISE}");

    let seq = record.seq().to_string();
    let object = record.object();
    let detail = record.detail().map(|detail| serde_json::Value::Object(detail.clone()).to_string());
    let fields = [
        ("seq", Some(seq.as_str())),
        ("log", record.text(&["log"])),
        ("hash", record.text(&["hash"])),
        ("prev", record.text(&["prev"])),
        ("outcome", record.text(&["outcome"])),
        ("reason", record.text(&["reason"])),
        ("user", record.personal("actor.user")),
        ("role", record.text(&["actor", "role"])),
        ("address", record.personal("connection.address")),
        ("connection", record.text(&["connection", "id"])),
        ("origin", record.text(&["connection", "origin"])),
        ("request", record.text(&["request", "id"])),
        ("objectKind", object.map(|(kind, _)| kind)),
        ("objectId", object.and_then(|(_, id)| id)),
        ("detail", detail.as_deref()),
    ];
    for (name, value) in fields.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))) {
        let _ = write!(
            out,
            " {name}=\"{}\"",
            // A record that somebody has changed may hold anything: it makes no second line of it.
            value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace(']', "\\]")
                .replace(char::is_control, " ")
        );
    }
    let _ = write!(out, "] {}", title(record));
    out
}

/// Printable ASCII without spaces, bounded; `-` for nothing.
fn header(text: &str, bytes_max: usize) -> String {
    let text: String = text.chars().filter(char::is_ascii_graphic).take(bytes_max).collect();
    if text.is_empty() { "-".into() } else { text }
}
