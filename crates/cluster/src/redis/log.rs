//! Asks the log: where lanes and rooms stand, and what is in them.

mod page;

use bytes::Bytes;
use fred::types::Value;
use tracing::error;
use turnpike_wire::RoomId;

use self::page::Answer;
use super::access::{Access, bytes_of};
use super::follow::{Comparison, Forgotten, Part, Place, Unanswered};
use super::frame::{self, Unreadable};
use super::reply;
use crate::{Lane, LanePosition, Page, Paged, Range, Read, Standing, Unavailable, lane_of};

/// What is read at once to repair a room.
const PART_MESSAGES_MAX: usize = 500;
const PART_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Where the lane is, and if a process has it that is new to it, in a new epoch.
pub(crate) async fn position(access: &Access, lane: Lane) -> Result<LanePosition, Unavailable> {
    compare_with(access, lane, &[], None).await.map(|comparison| comparison.lane)
}

pub(crate) async fn compare(
    access: &Access,
    lane: Lane,
    rooms: &[(RoomId, Option<Place>)],
    quiet: Option<LanePosition>,
) -> Result<Comparison, Unanswered> {
    compare_with(access, lane, rooms, quiet).await.map_err(|_| Unanswered)
}

async fn compare_with(
    access: &Access,
    lane: Lane,
    rooms: &[(RoomId, Option<Place>)],
    quiet: Option<LanePosition>,
) -> Result<Comparison, Unavailable> {
    let quiet = quiet.unwrap_or_default();
    // The largest number that Lua has exactly stands for a position that is never reached.
    let pos = quiet.pos.min(turnpike_wire::limits::INTEGER_MAX);
    let mut args = vec![bytes_of(quiet.epoch), bytes_of(pos)];
    for (room, place) in rooms {
        args.push(Bytes::copy_from_slice(room.as_bytes()));
        let known = place.map(|Place { at, seq }| format!("{seq} {} {}", at.pos, at.epoch));
        args.push(known.unwrap_or_default().into());
    }
    let keys = [access.keys.meta(lane), access.keys.heads(lane)];
    access.call("turnpike_audit", &keys, args, comparison).await
}

fn comparison(answer: &Value) -> Option<Comparison> {
    let parts = reply::array(answer)?;
    let number = |index: usize| reply::number(parts.get(index)?);
    let epochs = reply::text(parts.get(4)?)?.split_whitespace().filter_map(|epoch| {
        let (epoch, first) = epoch.split_once(':')?;
        Some((epoch.parse().ok()?, first.parse().ok()?))
    });
    let differing = parts.get(5..)?.chunks_exact(2).map(|pair| {
        let head = reply::text(&pair[1])?;
        Some((
            reply::number(&pair[0])? as usize,
            if head.is_empty() { None } else { Some(head_place(head)?) },
        ))
    });
    Some(Comparison {
        lane: LanePosition { epoch: number(0)?, pos: number(1)? },
        forgotten: Forgotten { seq: number(2)?, pos: number(3)? },
        epochs: epochs.collect(),
        differing: differing.collect::<Option<_>>()?,
    })
}

/// The head of a room, as in the hash of heads.
fn head_place(head: &str) -> Option<Place> {
    let mut words = head.split(' ').map(str::parse);
    let mut number = || words.next()?.ok();
    let (seq, pos, epoch) = (number()?, number()?, number()?);
    Some(Place { at: LanePosition { epoch, pos }, seq })
}

/// What is in the room behind this place.
pub(crate) async fn part(access: &Access, room: &RoomId, from: LanePosition) -> Result<Part, Unanswered> {
    let answer = ask(access, room, Range::AfterLane(from), PART_MESSAGES_MAX, PART_BYTES_MAX)
        .await
        .map_err(|_| Unanswered)?;
    let range = Range::AfterLane(from);
    Ok(Part {
        standing: answer.standing,
        continuity: answer.continuity(range),
        oldest_is_first: answer.oldest.is_some_and(|oldest| oldest.first),
        more: answer.more,
        messages: answer.messages,
    })
}

pub(crate) async fn read(access: &Access, read: &Read) -> Result<Page, Unavailable> {
    // What is compressed in the log may be larger than it is there.
    let answer = ask(access, &read.room, read.range, read.messages_max.max(1), read.bytes_max).await?;
    Ok(answer.page(read))
}

