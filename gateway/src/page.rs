//! A page of a room's past as somebody asks for it by numbers, whoever it is: a client, or a backend.

use turnpike_cluster::{Page, Range, Read};
use turnpike_wire::{Code, Failure, RoomId};

use crate::app::App;
use crate::membership::unavailable;

/// What somebody gets who does not say how many they want.
const DEFAULT_MESSAGES: usize = 50;

/// The messages after a number, the latest before a number, or the latest of all.
pub(crate) fn range(after: Option<u64>, before: Option<u64>) -> Result<Range, Failure> {
    match (after, before) {
        (Some(_), Some(_)) => Err(Failure::new(Code::BadRequest, "`after` and `before` exclude each other")),
        (Some(after), None) => Ok(Range::AfterSeq(after)),
        (None, Some(before)) => Ok(Range::Before(before)),
        (None, None) => Ok(Range::Latest),
    }
}

/// At least one message, however few are wanted.
pub(crate) async fn read(
    app: &App,
    room: RoomId,
    range: Range,
    wanted: Option<usize>,
) -> Result<Page, Failure> {
    let messages_max = wanted.unwrap_or(DEFAULT_MESSAGES).max(1);
    let read = Read { room, range, messages_max, bytes_max: app.limits.answer_bytes_max };
    app.cluster.broker.read(&read).wait().await.map_err(unavailable)
}
