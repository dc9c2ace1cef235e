//! Who is shut out of all nodes. What is posted here every node hears of within a second, and closes whom it is about.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use turnpike_audit::Object;
use turnpike_cluster::{Notice, Topic};
use turnpike_gateway::audited;
use turnpike_guard::address::Network;
use turnpike_guard::{Ban, Restraint, Rung, Whom};
use turnpike_wire::UserId;

use super::desk::Desk;
use super::entry::Entered;
use super::operation::{Call, Method, Operation, Outcome, Parameter, Plan, Problem, done};
use super::request::{bad, nothing, posted};

const SECONDS_DEFAULT: u64 = 3_600;
const SECONDS_MAX: u64 = 366 * 86_400;
const REASON_BYTES_MAX: usize = 160;
/// A slip in a mask must not shut out the world.
const PREFIX_MIN_V4: u8 = 8;
const PREFIX_MIN_V6: u8 = 24;

pub(super) const LIST: Operation = Operation {
    id: "listBans",
    method: Method::Get,
    path: "/admin/v1/bans",
    about: "Who is shut out, on all nodes, by operators and by the nodes themselves; those first that end first. `step` is \
            `ban`, or `mute` for those who may listen and say nothing.",
    parameters: &[],
    body: None,
    success: StatusCode::OK,
    answer: || {
        json!({ "bans": [{
            "kind": "address", "whom": "192.0.2.0/24", "step": "ban", "until_ms": 1_795_000_000_000_u64,
            "reason": "credential stuffing", "by": "alice",
        }] })
    },
    recorded: false,
    plan: |call| {
        let [] = call.query([])?;
        let mut holding: Vec<Restraint> = holding(&call.desk).collect();
        holding.sort_by_key(|restraint| restraint.until_ms);
        Ok(Plan::new(
            async move { Ok(done(&json!({ "bans": holding.iter().map(shown).collect::<Vec<_>>() }))) },
        ))
    },
};

pub(super) const PLACE: Operation = Operation {
    id: "placeBan",
    method: Method::Post,
    path: "/admin/v1/bans",
    about: "Shut out a `user`, or an `address` or network, for `seconds` (up to 366 days; unless said: 3600). Who is \
            connected is disconnected with 3503 on every node within a second. A ban of the same takes the place of the \
            one before. Networks are at least /8 of IPv4 and /24 of IPv6.",
    parameters: &[],
    body: Some(|| json!({ "address": "192.0.2.0/24", "seconds": 7200, "reason": "credential stuffing" })),
    success: StatusCode::CREATED,
    answer: || {
        json!({ "ban": {
            "kind": "address", "whom": "192.0.2.0/24", "step": "ban", "until_ms": 1_795_000_000_000_u64,
            "reason": "credential stuffing", "by": "alice",
        } })
    },
    recorded: true,
    plan: place,
};

pub(super) const LIFT: Operation = Operation {
    id: "liftBan",
    method: Method::Delete,
    path: "/admin/v1/bans",
    about: "Take back what holds against a user or an address, mutes included. 404 if there is nothing.",
    parameters: &[
        Parameter { name: "user", about: "the user" },
        Parameter { name: "address", about: "or the address or network, as it was given" },
    ],
    body: None,
    success: StatusCode::OK,
    answer: || json!({}),
    recorded: true,
    plan: lift,
};

fn holding(desk: &Desk) -> impl Iterator<Item = Restraint> + use<> {
    let notices = desk.parts.cluster.bulletin.holding(Topic::Ban);
    notices.into_iter().filter_map(|notice| Restraint::read(&notice.key, &notice.value, notice.until_ms))
}

fn shown(Restraint { whom, rung, until_ms, reason, by }: &Restraint) -> Value {
    let (kind, id) = named(whom);
    json!({ "kind": kind, "whom": id, "step": rung.slug(), "until_ms": until_ms, "reason": reason, "by": by })
}

fn named(whom: &Whom) -> (&'static str, String) {
    match whom {
        Whom::User(user) => ("user", user.as_str().to_owned()),
        Whom::Network(network) => ("address", network.to_string()),
    }
}

