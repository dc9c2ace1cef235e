//! What nodes ask each other for an operator, and what they answer. Nodes of another version may not understand: then they
//! do not answer, and the operator is told so.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use turnpike_cluster::LanePosition;
use turnpike_wire::media::StreamLook;
use turnpike_wire::{RoomId, UserId};

use super::notes::Line;
use super::trace::Finding;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Question {
    Connection { id: Box<str> },
    User { user: UserId },
    Room { room: RoomId },
    Stream { stream: RoomId },
    Message { room: RoomId, at: LanePosition, ts: u64, user: UserId },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Answer {
    Connections { seen: Vec<Seen>, more: u64 },
    Room(RoomHere),
    Stream(StreamHere),
    Traced { room: RoomHere, found: Vec<Found>, more: u64 },
}

/// A connection, as its node knows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Seen {
    pub connection: Box<str>,
    pub user: UserId,
    pub state: State,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Box<str>>,
    /// `socketio` or `raw`.
    pub kind: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Milliseconds since 1970. None: of somebody who is away it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
    /// It took up an earlier one.
    pub recovered: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rooms: Vec<Box<str>>,
    pub rooms_count: u64,
    /// What happened to it last, oldest first.
    pub events: Vec<Line>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Connected,
    /// Its client may come back and go on, until then.
    Away {
        until_ms: u64,
    },
    Closed(Ended),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub at_ms: u64,
    pub reason: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub text: Box<str>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Token {
    pub role: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Box<str>>,
    /// Unix seconds.
    pub expires_at: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Transport {
    pub websocket: bool,
    pub upgraded: bool,
    pub compressed: bool,
    pub queue_bytes: u64,
    pub queue_items: u64,
    pub blocked: bool,
    pub behind: bool,
    pub pinged: bool,
    pub received_bytes: u64,
    pub sent_bytes: u64,
    pub delivered: u32,
    pub asked: u32,
}

/// What a node has of a room.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RoomHere {
    /// The node has it open, so its messages come here.
    pub open: bool,
    pub epoch: u64,
    pub seq: u64,
    /// Sessions that are in it, those of clients that are away included.
    pub sessions: u64,
    pub connected: u64,
    pub members: Vec<MemberHere>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MemberHere {
    pub connection: Box<str>,
    pub user: UserId,
    pub connected: bool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct StreamHere {
    pub sessions: Vec<MediaHere>,
    pub more: u64,
    /// How it is at the relay of this process, with the number of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look: Option<(u64, StreamLook)>,
}

/// A client of this gateway that publishes or watches.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MediaHere {
    pub connection: Box<str>,
    /// `publisher` or `viewer`.
    pub role: Box<str>,
    /// The relay that has the session.
    pub relay: u64,
}

/// What is known of a message and one connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Found {
    pub(super) seen: Seen,
    pub(super) finding: Finding,
}

#[cfg(test)]
mod tests {
    use turnpike_cluster::LETTER_BYTES_MAX;

    use super::super::here::{CONNECTIONS_MAX, ROOMS_MAX};
    use super::*;

    /// A letter that is too large is not sent, and the node would seem not to answer.
    #[test]
    fn the_largest_answer_fits_into_a_letter() {
        const LINES_MAX: usize = 24;
        let name: Box<str> = "x".repeat(RoomId::BYTES_MAX).into();
        let line = Line {
            at_ms: u64::MAX,
            what: "delivered_through".into(),
            room: Some(name.clone()),
            event: Some("presence:update".into()),
            reason: Some("codec_not_supported".into()),
            number: Some(u64::MAX),
        };
        let ended = Ended {
            at_ms: u64::MAX,
            reason: "transport_closed".into(),
            code: Some(u16::MAX),
            text: "\u{1f600}".repeat(24).into(),
        };
        let seen = Seen {
            connection: "x".repeat(20).into(),
            user: UserId::parse(&"x".repeat(UserId::BYTES_MAX)).unwrap(),
            state: State::Closed(ended),
            device: Some(name.clone()),
            kind: "socketio".into(),
            address: Some("2001:db8:1111:2222:3333:4444:5555:6666".parse().unwrap()),
            since_ms: Some(u64::MAX),
            recovered: false,
            token: Some(Token {
                role: "service".into(),
                id: Some("x".repeat(256).into()),
                class: Some(name.clone()),
                expires_at: u64::MAX,
            }),
            transport: Some(Transport {
                websocket: false,
                upgraded: false,
                compressed: false,
                queue_bytes: u64::MAX,
                queue_items: u64::MAX,
                blocked: false,
                behind: false,
                pinged: false,
                received_bytes: u64::MAX,
                sent_bytes: u64::MAX,
                delivered: u32::MAX,
                asked: u32::MAX,
            }),
            rooms: vec![name; ROOMS_MAX],
            rooms_count: u64::MAX,
            events: vec![line; LINES_MAX],
        };
        let found = Found { seen, finding: Finding::LostInQueue };
        let found = (0..CONNECTIONS_MAX).map(|_| found.clone()).collect();
        let answer = Answer::Traced { room: RoomHere::default(), found, more: u64::MAX };
        let around = serde_json::json!({ "Answer": { "id": u64::MAX, "answer": null } }).to_string();
        let bytes = around.len() + serde_json::to_vec(&answer).unwrap().len();
        assert!(bytes <= LETTER_BYTES_MAX, "{bytes} bytes");
    }
}
