//! What clients send, and the answer to each.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::limits::HISTORY_MESSAGES_MAX;
use crate::presence::{Activity, Member, Status};
use crate::{DeviceId, IceServer, MessageId, Position, RoomId, UserId};

macro_rules! client_events {
    ($($name:ident = $text:literal,)*) => {
        /// The events that clients may send.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ClientEvent {
            $($name,)*
        }

        impl ClientEvent {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            pub fn parse(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$name),)*
                    _ => None,
                }
            }

            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

client_events! {
    RoomJoin = "room:join",
    RoomLeave = "room:leave",
    MessageSend = "message:send",
    MessageHistory = "message:history",
    MessageReceived = "message:received",
    MessageRead = "message:read",
    TypingStart = "typing:start",
    TypingStop = "typing:stop",
    PresenceUpdate = "presence:update",
    PresenceList = "presence:list",
    AuthRefresh = "auth:refresh",
    Ping = "ping",
    MediaPublish = "media:publish",
    MediaSubscribe = "media:subscribe",
    MediaRestart = "media:restart",
    MediaResume = "media:resume",
    MediaAnswer = "media:answer",
    MediaCandidate = "media:candidate",
    MediaLayer = "media:layer",
    MediaMute = "media:mute",
    MediaRecord = "media:record",
    MediaStop = "media:stop",
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RoomJoin {
    pub room: RoomId,
    /// The last position that the client has: everything after it comes with the answer.
    #[serde(default)]
    pub since: Option<Position>,
    /// How many of the latest messages the client wants, when it has none.
    #[serde(default)]
    pub history: Option<Count>,
    /// Be shown to others in the room, and told of them.
    #[serde(default)]
    pub presence: bool,
}

/// How many messages, at most [`HISTORY_MESSAGES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub struct Count(u8);

impl Count {
    pub fn get(self) -> usize {
        usize::from(self.0)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("at most {HISTORY_MESSAGES_MAX} messages at once")]
pub struct CountError;

impl TryFrom<u64> for Count {
    type Error = CountError;

    fn try_from(count: u64) -> Result<Self, CountError> {
        match u8::try_from(count) {
            Ok(count) if usize::from(count) <= HISTORY_MESSAGES_MAX => Ok(Self(count)),
            _ => Err(CountError),
        }
    }
}

/// After this answer no message of the room is missed: `seq` is where the room stood when the join took effect.
#[derive(Debug, Clone, Serialize)]
pub struct RoomJoined<'a> {
    pub room: &'a RoomId,
    pub epoch: u64,
    pub seq: u64,
    /// True when `since` was given and `messages` is everything after it.
    pub recovered: bool,
    /// Messages in the form of [`super::server::Message`], oldest first.
    pub messages: &'a [&'a RawValue],
    /// Who is there, if presence was asked for: the first of them, by the order of their ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<&'a [Member]>,
    /// Of all who are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

/// One page. `after` and `before` exclude each other; without either it is the latest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MessageHistory {
    pub room: RoomId,
    /// Messages behind this one, the oldest of them first.
    #[serde(default)]
    pub after: Option<u64>,
    /// Messages before this one, the latest of them.
    #[serde(default)]
    pub before: Option<u64>,
    #[serde(default)]
    pub limit: Option<Count>,
}

#[derive(Debug, Clone, Serialize)]
pub struct History<'a> {
    pub epoch: u64,
    /// In the form of [`super::server::Message`], oldest first.
    pub messages: &'a [&'a RawValue],
    /// There are more in the direction that was asked for.
    pub more: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AuthRefresh<'a> {
    #[serde(borrow)]
    pub token: std::borrow::Cow<'a, str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuthRefreshed<'a> {
    /// Milliseconds since 1970.
    pub expires_at: u64,
    /// As in [`Session`](super::server::Session), with new credentials.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ice_servers: Vec<IceServer<'a>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RoomLeave {
    pub room: RoomId,
}

#[derive(Debug, Clone, Deserialize)]
pub struct MessageSend<'a> {
    pub room: RoomId,
    /// Sending again with the same id is answered with the first result. Without one, every send is a new message.
    #[serde(default)]
    pub id: Option<MessageId>,
    /// How long ago it was first sent with this id, when it is sent again.
    #[serde(default)]
    pub age_ms: Option<u64>,
    /// Any JSON. It is passed on as it came.
    #[serde(borrow)]
    pub body: &'a RawValue,
    /// Not kept, not numbered, and dropped for members that read slowly.
    #[serde(default)]
    pub volatile: bool,
}

/// For a volatile message `seq` is where the room stood; the message has no position of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MessageSent<'a> {
    pub id: &'a str,
    pub epoch: u64,
    pub seq: u64,
    /// Milliseconds since 1970.
    pub ts: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
}

/// Everything up to this message: of `message:received` and `message:read`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MessageMark {
    pub room: RoomId,
    pub seq: u64,
}

/// Of `typing:start` and `typing:stop`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Typing {
    pub room: RoomId,
}

/// How this connection is shown from here on, in all rooms that it is shown in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PresenceUpdate {
    pub status: Status,
    /// Without it the connection has none any more.
    #[serde(default)]
    pub activity: Option<Activity>,
    /// Without it the device stays the one that it was.
    #[serde(default)]
    pub device: Option<DeviceId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PresenceList {
    pub room: RoomId,
    /// As many as fit into a page, if it is not said.
    #[serde(default)]
    pub limit: Option<Count>,
    /// That of the page before.
    #[serde(default)]
    pub cursor: Option<UserId>,
}