async fn ask(
    access: &Access,
    room: &RoomId,
    range: Range,
    messages_max: usize,
    bytes_max: usize,
) -> Result<Answer, Unavailable> {
    let lane = lane_of(room);
    let integer = |number: u64| bytes_of(number.min(turnpike_wire::limits::INTEGER_MAX));
    let (what, number, epoch) = match range {
        Range::After(position) => ("after", position.seq, position.epoch),
        Range::AfterLane(place) => ("lane", place.pos, place.epoch),
        Range::AfterSeq(seq) => ("seq", seq, 0),
        Range::Before(seq) => ("before", seq, 0),
        Range::Latest => ("before", u64::MAX, 0),
    };
    let args = vec![
        Bytes::copy_from_slice(room.as_bytes()),
        Bytes::from_static(what.as_bytes()),
        integer(number),
        integer(epoch),
        // A Lua table and a reply of Redis have their limits.
        bytes_of(messages_max.clamp(1, 4_000)),
        bytes_of(bytes_max.min(64 * 1024 * 1024)),
    ];
    let keys = [access.keys.meta(lane), access.keys.heads(lane), access.keys.log(room)];
    let channel = access.keys.channel(room);
    let parse = |answer: &Value| page::parse(answer, |value| message(access, &channel, room, value));
    access.call("turnpike_read", &keys, args, parse).await
}

/// Rooms of a lane from this cursor of Redis on, some at a time.
async fn some_rooms(
    access: &Access,
    lane: Lane,
    cursor: &str,
) -> Result<(Vec<(RoomId, Standing)>, String), Unavailable> {
    const COUNT: &[u8] = b"100";
    let args = vec![Bytes::copy_from_slice(cursor.as_bytes()), Bytes::from_static(COUNT)];
    let keys = [access.keys.meta(lane), access.keys.heads(lane)];
    access
        .call("turnpike_rooms", &keys, args, |answer| {
            let parts = reply::array(answer)?;
            let number = |index: usize| reply::number(parts.get(index)?);
            let lane = LanePosition { epoch: number(0)?, pos: number(1)? };
            let next = reply::text(parts.get(2)?)?.to_owned();
            let rooms = parts.get(3..)?.chunks_exact(2).map(|pair| {
                let room = RoomId::parse(reply::text(&pair[0])?).ok()?;
                let Place { at, seq } = head_place(reply::text(&pair[1])?)?;
                Some((room, Standing { epoch: at.epoch, seq, pos: at.pos, lane }))
            });
            Some((rooms.collect::<Option<Vec<_>>>()?, next))
        })
        .await
}

/// A page of all rooms. A cursor is the lane, where Redis is in its hash, and how many of what comes from there were given.
pub(crate) async fn rooms(
    access: &Access,
    cursor: &str,
    max: usize,
) -> Result<Paged<(RoomId, Standing)>, Unavailable> {
    let max = max.max(1);
    let mut words = cursor.split('.');
    let mut lane = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    let mut at = words.next().unwrap_or("0").to_owned();
    let mut given: usize = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    let mut page = Vec::new();
    while let Some(now) = Lane::new(lane) {
        let (rooms, next) = some_rooms(access, now, &at).await?;
        let left = rooms.len().saturating_sub(given);
        let room_left = max - page.len();
        page.extend(rooms.into_iter().skip(given).take(room_left));
        if left > room_left {
            return Ok((page, Some(format!("{lane}.{at}.{}", given + room_left))));
        }
        given = 0;
        if next == "0" {
            lane += 1;
        }
        at = next;
        if page.len() == max && Lane::new(lane).is_some() {
            return Ok((page, Some(format!("{lane}.{at}.0"))));
        }
    }
    Ok((page, None))
}

/// Forgets idle rooms from this cursor on, some at a time. Gives the next cursor.
pub(crate) async fn forget(access: &Access, lane: Lane, cursor: &str) -> Result<String, Unavailable> {
    let config = &access.client.config;
    // Their logs must have ended before.
    let idle_ms = (config.idle_room_max.as_millis() as u64).max(2 * config.history.age_ms_max);
    let args = vec![Bytes::copy_from_slice(cursor.as_bytes()), Bytes::from_static(b"200"), bytes_of(idle_ms)];
    let keys = [access.keys.meta(lane), access.keys.heads(lane)];
    access
        .call("turnpike_forget", &keys, args, |answer| {
            Some(reply::text(reply::array(answer)?.first()?)?.to_owned())
        })
        .await
}

/// An entry that cannot be understood ends what is read: there must be no hole.
fn message(
    access: &Access,
    channel: &str,
    room: &RoomId,
    value: &Value,
) -> Option<(frame::Header, std::sync::Arc<crate::Message>)> {
    let bytes = reply::bytes(value)?;
    match frame::message(&access.seal.at(channel), room, &bytes) {
        Ok(message) => Some(message),
        // Its place stays, or everybody would look for it again and again.
        Err(Unreadable::Forged) => {
            access.forged("log");
            frame::withheld(room, &bytes).ok()
        }
        Err(malformed) => {
            error!(%room, error = &malformed as &dyn std::error::Error, "an entry of the log");
            None
        }
    }
}
