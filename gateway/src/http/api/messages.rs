//! A room's messages: sending one, and reading those that are kept.

use axum::http::StatusCode;
use serde_json::json;
use serde_json::value::RawValue;
use turnpike_wire::event::client::History;
use turnpike_wire::{Code, Failure, RoomId};

use super::new_message::{NewMessage, answer};
use super::openapi::{LIMIT, ROOM};
use super::operation::{Access, Call, Method, Operation, Outcome, Parameter, Place, RequestBody, done};
use super::request::{limit, value};
use crate::{page, placeholder};

pub(super) const SEND: Operation = Operation {
    id: "sendMessage",
    method: Method::Post,
    path: "/api/v1/rooms/{room}/messages",
    access: Access::Service,
    summary: "Send a message into a room.",
    description: "The answer means that the message has its place in the room, and is kept as durably as the cluster \
                  is configured to keep messages. Sent again under the same id and by the same user, it is answered \
                  with the first result and `duplicate: true`.",
    parameters: &[
        ROOM,
        Parameter {
            place: Place::Header,
            name: "Idempotency-Key",
            schema: || json!({ "$ref": "#/components/schemas/MessageId" }),
            about: "The message's id. If the body has one too, both must be the same.",
            example: "order-4711-shipped",
        },
    ],
    body: Some(RequestBody {
        bodies_max: 1,
        schema: || json!({ "$ref": "#/components/schemas/NewMessage" }),
        example: || json!({ "from": "shop", "body": { "text": "Your order is on its way." } }),
    }),
    success: StatusCode::OK,
    answer: || json!({ "$ref": "#/components/schemas/Sent" }),
    refusals: &[400, 409, 413, 415],
    handle: |call| Box::pin(send(call)),
};

pub(super) const HISTORY: Operation = Operation {
    id: "listMessages",
    method: Method::Get,
    path: "/api/v1/rooms/{room}/messages",
    access: Access::Service,
    summary: "Read a room's messages, oldest first.",
    description: "The messages after a number, the latest before a number, or the latest of all. Binary values stand \
                  as `{\"$binary\":\"<base64>\"}`.",
    parameters: &[
        ROOM,
        Parameter {
            place: Place::Query,
            name: "after",
            schema: || json!({ "type": "integer", "minimum": 0 }),
            about: "Messages after this `seq`. Excludes `before`.",
            example: "0",
        },
        Parameter {
            place: Place::Query,
            name: "before",
            schema: || json!({ "type": "integer", "minimum": 0 }),
            about: "Messages before this `seq`. Excludes `after`.",
            example: "",
        },
        LIMIT,
    ],
    body: None,
    success: StatusCode::OK,
    answer: || json!({ "$ref": "#/components/schemas/History" }),
    refusals: &[400],
    handle: |call| Box::pin(history(call)),
};

async fn send(call: Call) -> Outcome {
    let app = &call.app;
    let room: RoomId = call.param("room")?;
    let [] = call.query([])?;
    call.allows_message(&room).await?;
    let sent = {
        let message: NewMessage<'_> = call.json()?;
        message.send_to(room, call.idempotency_key()?, app)?
    };
    let receipt = sent.settle(app).await?;
    Ok(done(&answer(&receipt)))
}

async fn history(call: Call) -> Outcome {
    let app = &call.app;
    let room: RoomId = call.param("room")?;
    let [after, before, wanted] = call.query(["after", "before", "limit"])?;
    let (after, before) = (value("after", after.as_deref())?, value("before", before.as_deref())?);
    let range = page::range(after, before)?;
    let page = page::read(app, room, range, limit(wanted.as_deref())?).await?;
    let messages: Result<Vec<Box<RawValue>>, _> = page
        .messages
        .iter()
        .map(|message| RawValue::from_string(placeholder::embed(&message.data, &message.attachments)))
        .collect();
    let messages = messages.map_err(|_| Failure::from(Code::Internal))?;
    let messages: Vec<&RawValue> = messages.iter().map(|message| &**message).collect();
    Ok(done(&History { epoch: page.standing.epoch, messages: &messages, more: page.more }))
}
