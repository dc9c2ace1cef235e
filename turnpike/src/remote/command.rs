//! What can be asked on the command line: for each command the request that it makes, and how its answer is shown.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use turnpike_daemon::config::{Arguments, Fault, Faults, Place, Setting as _};
use turnpike_wire::UserId;

use super::table::{table, text, time};

/// What is asked of a node.
#[derive(Debug)]
pub(crate) struct Request {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) body: Option<Value>,
    pub(super) show: fn(&Value) -> String,
    pub(crate) json: bool,
    pub(super) url: Option<String>,
    pub(super) by: Option<UserId>,
    /// For what the request only begins.
    pub(super) waits: bool,
}

const BAN_FOR: Duration = Duration::from_hours(1);
const LOG_FOR: Duration = Duration::from_mins(10);
const REVOKED_FOR: Duration = Duration::from_hours(24);

/// The flags that some commands take.
struct Flags {
    user: Option<String>,
    address: Option<String>,
    lasting: Option<Duration>,
    reason: Option<String>,
}

impl Request {
    /// `words` are those after `admin`. `None` if there is no such command; faults of flags are pushed.
    pub(crate) fn parse(words: &[&str], arguments: &mut Arguments, faults: &mut Faults) -> Option<Self> {
        let json = arguments.take_switch("json");
        let waits = words == ["verify"] && arguments.take_switch("wait");
        let url = arguments.take_one("url", "a URL", faults).filter(|url| is_url(url, faults));
        let by = arguments.take_one("as", "an id", faults).and_then(|text| id("as", &text, faults));
        let mut flags = Flags {
            user: arguments.take_one("user", "a user id", faults),
            address: arguments.take_one("address", "an address or network", faults),
            lasting: arguments
                .take_one("for", Duration::EXPECTS, faults)
                .and_then(|text| duration("for", &text, faults)),
            reason: arguments.take_one("reason", "a text", faults),
        };
        let asked = asked(words, &mut flags, faults)?;
        flags.are_used_up(faults);
        Some(Self { json, url, by, waits, ..asked })
    }

    /// Of the same node by the same operator: how far its drain is.
    pub(crate) fn drain_status(&self) -> Self {
        self.beside(Self::get("/admin/v1/drain", drain))
    }

    /// And how far its verification is.
    pub(super) fn verification_status(&self) -> Self {
        self.beside(Self::get("/admin/v1/audit/verification", verification))
    }

    fn beside(&self, other: Self) -> Self {
        Self { json: self.json, url: self.url.clone(), by: self.by.clone(), ..other }
    }

    fn new(
        method: &'static str,
        path: impl Into<String>,
        body: Option<Value>,
        show: fn(&Value) -> String,
    ) -> Self {
        Self { method, path: path.into(), body, show, json: false, url: None, by: None, waits: false }
    }

    pub(super) fn get(path: impl Into<String>, show: fn(&Value) -> String) -> Self {
        Self::new("GET", path, None, show)
    }
}

fn asked(words: &[&str], flags: &mut Flags, faults: &mut Faults) -> Option<Request> {
    Some(match words {
        ["nodes"] => Request::get("/admin/v1/nodes", nodes),
        ["node"] => Request::get("/admin/v1/node", node),
        ["bans"] | ["bans", "list"] => Request::get("/admin/v1/bans", bans),
        ["bans", "add"] => {
            let mut body = flags.whom(faults);
            body["seconds"] = seconds(flags.lasting.take().unwrap_or(BAN_FOR)).into();
            if let Some(reason) = flags.reason.take() {
                body["reason"] = reason.into();
            }
            Request::new("POST", "/admin/v1/bans", Some(body), |answer| {
                format!(
                    "{} is shut out until {}",
                    text(&answer["ban"]["whom"]),
                    time(&answer["ban"]["until_ms"])
                )
            })
        }
        ["bans", "lift"] => {
            let whom = flags.whom(faults);
            let query = whom.as_object().into_iter().flatten().map(|(kind, id)| {
                let id: String =
                    form_urlencoded::byte_serialize(id.as_str().unwrap_or_default().as_bytes()).collect();
                format!("{kind}={id}")
            });
            let path = format!("/admin/v1/bans?{}", query.collect::<Vec<_>>().join("&"));
            Request::new("DELETE", path, None, |_| "the ban is lifted".into())
        }
        ["revocations"] => Request::get("/admin/v1/revocations", revocations),
        ["revoke", kind @ ("user" | "token" | "connection"), id] => {
            let remembered = seconds(flags.lasting.take().unwrap_or(REVOKED_FOR));
            let body = json!({ *kind: id, "seconds": remembered });
            Request::new("POST", "/admin/v1/revocations", Some(body), |_| "called back".into())
        }
        ["user", user] => {
            Request::get(format!("/admin/v1/users/{}", id::<UserId>("user", user, faults)?), whereabouts)
        }
        ["disconnect", user] => {
            let path = format!("/admin/v1/users/{}/disconnect", id::<UserId>("user", user, faults)?);
            Request::new("POST", path, Some(json!({})), |_| {
                "asked of every node; it is done a moment later".into()
            })
        }
        ["log-level"] => Request::get("/admin/v1/log-level", log_level),
        ["log-level", "reset"] => Request::new("DELETE", "/admin/v1/log-level", None, log_level),
        ["log-level", levels] => {
            let lasting = seconds(flags.lasting.take().unwrap_or(LOG_FOR));
            let body = json!({ "levels": levels, "seconds": lasting });
            Request::new("PUT", "/admin/v1/log-level", Some(body), log_level)
        }
        ["drain"] => Request::new("POST", "/admin/v1/drain", None, |_| {
            "the node leaves; `turnpike admin drain status` says how far it is, until it is gone".into()
        }),
        ["drain", "status"] => Request::get("/admin/v1/drain", drain),
        ["verify"] => Request::new("POST", "/admin/v1/audit/verification", None, verification),
        ["verify", "status"] => Request::get("/admin/v1/audit/verification", verification),
        ["config"] => Request::get("/admin/v1/configuration", configuration),
        _ => return None,
    })
}