fn object(whom: &Whom) -> (Object, String) {
    let (_, id) = named(whom);
    match whom {
        Whom::User(_) => (Object::User, id),
        Whom::Network(_) => (Object::Address, id),
    }
}

fn whom(user: Option<&str>, address: Option<&str>) -> Result<Whom, Problem> {
    match (user, address) {
        (Some(user), None) => {
            UserId::parse(user).map(Whom::User).map_err(|error| bad(format!("`user`: {error}")))
        }
        (None, Some(address)) => {
            let network: Network = address.parse().map_err(|error| bad(format!("`address`: {error}")))?;
            Ok(Whom::Network(network))
        }
        _ => Err(bad("send either `user` or `address`")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    address: Option<String>,
    #[serde(default)]
    seconds: Option<u64>,
    #[serde(default)]
    reason: String,
}

fn place(call: &Call) -> Result<Plan, Problem> {
    let [] = call.query([])?;
    let Wanted { user, address, seconds, reason } = call.json()?;
    let whom = whom(user.as_deref(), address.as_deref())?;
    if let Whom::Network(network) = &whom {
        let least = if network.first().is_ipv4() { PREFIX_MIN_V4 } else { PREFIX_MIN_V6 };
        if network.prefix() < least {
            return Err(bad(format!("`address`: {network} is larger than /{least}")));
        }
    }
    let seconds = seconds.unwrap_or(SECONDS_DEFAULT);
    if !(1..=SECONDS_MAX).contains(&seconds) {
        return Err(bad(format!("`seconds` is from 1 to {SECONDS_MAX}")));
    }
    if reason.len() > REASON_BYTES_MAX {
        return Err(bad(format!("`reason` has at most {REASON_BYTES_MAX} bytes")));
    }
    let until_ms = call.desk.now().unix_ms + seconds * 1000;
    let ban = Restraint::from(Ban { whom, until_ms, reason, by: call.by.clone() });
    let (object, id) = object(&ban.whom);
    let (desk, entered) = (call.desk.clone(), call.entered.clone());
    let act = async move {
        record_placed(&desk, &entered, &ban).await?;
        let notice = Notice::new(Topic::Ban, ban.key(), ban.value(), ban.until_ms);
        posted(desk.parts.cluster.bulletin.post(notice).wait().await)?;
        Outcome::Ok(done(&json!({ "ban": shown(&ban) })))
    };
    Ok(Plan::new(act).on(object, id))
}

async fn record_placed(desk: &Desk, entered: &Entered, ban: &Restraint) -> Result<(), Problem> {
    let (_, id) = named(&ban.whom);
    Ok(audited::ban_placed(&desk.audit, entered.by(), about(&ban.whom, &id), &ban.reason, ban.until_ms)
        .await?)
}

fn about<'a>(whom: &Whom, id: &'a str) -> audited::Whom<'a> {
    match whom {
        Whom::User(_) => audited::Whom::User(id),
        Whom::Network(_) => audited::Whom::Address(id),
    }
}

fn lift(call: &Call) -> Result<Plan, Problem> {
    let [user, address] = call.query(["user", "address"])?;
    let whom = whom(user.as_deref(), address.as_deref())?;
    let (object, id) = object(&whom);
    let (desk, entered) = (call.desk.clone(), call.entered.clone());
    let act = async move {
        let held: Vec<Restraint> = holding(&desk).filter(|restraint| restraint.whom == whom).collect();
        if held.is_empty() {
            return Err(nothing("nothing holds against them"));
        }
        let (_, id) = named(&whom);
        if held.iter().any(|restraint| restraint.rung == Rung::Ban) {
            audited::ban_lifted(&desk.audit, entered.by(), about(&whom, &id)).await?;
        }
        for restraint in held {
            let notice = Notice::lift(Topic::Ban, restraint.key());
            posted(desk.parts.cluster.bulletin.post(notice).wait().await)?;
        }
        Outcome::Ok(done(&json!({})))
    };
    Ok(Plan::new(act).on(object, id))
}
