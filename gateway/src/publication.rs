//! What becomes of a message that somebody sends, whoever it is: a client, or a backend.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;
use turnpike_cluster::{PublishError, Receipt, Signal};
use turnpike_wire::event::server::Message;
use turnpike_wire::{Code, Failure, MessageId, RoomId, UserId};

use crate::app::App;
use crate::clock::unix_ms;
use crate::membership::{overloaded, unavailable};
use crate::traced;

/// Counts what came of a publication, and says it in the words of the protocol.
pub(crate) fn settle(
    app: &Arc<App>,
    room: &RoomId,
    from: &UserId,
    published: Result<Receipt, PublishError>,
) -> Result<Receipt, Failure> {
    let receipt = published.map_err(|error| match error {
        PublishError::Unavailable(error) => unavailable(error),
        PublishError::Full => overloaded(),
        PublishError::TooOld => Failure::new(
            Code::BadRequest,
            "it was first sent too long ago to tell whether it arrived; look at the history, and send it under a new id",
        ),
    })?;
    if receipt.duplicate {
        app.meters.duplicates.inc();
    } else {
        app.meters.stored.inc();
    }
    traced::publication(&app.tracer, room, &receipt);
    app.report_published(room, from, &receipt);
    Ok(receipt)
}

/// Handed on and forgotten: no position, no history, and none of it for who reads slowly. Its `seq` is where the room
/// stands, as far as that is known here.
pub(crate) fn volatile(
    app: &App,
    room: &RoomId,
    from: &UserId,
    id: Option<&MessageId>,
    body: &RawValue,
    attachments: &[Bytes],
) -> Receipt {
    let ts = unix_ms();
    let id: Box<str> = id.map_or_else(|| app.draw_id().into(), |id| id.as_str().into());
    let standing = app.mirror.lane_of(room).room(room).and_then(|room| room.standing().copied());
    let (epoch, seq) = standing.map_or((0, 0), |standing| (standing.epoch, standing.seq));
    let message = Message { room, epoch, seq: None, id: &id, from, ts, body, volatile: true };
    let data = serde_json::to_string(&message).expect("ids, numbers and raw JSON can always be written");
    let signal = Signal::Volatile { data: data.into(), attachments: attachments.to_vec() };
    app.cluster.broker.signal(room, signal);
    app.typing.spoke(room, from);
    app.meters.volatile.inc();
    Receipt { id, epoch, seq, ts, duplicate: false }
}
