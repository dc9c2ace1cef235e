//! Marks of users in rooms, and cursors of devices in personal rooms. Beside the room's log, so that one function can
//! hold them against its latest message.

use std::sync::Arc;

use fred::types::Value;
use futures_util::future::try_join_all;
use turnpike_wire::{RoomId, UserId};

use super::access::{Access, bytes_of};
use super::{frame, reply};
use crate::{Mark, Marks, Soon, Unavailable, lane_of};

/// Whoever comes back later than this finds all of the room unread. A season: longer than people are away, shorter than
/// data about them should be kept without a reason.
const IDLE_MS_MAX: u64 = 90 * 24 * 60 * 60 * 1000;

/// Of one user. Browsers that forget their device id would fill the hash; the one that was away longest goes.
const DEVICES_MAX: usize = 32;

/// In one call. A function holds up its whole process.
const MARKS_PER_CALL_MAX: usize = 256;

pub(crate) struct RedisMarks {
    access: Arc<Access>,
}

impl RedisMarks {
    pub(crate) fn new(access: Arc<Access>) -> Self {
        Self { access }
    }

    fn marks_keys(&self, room: &RoomId) -> [String; 2] {
        let (keys, lane) = (&self.access.keys, lane_of(room));
        [keys.lane(lane, &format!("mk:{room}")), keys.heads(lane)]
    }

    fn cursor_keys(&self, room: &RoomId) -> [String; 2] {
        let (keys, lane) = (&self.access.keys, lane_of(room));
        [keys.lane(lane, &format!("cu:{room}")), keys.heads(lane)]
    }
}

impl Marks for RedisMarks {
    fn mark(&self, room: &RoomId, marks: Vec<Mark>) -> Soon<Result<(), Unavailable>> {
        if marks.is_empty() {
            return Soon::Now(Ok(()));
        }
        let access = Arc::clone(&self.access);
        let keys = self.marks_keys(room);
        let (room, channel) = (bytes_of(room), access.keys.channel(room));
        Soon::later(async move {
            let calls = marks.chunks(MARKS_PER_CALL_MAX).map(|chunk| {
                let users: Vec<&UserId> = chunk.iter().map(|mark| &mark.user).collect();
                let header = frame::marks_header(&access.seal.at(&channel), access.own, &users);
                let mut args = vec![room.clone(), channel.clone().into(), header, bytes_of(IDLE_MS_MAX)];
                for mark in chunk {
                    args.extend([bytes_of(&mark.user), bytes_of(mark.received), bytes_of(mark.read)]);
                }
                access.call("turnpike_marks_raise", &keys, args, reply::number)
            });
            try_join_all(calls).await.map(drop)
        })
    }

    fn marks(&self, room: &RoomId, users: &[UserId]) -> Soon<Result<Vec<Mark>, Unavailable>> {
        if users.is_empty() {
            return Soon::Now(Ok(Vec::new()));
        }
        let access = Arc::clone(&self.access);
        let (keys, room, users) = (self.marks_keys(room), room.clone(), users.to_vec());
        Soon::later(async move {
            let calls = users.chunks(MARKS_PER_CALL_MAX).map(|chunk| {
                let args = std::iter::once(bytes_of(&room)).chain(chunk.iter().map(bytes_of)).collect();
                access.call("turnpike_marks_get", &keys, args, |answer| parse(chunk, answer))
            });
            Ok(try_join_all(calls).await?.into_iter().flatten().collect())
        })
    }

    fn cursor(&self, user: &UserId, device: &str) -> Soon<Result<Option<u64>, Unavailable>> {
        let access = Arc::clone(&self.access);
        let room = RoomId::personal(user);
        let keys = self.cursor_keys(&room);
        let args = vec![bytes_of(room), bytes_of(device)];
        Soon::later(async move { access.find("turnpike_cursor_get", &keys, args, reply::number).await })
    }

    fn advance(&self, user: &UserId, device: &str, seq: u64) -> Soon<Result<(), Unavailable>> {
        let access = Arc::clone(&self.access);
        let room = RoomId::personal(user);
        let keys = self.cursor_keys(&room);
        let args = vec![
            bytes_of(room),
            bytes_of(device),
            bytes_of(seq),
            bytes_of(DEVICES_MAX),
            bytes_of(IDLE_MS_MAX),
        ];
        Soon::later(async move {
            access.call("turnpike_cursor_advance", &keys, args, reply::number).await.map(drop)
        })
    }
}

fn parse(users: &[UserId], answer: &Value) -> Option<Vec<Mark>> {
    let found = reply::array(answer)?;
    let mut marks = Vec::new();
    for (user, mark) in users.iter().zip(found) {
        if reply::is_nil(mark) {
            continue;
        }
        let (received, read) = reply::text(mark)?.split_once(':')?;
        marks.push(Mark { user: user.clone(), received: received.parse().ok()?, read: read.parse().ok()? });
    }
    Some(marks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_those_who_have_a_mark() {
        let users = ["a", "b"].map(|user| UserId::parse(user).unwrap());
        let answer = Value::Array(vec![Value::Null, "9:3".into()]);
        let expected = Mark { user: users[1].clone(), received: 9, read: 3 };
        assert_eq!(parse(&users, &answer), Some(vec![expected]));
        assert_eq!(parse(&users, &Value::Array(vec!["9".into()])), None);
        assert_eq!(parse(&users, &Value::Null), None);
    }
}
