//! Tokens and connections that were called back. What is posted here every node hears of within a second, and closes whoever
//! came in with it.

use std::sync::Arc;

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use turnpike_audit::Object;
use turnpike_cluster::{Notice, Topic};
use turnpike_gateway::audited;
use turnpike_guard::{REVOKED_ID_BYTES_MAX, Revoked};
use turnpike_wire::UserId;

use super::desk::Desk;
use super::operation::{Call, Method, Operation, Outcome, Parameter, Plan, Problem, done};
use super::request::{bad, nothing, posted};

/// As long as the tokens that most issuers give out are valid at most.
const SECONDS_DEFAULT: u64 = 86_400;
const SECONDS_MAX: u64 = 366 * 86_400;

pub(super) const LIST: Operation = Operation {
    id: "listRevocations",
    method: Method::Get,
    path: "/admin/v1/revocations",
    about: "What was called back, on all nodes, those first that end first. `issued_before` (Unix seconds) is of a user: all \
            tokens of before count no more.",
    parameters: &[],
    body: None,
    success: StatusCode::OK,
    answer: || {
        json!({ "revocations": [
            { "kind": "user", "what": "mallory", "issued_before": 1_794_990_000, "until_ms": 1_795_000_000_000_u64 },
        ] })
    },
    recorded: false,
    plan: |call| {
        let [] = call.query([])?;
        let mut holding: Vec<(Revoked, u64)> = holding(&call.desk).collect();
        holding.sort_by_key(|(_, until_ms)| *until_ms);
        Ok(Plan::new(async move {
            let shown: Vec<Value> = holding.iter().map(|(what, until_ms)| shown(what, *until_ms)).collect();
            Ok(done(&json!({ "revocations": shown })))
        }))
    },
};

pub(super) const PLACE: Operation = Operation {
    id: "revoke",
    method: Method::Post,
    path: "/admin/v1/revocations",
    about: "Call back all tokens of a `user` that were issued until now, one `token` by its `jti`, or one `connection` by \
            its id. Whoever is connected with it is disconnected with 3502 on every node within a second. It is remembered \
            for `seconds` (unless said: 86400), which must be at least as long as such a token is valid: after that it \
            would count again.",
    parameters: &[],
    body: Some(|| json!({ "user": "mallory", "seconds": 86_400 })),
    success: StatusCode::CREATED,
    answer: || {
        json!({ "revocation": {
            "kind": "user", "what": "mallory", "issued_before": 1_794_990_000, "until_ms": 1_795_000_000_000_u64,
        } })
    },
    recorded: true,
    plan: place,
};

pub(super) const LIFT: Operation = Operation {
    id: "liftRevocation",
    method: Method::Delete,
    path: "/admin/v1/revocations",
    about: "Let count again what was called back. 404 if it was not.",
    parameters: &[
        Parameter { name: "user", about: "the user" },
        Parameter { name: "token", about: "or the `jti`" },
        Parameter { name: "connection", about: "or the connection" },
    ],
    body: None,
    success: StatusCode::OK,
    answer: || json!({}),
    recorded: true,
    plan: lift,
};

fn holding(desk: &Desk) -> impl Iterator<Item = (Revoked, u64)> + use<> {
    let notices = desk.parts.cluster.bulletin.holding(Topic::Revoked);
    notices
        .into_iter()
        .filter_map(|notice| Some((Revoked::read(&notice.key, &notice.value)?, notice.until_ms)))
}

fn shown(what: &Revoked, until_ms: u64) -> Value {
    let mut shown = json!({ "kind": what.kind(), "what": what.id(), "until_ms": until_ms });
    if let Revoked::User(_, before) = what {
        shown["issued_before"] = (*before).into();
    }
    shown
}

fn object(what: &Revoked) -> Object {
    match what {
        Revoked::Token(_) => Object::Token,
        Revoked::User(..) => Object::User,
        Revoked::Connection(_) => Object::Connection,
    }
}

/// Exactly one of the three.
fn named(
    user: Option<&str>,
    token: Option<&str>,
    connection: Option<&str>,
    issued_before: u64,
) -> Result<Revoked, Problem> {
    let id = |name: &str, id: &str| -> Result<Arc<str>, Problem> {
        if (1..=REVOKED_ID_BYTES_MAX).contains(&id.len()) {
            Ok(id.into())
        } else {
            Err(bad(format!("`{name}` has 1 to {REVOKED_ID_BYTES_MAX} bytes")))
        }
    };
    match (user, token, connection) {
        (Some(user), None, None) => {
            let user = UserId::parse(user).map_err(|error| bad(format!("`user`: {error}")))?;
            Ok(Revoked::User(user, issued_before))
        }
        (None, Some(token), None) => Ok(Revoked::Token(id("token", token)?)),
        (None, None, Some(connection)) => Ok(Revoked::Connection(id("connection", connection)?)),
        _ => Err(bad("send one of `user`, `token` and `connection`")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    connection: Option<String>,
    #[serde(default)]
    seconds: Option<u64>,
}

fn place(call: &Call) -> Result<Plan, Problem> {
    let [] = call.query([])?;
    let Wanted { user, token, connection, seconds } = call.json()?;
    let seconds = seconds.unwrap_or(SECONDS_DEFAULT);
    if !(1..=SECONDS_MAX).contains(&seconds) {
        return Err(bad(format!("`seconds` is from 1 to {SECONDS_MAX}")));
    }
    let now_ms = call.desk.now().unix_ms;
    // Tokens say when they were issued by the second, and one of this second was issued until now.
    let issued_before = now_ms / 1000 + 1;
    let what = named(user.as_deref(), token.as_deref(), connection.as_deref(), issued_before)?;
    let until_ms = now_ms + seconds * 1000;
    let (object, id) = (object(&what), what.id().to_owned());
    let (desk, entered) = (call.desk.clone(), call.entered.clone());
    let act = async move {
        let about = match &what {
            Revoked::Token(id) => audited::Revoked::Token(id),
            Revoked::User(user, before) => audited::Revoked::User(user.as_str(), *before),
            Revoked::Connection(id) => audited::Revoked::Connection(id),
        };
        audited::revoked(&desk.audit, entered.by(), about).await?;
        let notice = Notice::new(Topic::Revoked, what.key(), what.value(), until_ms);
        posted(desk.parts.cluster.bulletin.post(notice).wait().await)?;
        Outcome::Ok(done(&json!({ "revocation": shown(&what, until_ms) })))
    };
    Ok(Plan::new(act).on(object, id))
}

fn lift(call: &Call) -> Result<Plan, Problem> {
    let [user, token, connection] = call.query(["user", "token", "connection"])?;
    let what = named(user.as_deref(), token.as_deref(), connection.as_deref(), 0)?;
    let (object, id) = (object(&what), what.id().to_owned());
    let desk = call.desk.clone();
    let act = async move {
        let key = what.key();
        if !holding(&desk).any(|(held, _)| held.key() == key) {
            return Err(nothing("it was not called back"));
        }
        posted(desk.parts.cluster.bulletin.post(Notice::lift(Topic::Revoked, key)).wait().await)?;
        Outcome::Ok(done(&json!({})))
    };
    Ok(Plan::new(act).on(object, id))
}
