//! Calling back tokens, all earlier tokens of a user, and single connections.

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use turnpike_audit::Audit;
use turnpike_cluster::{NotPosted, Notice, Topic};
use turnpike_guard::{REVOKED_ID_BYTES_MAX, Revoked};
use turnpike_wire::event::Empty;
use turnpike_wire::limits::INTEGER_MAX;
use turnpike_wire::{Failure, UserId};

use super::openapi::{CURSOR, LIMIT};
use super::operation::{
    Access, Asker, Call, Method, Operation, Outcome, Parameter, Place, RequestBody, done,
};
use super::request::{bad, limit};
use crate::audited::{self, By};
use crate::clock::unix_ms;
use crate::membership::unavailable;

const DEFAULT_REVOCATIONS: usize = 100;

/// A token may be used so much longer than it says, by nodes whose clocks are behind.
const MARGIN_MS: u64 = 2 * 60 * 1000;

/// Nobody comes back to a session after this, whatever its recovery window is.
const CONNECTION_KEPT_MS: u64 = 2 * 24 * 60 * 60 * 1000;

pub(super) const REVOKE: Operation = Operation {
    id: "revoke",
    method: Method::Post,
    path: "/api/v1/revocations",
    access: Access::Service,
    summary: "Call back a token, all earlier tokens of a user, or a connection.",
    description: "Name exactly one of `token`, `user` and `connection`. Whoever is connected by it is closed with 3502 on \
                  every node within a second, live video included, and cannot take the session up again. A user's tokens \
                  are those issued before `not_before`, and those that do not say when they were issued; without \
                  `not_before` all up to the end of the present second. A later revocation of the same replaces the \
                  earlier.",
    parameters: &[],
    body: Some(RequestBody {
        bodies_max: 0,
        schema: || json!({ "$ref": "#/components/schemas/NewRevocation" }),
        example: || json!({ "user": "mallory" }),
    }),
    success: StatusCode::OK,
    answer: || json!({ "$ref": "#/components/schemas/Revocation" }),
    refusals: &[400, 413, 415],
    handle: |call| Box::pin(revoke(call)),
};

pub(super) const LIST: Operation = Operation {
    id: "listRevocations",
    method: Method::Get,
    path: "/api/v1/revocations",
    access: Access::Service,
    summary: "Read what is called back.",
    description: "In the order of their kinds and ids, until the end of the tokens that they are about.",
    parameters: &[LIMIT, CURSOR],
    body: None,
    success: StatusCode::OK,
    answer: || json!({ "$ref": "#/components/schemas/RevocationPage" }),
    refusals: &[400],
    handle: |call| Box::pin(async move { list(&call) }),
};

const KIND: Parameter = Parameter {
    place: Place::Path,
    name: "kind",
    schema: || json!({ "type": "string", "enum": ["token", "user", "connection"] }),
    about: "What was called back.",
    example: "user",
};

const ID: Parameter = Parameter {
    place: Place::Path,
    name: "id",
    schema: || json!({ "type": "string" }),
    about: "Its id, as it was given.",
    example: "alice",
};

pub(super) const LIFT: Operation = Operation {
    id: "liftRevocation",
    method: Method::Delete,
    path: "/api/v1/revocations/{kind}/{id}",
    access: Access::Service,
    summary: "Take a revocation back.",
    description: "What it was about counts again. Whoever was closed by it is not told. Lifting what is not revoked does nothing.",
    parameters: &[KIND, ID],
    body: None,
    success: StatusCode::OK,
    answer: || json!({ "$ref": "#/components/schemas/Empty" }),
    refusals: &[400],
    handle: |call| Box::pin(lift(call)),
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRevocation<'a> {
    #[serde(borrow, default)]
    token: Option<std::borrow::Cow<'a, str>>,
    /// Of the token, if the backend knows it.
    #[serde(default)]
    expires_at: Option<u64>,
    #[serde(default)]
    user: Option<UserId>,
    #[serde(default)]
    not_before: Option<u64>,
    #[serde(borrow, default)]
    connection: Option<std::borrow::Cow<'a, str>>,
}

