//! What a store answers, as a node reads it.

use std::sync::Arc;

use turnpike_wire::{RoomId, UserId};

use super::client::parse;
use super::store::{Audit, Entry, Published, ReadAnswer};
use super::world::Outcome;
use crate::redis::follow::{Comparison, Forgotten, Part};
use crate::{Continuity, LanePosition, Message, Standing};

pub(super) fn outcome(published: &Published) -> Outcome {
    match published {
        Published::New(answer, _) | Published::Seen(answer) | Published::Done(answer) => {
            Outcome::Acked { epoch: answer.epoch, seq: answer.seq }
        }
        Published::Missing => Outcome::Refused,
    }
}

pub(super) fn message(room: &str, entry: &Entry) -> Arc<Message> {
    let (_, from) = parse(&entry.payload);
    Arc::new(Message {
        room: RoomId::parse(room).expect("rooms have names"),
        at: entry.header.at,
        seq: entry.header.seq,
        from: UserId::parse(from).expect("publishers have names"),
        ts: entry.header.ts,
        data: entry.payload.as_str().into(),
        attachments: Vec::new(),
    })
}

pub(super) fn comparison(audit: Audit) -> Comparison {
    let Audit { lane, fseq, fpos, epochs, differing } = audit;
    Comparison { lane, forgotten: Forgotten { seq: fseq, pos: fpos }, epochs, differing }
}

/// What a read after a place of the lane says.
pub(super) fn part(answer: &ReadAnswer, room: &str, from: LanePosition) -> Part {
    let continuity = continuity(answer, from);
    let head = answer.head;
    let standing = Standing {
        epoch: head.map_or(answer.lane.epoch, |head| head.at.epoch),
        seq: head.map_or(answer.fseq, |head| head.seq),
        pos: head.map_or(0, |head| head.at.pos),
        lane: answer.lane,
    };
    let kept = |entry: &Arc<Entry>| (entry.header, message(room, entry));
    Part {
        standing,
        messages: answer.entries.iter().map(kept).collect(),
        more: answer.more,
        continuity,
        oldest_is_first: answer.oldest.is_some_and(|oldest| oldest.first),
    }
}

/// As the reader of the log has it.
fn continuity(answer: &ReadAnswer, from: LanePosition) -> Continuity {
    let lost_pos = match (answer.head, answer.oldest) {
        (None, _) => answer.fpos,
        (Some(_), Some(oldest)) => oldest.prev,
        (Some(head), None) => head.at.pos,
    };
    match answer.last {
        Some(last) if lost_pos <= last.min(from.pos) && from.pos > last => Continuity::Truncated,
        Some(last) if lost_pos <= last.min(from.pos) => Continuity::Whole,
        _ => Continuity::Gone,
    }
}