impl Flags {
    /// Exactly one of the two.
    fn whom(&mut self, faults: &mut Faults) -> Value {
        match (self.user.take(), self.address.take()) {
            (Some(user), None) => json!({ "user": user }),
            (None, Some(address)) => json!({ "address": address }),
            (user, _) => {
                let problem = if user.is_some() { "is given beside --address" } else { "is missing" };
                faults.push(fault("user", None, problem, "expected either --user or --address"));
                json!({})
            }
        }
    }

    fn are_used_up(&self, faults: &mut Faults) {
        let Self { user, address, lasting, reason } = self;
        let left = [
            ("user", user.is_some()),
            ("address", address.is_some()),
            ("for", lasting.is_some()),
            ("reason", reason.is_some()),
        ];
        for (name, _) in left.into_iter().filter(|(_, is_left)| *is_left) {
            faults.push(fault(name, None, "is not for this command", "--help says which takes it"));
        }
    }
}

pub(super) fn fault(flag: &str, value: Option<&str>, problem: &str, remedy: &str) -> Fault {
    Fault {
        key: format!("--{flag}"),
        place: Place::Flag(flag.into()),
        value: value.map(Into::into),
        problem: problem.into(),
        remedy: remedy.into(),
    }
}

pub(super) fn id<T: std::str::FromStr<Err: std::fmt::Display>>(
    flag: &str,
    text: &str,
    faults: &mut Faults,
) -> Option<T> {
    text.parse()
        .map_err(|error: T::Err| faults.push(fault(flag, Some(text), "does not fit", &error.to_string())))
        .ok()
}

fn duration(flag: &str, text: &str, faults: &mut Faults) -> Option<Duration> {
    let refused =
        |_| faults.push(fault(flag, Some(text), "does not fit", &format!("expected {}", Duration::EXPECTS)));
    Duration::parse(text).map_err(refused).ok()
}

pub(super) fn is_url(url: &str, faults: &mut Faults) -> bool {
    let is = url.starts_with("http://") || url.starts_with("https://");
    if !is {
        faults.push(fault("url", Some(url), "does not fit", "expected http://... or https://..."));
    }
    is
}

/// At least one: a time that is shorter is meant, and none would be another meaning.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs().max(1)
}

fn nodes(answer: &Value) -> String {
    let columns: &[super::table::Column] = &[
        ("NAME", |node| text(&node["name"])),
        ("ADDRESS", |node| text(&node["address"])),
        ("VERSION", |node| text(&node["version"])),
        ("STATE", |node| if node["draining"] == true { "draining".into() } else { "serving".into() }),
        // An older node does not say.
        ("PLACES", |node| text(&node["places"])),
        ("RELAY", |node| relay(&node["relay"])),
        ("", |node| if node["own"] == true { "answers".into() } else { String::new() }),
    ];
    table(&answer["nodes"], columns, "no node lives")
}

/// How busy it is, and how many it serves.
fn relay(relay: &Value) -> String {
    let Some(load) = relay["load_permille"].as_u64() else { return "-".into() };
    let full = if relay["has_room"] == true { "" } else { ", full" };
    match (relay["sessions"].as_u64(), relay["sessions_max"].as_u64()) {
        (Some(sessions), Some(max)) if max > 0 => {
            format!("{} % busy, {sessions} of {max}{full}", load.div_ceil(10))
        }
        _ => format!("{} % busy{full}", load.div_ceil(10)),
    }
}