/// A page of those who are there, by the order of their ids.
#[derive(Debug, Clone, Serialize)]
pub struct PresencePage<'a> {
    /// Of all who are there.
    pub count: u64,
    pub members: &'a [Member],
    /// There are more behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<&'a UserId>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Pong<'a> {
    pub data: Option<&'a RawValue>,
    /// Milliseconds since 1970.
    pub server_time: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presence::Shown;

    #[test]
    fn names_are_read_as_they_are_written() {
        for event in ClientEvent::ALL {
            assert_eq!(ClientEvent::parse(event.name()), Some(*event));
        }
        assert_eq!(ClientEvent::parse("message"), None);
        assert_eq!(ClientEvent::parse("Room:Join"), None);
    }

    #[test]
    fn a_join_is_parsed_into_types() {
        let join: RoomJoin =
            serde_json::from_str(r#"{"room":"chat:a","since":"7:41","history":100}"#).unwrap();
        assert_eq!(join.room.as_str(), "chat:a");
        assert_eq!(join.since, Some(Position { epoch: 7, seq: 41 }));
        assert_eq!(join.history.map(Count::get), Some(100));
        for bad in [
            r"{}",
            r#"{"room":""}"#,
            r#"{"room":"a b"}"#,
            r#"{"room":"a","since":41}"#,
            r#"{"room":"a","since":"41"}"#,
            r#"{"room":"a","history":101}"#,
            r#"{"room":"a","history":-1}"#,
            r#"{"room":"a","history":1.5}"#,
            r#"{"room":"a","room":"b"}"#,
            r#""a""#,
        ] {
            assert!(serde_json::from_str::<RoomJoin>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn presence_is_parsed_into_types() {
        let parse = |text: &str| serde_json::from_str::<PresenceUpdate>(text);
        let update = parse(r#"{"status":"busy","activity":{"in" : "a call"},"device":"phone"}"#).unwrap();
        assert_eq!((update.status, update.device.as_deref()), (Status::Busy, Some("phone")));
        assert_eq!(update.activity.unwrap().as_str(), r#"{"in" : "a call"}"#);
        assert_eq!(parse(r#"{"status":"away","activity":null}"#).unwrap().activity, None);
        for bad in [
            r"{}",
            r#"{"status":"gone"}"#,
            r#"{"status":"online","activity":"busy"}"#,
            r#"{"status":"online","activity":[]}"#,
            r#"{"status":"online","device":""}"#,
            r#"{"status":"online","device":"my phone"}"#,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let list: PresenceList = serde_json::from_str(r#"{"room":"a","limit":2,"cursor":"bob"}"#).unwrap();
        assert_eq!((list.limit.map(Count::get), list.cursor.as_deref()), (Some(2), Some("bob")));
        assert!(serde_json::from_str::<MessageMark>(r#"{"room":"a","seq":-1}"#).is_err());
        assert!(serde_json::from_str::<Typing>(r#"{"room":"a b"}"#).is_err());
    }

    #[test]
    fn a_body_is_passed_on_as_it_came() {
        let text = r#"{"body":{"b" : 1.0, "a":[ 1e3 ]},"room":"chat:a","later":"fields are ignored"}"#;
        let send: MessageSend<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(send.body.get(), r#"{"b" : 1.0, "a":[ 1e3 ]}"#);
        assert!(send.id.is_none() && !send.volatile);
        assert!(serde_json::from_str::<MessageSend<'_>>(r#"{"room":"chat:a"}"#).is_err(), "a body is needed");
    }

    #[test]
    fn answers_on_the_wire() {
        let room = RoomId::parse("chat:a").unwrap();
        let message = RawValue::from_string(r#"{"seq":41}"#.to_owned()).unwrap();
        let joined = RoomJoined {
            room: &room,
            epoch: 7,
            seq: 41,
            recovered: false,
            messages: &[&message],
            members: None,
            count: None,
        };
        insta::assert_snapshot!(serde_json::to_string(&joined).unwrap(), @r#"{"room":"chat:a","epoch":7,"seq":41,"recovered":false,"messages":[{"seq":41}]}"#);
        let shown = Shown { user: UserId::parse("bob").unwrap(), status: Status::Online, activity: None };
        let members = [Member { shown, devices: vec!["phone".into()] }];
        let joined = RoomJoined { messages: &[], members: Some(&members), count: Some(1), ..joined };
        insta::assert_snapshot!(serde_json::to_string(&joined).unwrap(), @r#"{"room":"chat:a","epoch":7,"seq":41,"recovered":false,"messages":[],"members":[{"user":"bob","status":"online","devices":["phone"]}],"count":1}"#);
        let sent = MessageSent { id: "m1", epoch: 7, seq: 42, ts: 1_790_000_000_000, duplicate: false };
        insta::assert_snapshot!(serde_json::to_string(&sent).unwrap(), @r#"{"id":"m1","epoch":7,"seq":42,"ts":1790000000000}"#);
        insta::assert_snapshot!(serde_json::to_string(&MessageSent { duplicate: true, ..sent }).unwrap(), @r#"{"id":"m1","epoch":7,"seq":42,"ts":1790000000000,"duplicate":true}"#);
        insta::assert_snapshot!(serde_json::to_string(&Pong { data: None, server_time: 5 }).unwrap(), @r#"{"data":null,"server_time":5}"#);
    }
}
