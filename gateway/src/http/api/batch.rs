//! Many messages in one request, each with an outcome of its own.

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use turnpike_wire::event::client::MessageSent;
use turnpike_wire::{Answer, Failure};

use super::new_message::{NewMessage, WITHOUT_ROOM, answer};
use super::operation::{Access, Call, Method, Operation, Outcome, RequestBody, done};
use super::request::bad;

/// More would keep one connection, and whoever waits behind it, too long.
const MESSAGES_MAX: usize = 100;

pub(super) const SEND_BATCH: Operation = Operation {
    id: "sendBatch",
    method: Method::Post,
    path: "/api/v1/batch",
    access: Access::Service,
    summary: "Send up to 100 messages.",
    description: "The messages of one room are kept in the order of the list. Each has an outcome of its own, in the \
                  same order; `ok` of the whole says only that the request was understood. A request that is not \
                  understood sends nothing.",
    parameters: &[],
    body: Some(RequestBody {
        bodies_max: 4,
        schema: || json!({ "$ref": "#/components/schemas/Batch" }),
        example: || {
            json!({ "messages": [
                { "room": "chat:lobby", "from": "shop", "body": "hello", "id": "hello-1" },
                { "room": "user:alice", "from": "shop", "body": { "text": "for you" } }
            ] })
        },
    }),
    success: StatusCode::OK,
    answer: || json!({ "$ref": "#/components/schemas/Outcomes" }),
    refusals: &[400, 413, 415],
    handle: |call| Box::pin(send(call)),
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch<'a> {
    #[serde(borrow)]
    messages: Vec<NewMessage<'a>>,
}

#[derive(Serialize)]
struct Outcomes<'a> {
    outcomes: &'a [Answer<MessageSent<'a>>],
}

async fn send(call: Call) -> Outcome {
    let app = &call.app;
    let [] = call.query([])?;
    if call.idempotency_key()?.is_some() {
        return Err(bad("a batch has no key of its own: give each message an `id`").into());
    }
    let Batch { messages } = call.json()?;
    if messages.len() > MESSAGES_MAX {
        return Err(bad(format!("at most {MESSAGES_MAX} messages at once")).into());
    }
    let mut allowed = Vec::with_capacity(messages.len());
    for message in &messages {
        let Some(room) = message.room() else { return Err(bad(WITHOUT_ROOM).into()) };
        allowed.push(call.allows_message(room).await);
    }
    // All of them are on their way before the first is waited for: that keeps their order, and costs one round trip.
    let sent: Vec<_> = messages
        .into_iter()
        .zip(allowed)
        .map(|(message, allowed)| allowed.and_then(|()| message.send(app)))
        .collect();
    let mut receipts = Vec::with_capacity(sent.len());
    for sent in sent {
        receipts.push(match sent {
            Ok(sent) => sent.settle(app).await.map_err(|problem| problem.failure),
            Err(failure) => Err(failure),
        });
    }
    let outcomes: Vec<Answer<MessageSent<'_>>> =
        receipts.iter().map(|receipt| receipt.as_ref().map(answer).map_err(Failure::clone).into()).collect();
    Ok(done(&Outcomes { outcomes: &outcomes }))
}
