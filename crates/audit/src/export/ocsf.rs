//! OCSF: <https://schema.ocsf.io>. Class and activity come from the table of kinds; what has no place of its own is in `unmapped`.

use serde_json::{Value, json};

use super::{kind, severity, title, without_nulls};
use crate::{Kind, Record};

const VERSION: &str = "1.3.0";
/// Base Event, for what is not known.
const BASE: (u32, u32) = (0, 99);

pub(super) fn event(record: &Record) -> Value {
    let (class, activity) = kind(record).map_or(BASE, Kind::ocsf);
    let (status, status_id) = match record.text(&["outcome"]) {
        Some("success") => ("Success", 1),
        Some("failure" | "refused") => ("Failure", 2),
        Some(_) => ("Other", 99),
        None => ("Unknown", 0),
    };
    let severity = severity(record);
    let object = record.object();
    let object_of = |wanted: &str| object.filter(|(kind, _)| *kind == wanted).and_then(|(_, id)| id);
    without_nulls(json!({
        "metadata": {
            "version": VERSION,
            "product": { "name": "Turnpike", "vendor_name": "Turnpike", "version": env!("CARGO_PKG_VERSION") },
            "uid": record.text(&["hash"]),
            "sequence": record.seq(),
            "log_name": record.text(&["log"]),
            "original_time": record.text(&["time"]),
        },
        "time": record.time().map(|time| time.0),
        "category_uid": class / 1_000,
        "class_uid": class,
        "activity_id": activity,
        "activity_name": record.text(&["activity"]),
        "type_uid": class * 100 + activity,
        "severity_id": severity as u8 + 1,
        "severity": severity.word(),
        "status": status,
        "status_id": status_id,
        "status_detail": record.text(&["reason"]),
        "message": title(record),
        "actor": { "user": { "uid": record.personal("actor.user"), "type": record.text(&["actor", "role"]) } },
        "user": { "uid": object_of("user").or_else(|| record.personal("actor.user")) },
        "device": { "hostname": record.node(), "type_id": 1 },
        "src_endpoint": {
            "ip": record.personal("connection.address"),
            "location": { "country": record.text(&["connection", "country"]) },
        },
        "session": { "uid": record.text(&["connection", "id"]) },
        "http_request": {
            "uid": record.text(&["request", "id"]),
            "http_method": record.text(&["request", "method"]),
            "user_agent": record.personal("connection.agent"),
        },
        "unmapped": {
            "class": record.class(),
            "origin": record.text(&["connection", "origin"]),
            "transport": record.text(&["connection", "transport"]),
            "route": record.text(&["request", "route"]),
            "object": object.map(|(kind, id)| without_nulls(json!({ "kind": kind, "id": id }))),
            "detail": record.detail(),
        },
    }))
}
