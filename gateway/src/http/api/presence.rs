//! Who is in a room, as anybody in it would see.

use axum::http::StatusCode;
use serde_json::json;
use turnpike_wire::event::client::PresencePage;
use turnpike_wire::limits::PRESENCE_MEMBERS_MAX;
use turnpike_wire::{RoomId, UserId};

use super::openapi::{LIMIT, ROOM};
use super::operation::{Access, Call, Method, Operation, Outcome, Parameter, Place, done};
use super::request::{limit, value};
use crate::membership::unavailable;

pub(super) const LIST: Operation = Operation {
    id: "listPresence",
    method: Method::Get,
    path: "/api/v1/rooms/{room}/presence",
    access: Access::Service,
    summary: "Read who is in a room.",
    description: "Members that joined with `presence: true`, by the order of their ids. Whoever is invisible is not \
                  among them, nor counted.",
    parameters: &[
        ROOM,
        LIMIT,
        Parameter {
            place: Place::Query,
            name: "cursor",
            schema: || json!({ "$ref": "#/components/schemas/UserId" }),
            about: "The `cursor` of the page before.",
            example: "alice",
        },
    ],
    body: None,
    success: StatusCode::OK,
    answer: || json!({ "$ref": "#/components/schemas/PresencePage" }),
    refusals: &[400],
    handle: |call| Box::pin(list(call)),
};

async fn list(call: Call) -> Outcome {
    let room: RoomId = call.param("room")?;
    let [wanted, cursor] = call.query(["limit", "cursor"])?;
    let after: Option<UserId> = value("cursor", cursor.as_deref())?;
    let members_max = limit(wanted.as_deref())?.unwrap_or(PRESENCE_MEMBERS_MAX);
    let shown = call.app.presences.look_up(&room, after.as_ref(), members_max).await.map_err(unavailable)?;
    let last = shown.members.last().map(|member| &member.shown.user);
    Ok(done(&PresencePage {
        count: shown.count as u64,
        members: &shown.members,
        cursor: last.filter(|_| shown.more),
    }))
}