fn node(answer: &Value) -> String {
    let health = &answer["health"];
    let mut out = format!(
        "{}: {}, {}, lease {}, {} connections, up for {} s",
        text(&answer["name"]),
        text(&health["status"]),
        if health["ready"] == true { "ready" } else { "not ready" },
        text(&answer["lease"]),
        text(&answer["connections"]),
        text(&health["uptime_seconds"]),
    );
    for fault in answer["faults"].as_array().into_iter().flatten() {
        let _ = write!(out, "\n  fault    {}", text(fault));
    }
    for check in health["checks"].as_array().into_iter().flatten().filter(|check| check["ok"] != true) {
        let _ = write!(out, "\n  failing  {}: {}", text(&check["name"]), text(&check["reason"]));
    }
    for breaker in answer["breakers"].as_array().into_iter().flatten().filter(|it| it["state"] != "closed") {
        let _ = write!(out, "\n  breaker  {} is {}", text(&breaker["name"]), text(&breaker["state"]));
    }
    out
}

fn bans(answer: &Value) -> String {
    let columns: &[super::table::Column] = &[
        ("KIND", |ban| text(&ban["kind"])),
        ("WHOM", |ban| text(&ban["whom"])),
        ("UNTIL", |ban| time(&ban["until_ms"])),
        ("BY", |ban| text(&ban["by"])),
        ("REASON", |ban| text(&ban["reason"])),
    ];
    table(&answer["bans"], columns, "nobody is shut out")
}

fn revocations(answer: &Value) -> String {
    let columns: &[super::table::Column] = &[
        ("KIND", |one| text(&one["kind"])),
        ("WHAT", |one| text(&one["what"])),
        ("UNTIL", |one| time(&one["until_ms"])),
    ];
    table(&answer["revocations"], columns, "nothing is called back")
}

fn whereabouts(answer: &Value) -> String {
    let devices: &[super::table::Column] = &[
        ("NODE", |one| text(&one["node"])),
        ("DEVICE", |one| text(&one["device"])),
        ("STATUS", |one| text(&one["status"])),
    ];
    let connections: &[super::table::Column] = &[
        ("CONNECTION", |one| text(&one["connection"])),
        ("KIND", |one| text(&one["kind"])),
        ("STATE", |one| if one["connected"] == true { "connected".into() } else { "away".into() }),
        ("ROLE", |one| text(&one["role"])),
        ("ROOMS", |one| text(&one["rooms"])),
        ("TOKEN", |one| text(&one["token_id"])),
    ];
    format!(
        "On all nodes:\n{}\n\nOn the node that answers:\n{}",
        table(&answer["devices"], devices, "not connected"),
        table(&answer["connections"], connections, "no connection"),
    )
}

fn log_level(answer: &Value) -> String {
    let levels = text(&answer["levels"]);
    match answer["back_in_seconds"].as_u64() {
        Some(seconds) => format!("{levels}, for {seconds} s; then {}", text(&answer["configured"])),
        None => format!("{levels}, as configured"),
    }
}

fn drain(answer: &Value) -> String {
    let draining = &answer["draining"];
    match draining["phase"].as_str() {
        Some(_) => format!(
            "leaving: {}, {} left, {} s at most",
            text(&draining["phase"]),
            text(&draining["left"]),
            text(&draining["seconds_left"])
        ),
        None => "serving".into(),
    }
}

fn verification(answer: &Value) -> String {
    match answer["state"].as_str() {
        Some("running") => format!(
            "running: {} records, {} of {} bytes",
            text(&answer["records"]),
            text(&answer["bytes"]),
            text(&answer["bytes_total"])
        ),
        Some("done") => {
            let report = &answer["report"];
            let mut out = format!("{}: {} records", text(&report["verdict"]), text(&report["records"]));
            if !report["finding"].is_null() {
                let _ = write!(
                    out,
                    "\n  record {}: {}",
                    text(&report["finding"]["record"]),
                    text(&report["finding"]["what"])
                );
            }
            out
        }
        Some("failed") => format!("failed: {}", text(&answer["reason"])),
        _ => "nobody has asked for one".into(),
    }
}

fn configuration(answer: &Value) -> String {
    let columns: &[super::table::Column] = &[
        ("KEY", |key| text(&key["key"])),
        ("VALUE", |key| match &key["set"] {
            Value::Bool(true) => "(hidden)".into(),
            Value::Bool(false) => String::new(),
            _ => text(&key["value"]),
        }),
        ("FROM", |key| text(&key["from"])),
    ];
    table(&answer["keys"], columns, "no keys")
}
