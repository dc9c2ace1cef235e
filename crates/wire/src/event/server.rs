//! What the server sends on its own.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::presence::Shown;
use crate::{Code, Disconnect, Failure, IceServer, RoomId, UserId};

pub const SESSION: &str = "session";
pub const MESSAGE: &str = "message";
pub const RESYNC: &str = "resync";
pub const CLOSING: &str = "closing";
pub const ERROR: &str = "error";
pub const EXPIRING: &str = "expiring";
pub const RECEIPT: &str = "receipt";
pub const TYPING: &str = "typing";
pub const PRESENCE: &str = "presence";

/// The first event of every connection.
#[derive(Debug, Clone, Serialize)]
pub struct Session<'a> {
    /// The public id of the connection.
    pub connection: &'a str,
    pub user: &'a UserId,
    pub node: &'a str,
    /// The connection goes on where an earlier one was cut: its rooms are joined and what it missed follows.
    pub recovered: bool,
    /// Milliseconds since 1970.
    pub server_time: u64,
    pub ping_interval_ms: u64,
    pub ping_timeout_ms: u64,
    /// For live video. Absent where there are none, or for users who may neither publish nor watch.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub ice_servers: &'a [IceServer<'a>],
}

/// A message of a room. A volatile one has no position.
#[derive(Debug, Clone, Serialize)]
pub struct Message<'a> {
    pub room: &'a RoomId,
    pub epoch: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    pub id: &'a str,
    pub from: &'a UserId,
    /// Milliseconds since 1970.
    pub ts: u64,
    pub body: &'a RawValue,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub volatile: bool,
}

/// Messages of this room were missed and cannot be given any more; the room stands at this position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resync<'a> {
    pub room: &'a RoomId,
    pub epoch: u64,
    pub seq: u64,
}

/// How far some of the room's members have come. What is said of a user takes the place of what was said before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Receipt<'a> {
    pub room: &'a RoomId,
    pub marks: &'a [UserMark],
}

/// Everything up to these numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UserMark {
    pub user: UserId,
    pub received: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<u64>,
}

/// Who is typing in the room right now, the receiver left out. It holds until the next of its kind, until a message of
/// that user, or for six seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Typing<'a> {
    pub room: &'a RoomId,
    /// At most [`crate::limits::TYPISTS_NAMED_MAX`].
    pub users: &'a [UserId],
    /// How many besides these.
    pub more: u64,
}

/// What has changed in who is there. A user stands in one list at most.
#[derive(Debug, Clone, Serialize)]
pub struct Presence<'a> {
    pub room: &'a RoomId,
    /// How many are there now.
    pub count: u64,
    pub joined: &'a [Shown],
    pub left: &'a [UserId],
    pub changed: &'a [Shown],
    /// Not every change is listed: the room is large, or too much has changed at once. `presence:list` has it all.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
}

/// The token ends soon; `auth:refresh` brings another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Expiring {
    /// Milliseconds since 1970.
    pub at: u64,
}

/// Sent right before the server closes the connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Closing {
    pub code: u16,
    pub reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconnect_after_ms: Option<u64>,
}

impl From<Disconnect> for Closing {
    fn from(reason: Disconnect) -> Self {
        Self { code: reason.code(), reason: reason.slug(), reconnect_after_ms: None }
    }
}

/// A failure of an event that was sent without an ack callback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Error<'a> {
    pub event: &'a str,
    pub code: u16,
    pub reason: &'static str,
    pub message: &'a str,
}

impl<'a> Error<'a> {
    pub fn new(event: &'a str, failure: &'a Failure) -> Self {
        let code: Code = failure.code;
        Self { event, code: code.number(), reason: code.slug(), message: &failure.message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(event: &impl Serialize) -> String {
        serde_json::to_string(event).unwrap()
    }

    #[test]
    fn who_is_there_and_what_they_do() {
        use crate::presence::{Activity, Status};

        let (alice, bob) = (UserId::parse("alice").unwrap(), UserId::parse("bob").unwrap());
        let room = &RoomId::parse("chat:a").unwrap();
        let marks = [
            UserMark { user: alice.clone(), received: 7, read: Some(5) },
            UserMark { user: bob.clone(), received: 7, read: None },
        ];
        insta::assert_snapshot!(json(&Receipt { room, marks: &marks }), @r#"{"room":"chat:a","marks":[{"user":"alice","received":7,"read":5},{"user":"bob","received":7}]}"#);
        insta::assert_snapshot!(json(&Typing { room, users: std::slice::from_ref(&bob), more: 0 }), @r#"{"room":"chat:a","users":["bob"],"more":0}"#);
        let activity = Activity::parse(r#"{"in":"a call"}"#).unwrap();
        let presence = Presence {
            room,
            count: 2,
            joined: &[Shown { user: alice, status: Status::Busy, activity: Some(activity) }],
            left: &[],
            changed: &[Shown { user: bob, status: Status::Online, activity: None }],
            partial: false,
        };
        insta::assert_snapshot!(json(&presence), @r#"{"room":"chat:a","count":2,"joined":[{"user":"alice","status":"busy","activity":{"in":"a call"}}],"left":[],"changed":[{"user":"bob","status":"online"}]}"#);
        insta::assert_snapshot!(json(&Presence { joined: &[], changed: &[], partial: true, ..presence }), @r#"{"room":"chat:a","count":2,"joined":[],"left":[],"changed":[],"partial":true}"#);
    }

    #[test]
    fn events_on_the_wire() {
        let user = UserId::parse("alice").unwrap();
        let room = RoomId::parse("chat:a").unwrap();
        let body = RawValue::from_string(r#"{"text":"hi"}"#.to_owned()).unwrap();
        insta::assert_snapshot!(json(&Session {
            connection: "c1",
            user: &user,
            node: "n1",
            recovered: false,
            server_time: 1_790_000_000_000,
            ping_interval_ms: 25_000,
            ping_timeout_ms: 20_000,
            ice_servers: &[],
        }), @r#"{"connection":"c1","user":"alice","node":"n1","recovered":false,"server_time":1790000000000,"ping_interval_ms":25000,"ping_timeout_ms":20000}"#);
        let message = Message {
            room: &room,
            epoch: 7,
            seq: Some(42),
            id: "m1",
            from: &user,
            ts: 1_790_000_000_000,
            body: &body,
            volatile: false,
        };
        insta::assert_snapshot!(json(&message), @r#"{"room":"chat:a","epoch":7,"seq":42,"id":"m1","from":"alice","ts":1790000000000,"body":{"text":"hi"}}"#);
        insta::assert_snapshot!(json(&Message { seq: None, volatile: true, ..message }), @r#"{"room":"chat:a","epoch":7,"id":"m1","from":"alice","ts":1790000000000,"body":{"text":"hi"},"volatile":true}"#);
        insta::assert_snapshot!(json(&Resync { room: &room, epoch: 7, seq: 42 }), @r#"{"room":"chat:a","epoch":7,"seq":42}"#);
        insta::assert_snapshot!(json(&Closing::from(Disconnect::Drain)), @r#"{"code":3001,"reason":"drain"}"#);
        insta::assert_snapshot!(
            json(&Closing { reconnect_after_ms: Some(1200), ..Disconnect::Slow.into() }),
            @r#"{"code":3002,"reason":"slow","reconnect_after_ms":1200}"#
        );
        insta::assert_snapshot!(json(&Error::new("message:send", &Failure::from(Code::NotInRoom))), @r#"{"event":"message:send","code":107,"reason":"not_in_room","message":"join the room first"}"#);
    }
}
