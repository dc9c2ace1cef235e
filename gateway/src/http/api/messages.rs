//! A room's messages: sending one, and reading those that are kept.

use std::sync::Arc;

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use turnpike_cluster::{Publication, PublishError, Range, Read, Receipt, Soon};
use turnpike_wire::event::client::{History, MessageSent};
use turnpike_wire::{Code, Failure, MessageId, RoomId, UserId};

use super::openapi::{LIMIT, ROOM};
use super::operation::{
    Access, Call, Method, Operation, Outcome, Parameter, Place, Problem, RequestBody, done,
};
use super::request::{bad, check_body, limit, value};
use crate::app::App;
use crate::membership::unavailable;
use crate::{placeholder, publication};

/// What a caller gets that does not say how many it wants.
const DEFAULT_MESSAGES: usize = 50;

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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewMessage<'a> {
    from: UserId,
    #[serde(borrow)]
    body: &'a RawValue,
    #[serde(default)]
    id: Option<MessageId>,
    #[serde(default)]
    age_ms: Option<u64>,
    #[serde(default)]
    volatile: bool,
}

async fn send(call: Call) -> Outcome {
    let app = &call.app;
    let room: RoomId = call.param("room")?;
    let [] = call.query([])?;
    let published = {
        let message: NewMessage<'_> = call.json()?;
        let key = call.idempotency_key()?;
        if message.volatile {
            if key.is_some() {
                let why = "a volatile message is not remembered, so there is no key to recognise it by";
                return Err(bad(why).into());
            }
            check_body(app, message.body)?;
            let NewMessage { from, id, body, .. } = &message;
            return Ok(done(&sent(&publication::volatile(app, &room, from, id.as_ref(), body, &[]))));
        }
        let id = agreed(key, message.id)?;
        publish(app, room, message.from, id, message.age_ms, message.body)?
    };
    let receipt = published.settle(app).await?;
    Ok(done(&sent(&receipt)))
}

fn agreed(key: Option<MessageId>, id: Option<MessageId>) -> Result<Option<MessageId>, Failure> {
    match (key, id) {
        (Some(key), Some(id)) if key != id => {
            Err(bad("the Idempotency-Key and the `id` of the message differ"))
        }
        (key, id) => Ok(key.or(id)),
    }
}

/// A message that has its turn in the room, though it may not be answered yet.
pub(super) struct Published {
    room: RoomId,
    from: UserId,
    receipt: Soon<Result<Receipt, PublishError>>,
}

pub(super) fn publish(
    app: &App,
    room: RoomId,
    from: UserId,
    id: Option<MessageId>,
    age_ms: Option<u64>,
    body: &RawValue,
) -> Result<Published, Failure> {
    check_body(app, body)?;
    let receipt = app.cluster.broker.publish(Publication {
        room: room.clone(),
        from: from.clone(),
        id,
        age_ms: age_ms.unwrap_or_default(),
        body: body.get().into(),
        attachments: Vec::new(),
    });
    Ok(Published { room, from, receipt })
}

impl Published {
    pub(super) async fn settle(self, app: &Arc<App>) -> Result<Receipt, Problem> {
        let Self { room, from, receipt } = self;
        let receipt = receipt.wait().await;
        let is_too_old = matches!(receipt, Err(PublishError::TooOld));
        publication::settle(app, &room, &from, receipt).map_err(|failure| match Problem::from(failure) {
            Problem { failure, .. } if is_too_old => Problem { status: StatusCode::CONFLICT, failure },
            problem => problem,
        })
    }
}

pub(super) fn sent(receipt: &Receipt) -> MessageSent<'_> {
    let Receipt { id, epoch, seq, ts, duplicate } = receipt;
    MessageSent { id, epoch: *epoch, seq: *seq, ts: *ts, duplicate: *duplicate }
}

async fn history(call: Call) -> Outcome {
    let app = &call.app;
    let room: RoomId = call.param("room")?;
    let [after, before, wanted] = call.query(["after", "before", "limit"])?;
    let (after, before) = (value("after", after.as_deref())?, value("before", before.as_deref())?);
    let range = match (after, before) {
        (Some(_), Some(_)) => return Err(bad("`after` and `before` exclude each other").into()),
        (Some(after), None) => Range::AfterSeq(after),
        (None, Some(before)) => Range::Before(before),
        (None, None) => Range::Latest,
    };
    let messages_max = limit(wanted.as_deref())?.unwrap_or(DEFAULT_MESSAGES);
    let read = Read { room, range, messages_max, bytes_max: app.limits.answer_bytes_max };
    let page = app.cluster.broker.read(&read).wait().await.map_err(unavailable)?;
    let messages: Result<Vec<Box<RawValue>>, _> = page
        .messages
        .iter()
        .map(|message| RawValue::from_string(placeholder::embed(&message.data, &message.attachments)))
        .collect();
    let messages = messages.map_err(|_| Failure::from(Code::Internal))?;
    let messages: Vec<&RawValue> = messages.iter().map(|message| &**message).collect();
    Ok(done(&History { epoch: page.standing.epoch, messages: &messages, more: page.more }))
}
