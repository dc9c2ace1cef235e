//! Where a user is connected, and sending them away.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use turnpike_audit::Object;
use turnpike_gateway::{Connected, Device};
use turnpike_wire::{Code, Disconnect, Failure, UserId};

use super::operation::{Call, Method, Operation, Outcome, Plan, Problem, done};
use super::request::bad;

pub(super) const GET: Operation = Operation {
    id: "getUser",
    method: Method::Get,
    path: "/admin/v1/users/{user}",
    about: "Where a user is connected: their devices on all nodes, and in detail the connections of the node that answers, \
            those included whose client is away and may come back.",
    parameters: &[],
    body: None,
    success: StatusCode::OK,
    answer: || {
        json!({
            "user": "alice",
            "devices": [{ "node": "gateway-1", "device": "phone", "status": "online" }],
            "connections": [{
                "connection": "gateway-1.0a.5f3c", "kind": "socketio", "connected": true, "device": "phone", "role": "user",
                "rooms": 3, "expires_at": 1_795_000_000, "token_id": "7f3a",
            }],
        })
    },
    recorded: true,
    plan: get,
};

pub(super) const DISCONNECT: Operation = Operation {
    id: "disconnectUser",
    method: Method::Post,
    path: "/admin/v1/users/{user}/disconnect",
    about: "Close all connections of a user, on every node; it is done a moment later. Codes below 3500 tell clients to \
            come back, the others (unless said: 3502) not to with these credentials. The token stays valid: a revocation \
            or a ban keeps the user away.",
    parameters: &[],
    body: Some(|| json!({ "code": 3502 })),
    success: StatusCode::ACCEPTED,
    answer: || json!({}),
    recorded: true,
    plan: disconnect,
};

fn get(call: &Call) -> Result<Plan, Problem> {
    let user: UserId = call.param("user")?;
    let [] = call.query([])?;
    let (desk, about) = (call.desk.clone(), user.as_str().to_owned());
    let act = async move {
        let devices = desk.parts.gateway.devices(&user).await;
        let devices =
            devices.map_err(|error| Failure::from(Code::Unavailable).retry_after_ms(error.retry_after_ms))?;
        let devices: Vec<Value> = devices
            .into_iter()
            .map(
                |Device { node, device, status }| json!({ "node": node, "device": device, "status": status }),
            )
            .collect();
        let connections: Vec<Value> = desk.parts.gateway.connections_of(&user).iter().map(shown).collect();
        Outcome::Ok(done(&json!({ "user": user, "devices": devices, "connections": connections })))
    };
    Ok(Plan::new(act).on(Object::User, about))
}

fn shown(connected: &Connected) -> Value {
    let Connected { id, kind, is_connected, device, role, rooms, expires_at, token_id } = connected;
    json!({
        "connection": id,
        "kind": kind,
        "connected": is_connected,
        "device": device,
        "role": role,
        "rooms": rooms,
        "expires_at": expires_at,
        "token_id": token_id,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dismissal {
    #[serde(default)]
    code: Option<u16>,
}

fn disconnect(call: &Call) -> Result<Plan, Problem> {
    let user: UserId = call.param("user")?;
    let [] = call.query([])?;
    let Dismissal { code } = call.json()?;
    let code = code.unwrap_or(Disconnect::Revoked.code());
    if !Disconnect::ALL.iter().any(|known| known.code() == code) {
        return Err(bad(format!("`code`: {code} is none of the codes that connections are closed with")));
    }
    let (desk, about) = (call.desk.clone(), user.as_str().to_owned());
    let act = async move {
        desk.parts.gateway.disconnect(&user, code);
        Ok(done(&json!({})))
    };
    Ok(Plan::new(act).on(Object::User, about))
}