#[derive(Serialize)]
struct Revocation<'a> {
    kind: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<u64>,
    /// Until when it is remembered.
    until: u64,
}

#[derive(Serialize)]
struct RevocationPage<'a> {
    revocations: &'a [Revocation<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<&'a str>,
}

impl<'a> Revocation<'a> {
    fn of(what: &'a Revoked, until: u64) -> Self {
        let not_before = if let Revoked::User(_, before) = what { Some(*before) } else { None };
        Self { kind: what.kind(), id: what.id(), not_before, until }
    }
}

async fn revoke(call: Call) -> Outcome {
    let [] = call.query([])?;
    let wanted: NewRevocation<'_> = call.json()?;
    let (what, until) = understood(&wanted, call.app.tokens.lifetime_max(), unix_ms())?;
    record(&call.app.audit, &call.asker, &what, audited::revoked).await?;
    post(&call, Notice::new(Topic::Revoked, what.key(), what.value(), until)).await?;
    Ok(done(&Revocation::of(&what, until)))
}

fn understood(wanted: &NewRevocation<'_>, lifetime_max: u64, now_ms: u64) -> Result<(Revoked, u64), Failure> {
    let longest_ms = lifetime_max.saturating_mul(1_000).saturating_add(MARGIN_MS);
    let id = |name: &str, text: &str| match text.len() {
        1..=REVOKED_ID_BYTES_MAX => Ok(text.into()),
        _ => Err(bad(format!("`{name}` has 1 to {REVOKED_ID_BYTES_MAX} bytes"))),
    };
    let (what, until) = match wanted {
        NewRevocation { token: Some(token), expires_at, user: None, not_before: None, connection: None } => {
            let end_ms = expires_at.map(|at| at.saturating_mul(1_000).saturating_add(MARGIN_MS));
            let longest = now_ms.saturating_add(longest_ms);
            let until = end_ms.map_or(longest, |end_ms| end_ms.min(longest));
            (Revoked::Token(id("token", token)?), until)
        }
        NewRevocation { user: Some(user), not_before, token: None, expires_at: None, connection: None } => {
            let before = not_before.unwrap_or(now_ms / 1_000 + 1);
            if before > INTEGER_MAX / 1_000 {
                return Err(bad("`not_before` is in seconds since 1970"));
            }
            let until = now_ms.max(before * 1_000).saturating_add(longest_ms);
            (Revoked::User(user.clone(), before), until)
        }
        NewRevocation {
            connection: Some(one),
            token: None,
            user: None,
            not_before: None,
            expires_at: None,
        } => (Revoked::Connection(id("connection", one)?), now_ms + CONNECTION_KEPT_MS),
        _ => {
            return Err(bad(
                "name one of `token` (with `expires_at` or without), `user` (with `not_before` or without) \
                            and `connection`",
            ));
        }
    };
    Ok((what, until.min(INTEGER_MAX)))
}

