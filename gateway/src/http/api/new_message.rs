//! A message that a backend sends, alone or among others.

use std::sync::Arc;

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use turnpike_cluster::{Publication, PublishError, Receipt, Soon};
use turnpike_wire::event::client::MessageSent;
use turnpike_wire::{Failure, MessageId, RoomId, UserId};

use super::operation::Problem;
use super::request::{bad, check_body};
use crate::app::App;
use crate::publication;

/// What a message is told that nobody gives a room.
pub(super) const WITHOUT_ROOM: &str = "missing field `room`";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewMessage<'a> {
    /// Where the request itself does not name it.
    #[serde(default)]
    room: Option<RoomId>,
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

/// A message that has its turn in the room, though it may not be answered yet.
pub(super) enum Sent {
    Volatile(Receipt),
    Published { room: RoomId, from: UserId, receipt: Soon<Result<Receipt, PublishError>> },
}

impl NewMessage<'_> {
    /// Into the room that the request names. `key` is another way to give the message its id.
    pub(super) fn send_to(
        mut self,
        room: RoomId,
        key: Option<MessageId>,
        app: &App,
    ) -> Result<Sent, Failure> {
        if self.room.is_some() {
            return Err(bad("the room stands in the path"));
        }
        if self.volatile && key.is_some() {
            return Err(bad("a volatile message is not remembered, so there is no key to recognise it by"));
        }
        self.id = agreed(key, self.id)?;
        self.room = Some(room);
        self.send(app)
    }

    pub(super) fn room(&self) -> Option<&RoomId> {
        self.room.as_ref()
    }

    pub(super) fn send(self, app: &App) -> Result<Sent, Failure> {
        let Self { room, from, body, id, age_ms, volatile } = self;
        let room = room.ok_or_else(|| bad(WITHOUT_ROOM))?;
        check_body(app, body)?;
        if volatile {
            return Ok(Sent::Volatile(publication::volatile(app, &room, &from, id.as_ref(), body, &[])));
        }
        let receipt = app.cluster.broker.publish(Publication {
            room: room.clone(),
            from: from.clone(),
            id,
            age_ms: age_ms.unwrap_or_default(),
            body: body.get().into(),
            attachments: Vec::new(),
        });
        Ok(Sent::Published { room, from, receipt })
    }
}

impl Sent {
    pub(super) async fn settle(self, app: &Arc<App>) -> Result<Receipt, Problem> {
        let (room, from, receipt) = match self {
            Self::Volatile(receipt) => return Ok(receipt),
            Self::Published { room, from, receipt } => (room, from, receipt.wait().await),
        };
        let is_too_old = matches!(receipt, Err(PublishError::TooOld));
        publication::settle(app, &room, &from, receipt).map_err(|failure| match Problem::from(failure) {
            Problem { failure, .. } if is_too_old => Problem { status: StatusCode::CONFLICT, failure },
            problem => problem,
        })
    }
}

fn agreed(key: Option<MessageId>, id: Option<MessageId>) -> Result<Option<MessageId>, Failure> {
    match (key, id) {
        (Some(key), Some(id)) if key != id => {
            Err(bad("the Idempotency-Key and the `id` of the message differ"))
        }
        (key, id) => Ok(key.or(id)),
    }
}

/// As it is answered.
pub(super) fn answer(receipt: &Receipt) -> MessageSent<'_> {
    let Receipt { id, epoch, seq, ts, duplicate } = receipt;
    MessageSent { id, epoch: *epoch, seq: *seq, ts: *ts, duplicate: *duplicate }
}
