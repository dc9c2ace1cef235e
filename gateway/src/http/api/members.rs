//! Bringing a user's connections into a room, and taking them out.

use axum::http::StatusCode;
use serde_json::json;
use turnpike_cluster::{Command, Signal};
use turnpike_wire::event::Empty;
use turnpike_wire::{Code, Failure, RoomId, UserId};

use super::openapi::{ROOM, USER};
use super::operation::{Access, Call, Method, Operation, Outcome, done};

pub(super) const ADD: Operation = Operation {
    id: "addMember",
    method: Method::Post,
    path: "/api/v1/rooms/{room}/members/{user}",
    access: Access::Service,
    summary: "Bring all connections of a user into a room.",
    description: "Every node that the user is connected to is asked; it is done a moment later. Only the connections \
                  of that moment are concerned. Their tokens need not grant the room.",
    parameters: &[ROOM, USER],
    body: None,
    success: StatusCode::ACCEPTED,
    answer: || json!({ "$ref": "#/components/schemas/Empty" }),
    refusals: &[400],
    handle: |call| Box::pin(async move { command(&call, |room| Command::Join { room }) }),
};

pub(super) const REMOVE: Operation = Operation {
    id: "removeMember",
    method: Method::Delete,
    path: "/api/v1/rooms/{room}/members/{user}",
    access: Access::Service,
    summary: "Take all connections of a user out of a room.",
    description: "Every node that the user is connected to is asked; it is done a moment later. A user whose token \
                  grants the room may join again.",
    parameters: &[ROOM, USER],
    body: None,
    success: StatusCode::ACCEPTED,
    answer: || json!({ "$ref": "#/components/schemas/Empty" }),
    refusals: &[400],
    handle: |call| Box::pin(async move { command(&call, |room| Command::Leave { room }) }),
};

fn command(call: &Call, of: impl FnOnce(RoomId) -> Command) -> Outcome {
    let (room, user): (RoomId, UserId) = (call.param("room")?, call.param("user")?);
    let [] = call.query([])?;
    if room.personal_user().is_some() {
        // A user is in their own as long as they are connected, and nobody is in another's.
        return Err(Failure::new(Code::Forbidden, "the members of a personal room do not change").into());
    }
    call.app.cluster.broker.signal(&RoomId::personal(&user), Signal::Command(of(room)));
    Ok(done(&Empty {}))
}