/// Nothing is called back that is not written down.
async fn record(
    audit: &Audit,
    asker: &Asker,
    what: &Revoked,
    write: impl AsyncFnOnce(&Audit, By<'_>, audited::Revoked<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let by = By { transport: Some("http"), ..By::default() };
    let by = match asker {
        Asker::Key => by,
        Asker::Token(identity) => by.identified(identity),
    };
    let what = match what {
        Revoked::Token(id) => audited::Revoked::Token(id),
        Revoked::User(user, before) => audited::Revoked::User(user.as_str(), *before),
        Revoked::Connection(id) => audited::Revoked::Connection(id),
    };
    write(audit, by, what).await
}

async fn post(call: &Call, notice: Notice) -> Result<(), Failure> {
    call.app.cluster.bulletin.post(notice).wait().await.map_err(|error| match error {
        NotPosted::Unavailable(error) => unavailable(error),
        NotPosted::TooLarge => bad("the id is too long"),
    })
}

fn list(call: &Call) -> Outcome {
    let [wanted, cursor] = call.query(["limit", "cursor"])?;
    let max = limit(wanted.as_deref())?.unwrap_or(DEFAULT_REVOCATIONS);
    let mut held = call.app.cluster.bulletin.holding(Topic::Revoked);
    held.retain(|notice| cursor.as_deref().is_none_or(|cursor| &*notice.key > cursor));
    held.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    let cursor = held.get(max - 1).filter(|_| held.len() > max).map(|last| last.key.clone());
    held.truncate(max);
    let read = |notice: &Notice| Some((Revoked::read(&notice.key, &notice.value)?, notice.until_ms));
    let page: Vec<(Revoked, u64)> = held.iter().filter_map(read).collect();
    let revocations: Vec<Revocation<'_>> =
        page.iter().map(|(what, until)| Revocation::of(what, *until)).collect();
    Ok(done(&RevocationPage { revocations: &revocations, cursor: cursor.as_deref() }))
}

async fn lift(call: Call) -> Outcome {
    let [] = call.query([])?;
    let (kind, id): (String, String) = (call.param("kind")?, call.param("id")?);
    let key = format!("{kind}:{id}");
    let Some(what) = Revoked::read(&key, "") else {
        return Err(bad("the path names `token`, `user` or `connection`, and an id").into());
    };
    record(&call.app.audit, &call.asker, &what, audited::revocation_lifted).await?;
    post(&call, Notice::lift(Topic::Revoked, key)).await?;
    Ok(done(&Empty {}))
}

#[cfg(test)]
mod tests {
    use turnpike_wire::Code;

    use super::*;

    const NOW_MS: u64 = 1_790_000_000_500;
    const HOUR: u64 = 3_600;

    fn read(json: &str) -> Result<(Revoked, u64), Failure> {
        understood(&serde_json::from_str(json).unwrap(), HOUR, NOW_MS)
    }

    #[test]
    fn a_revocation_is_remembered_until_its_tokens_have_ended() {
        let alice = UserId::parse("alice").unwrap();
        let longest = NOW_MS + HOUR * 1_000 + MARGIN_MS;
        assert_eq!(read(r#"{"token":"t1"}"#).unwrap(), (Revoked::Token("t1".into()), longest));
        let (_, until) = read(r#"{"token":"t1","expires_at":1790000100}"#).unwrap();
        assert_eq!(until, 1_790_000_100_000 + MARGIN_MS);
        let (_, until) = read(r#"{"token":"t1","expires_at":99999999999}"#).unwrap();
        assert_eq!(until, longest, "there is no such token");
        let (what, until) = read(r#"{"user":"alice"}"#).unwrap();
        assert_eq!(what, Revoked::User(alice.clone(), 1_790_000_001), "this second's as well");
        assert!(until > longest - 1_000 && until <= longest + 1_000);
        let (what, _) = read(r#"{"user":"alice","not_before":7}"#).unwrap();
        assert_eq!(what, Revoked::User(alice, 7));
        let unbounded = serde_json::from_str(r#"{"user":"alice"}"#).unwrap();
        assert_eq!(understood(&unbounded, u64::MAX, NOW_MS).unwrap().1, INTEGER_MAX);
    }

    #[test]
    fn one_thing_is_named_and_nothing_beside_it() {
        let long = format!(r#"{{"token":"{}"}}"#, "x".repeat(REVOKED_ID_BYTES_MAX + 1));
        for json in [
            "{}",
            r#"{"token":"t1","user":"alice"}"#,
            r#"{"token":"t1","not_before":1}"#,
            r#"{"user":"alice","expires_at":1}"#,
            r#"{"connection":"c1","expires_at":1}"#,
            r#"{"token":""}"#,
            r#"{"user":"alice","not_before":18446744073709551615}"#,
            &long,
        ] {
            assert_eq!(read(json).unwrap_err().code, Code::BadRequest, "{json}");
        }
    }
}
