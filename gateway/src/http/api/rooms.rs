//! The rooms that are remembered.

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::json;
use turnpike_wire::RoomId;

use super::openapi::{CURSOR, LIMIT};
use super::operation::{Access, Call, Method, Operation, Outcome, done};
use super::request::limit;
use crate::membership::unavailable;

const DEFAULT_ROOMS: usize = 100;

pub(super) const LIST: Operation = Operation {
    id: "listRooms",
    method: Method::Get,
    path: "/api/v1/rooms",
    access: Access::Service,
    summary: "Read which rooms there are.",
    description: "Rooms of which something is remembered, in no particular order, with where each stands. A page may \
                  hold fewer than asked for, or none, and not be the last: only the one without a `cursor` is.",
    parameters: &[LIMIT, CURSOR],
    body: None,
    success: StatusCode::OK,
    answer: || json!({ "$ref": "#/components/schemas/RoomPage" }),
    refusals: &[400],
    handle: |call| Box::pin(list(call)),
};

#[derive(Serialize)]
struct Listed<'a> {
    room: &'a RoomId,
    epoch: u64,
    seq: u64,
}

#[derive(Serialize)]
struct RoomPage<'a> {
    rooms: &'a [Listed<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<&'a str>,
}

async fn list(call: Call) -> Outcome {
    let [wanted, cursor] = call.query(["limit", "cursor"])?;
    let rooms_max = limit(wanted.as_deref())?.unwrap_or(DEFAULT_ROOMS);
    let read = call.app.cluster.broker.rooms(cursor.as_deref().unwrap_or_default(), rooms_max);
    let (rooms, cursor) = read.wait().await.map_err(unavailable)?;
    let rooms: Vec<Listed<'_>> = rooms
        .iter()
        .map(|(room, standing)| Listed { room, epoch: standing.epoch, seq: standing.seq })
        .collect();
    Ok(done(&RoomPage { rooms: &rooms, cursor: cursor.as_deref() }))
}
