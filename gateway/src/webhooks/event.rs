//! What is reported, and how it is written.

use serde::Serialize;
use turnpike_wire::{RoomId, UserId};

/// Which events are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookEvent {
    ConnectionOpened,
    ConnectionClosed,
    MessageOffline,
    RoomOccupied,
    RoomVacated,
    StreamStarted,
    StreamEnded,
}

impl WebhookEvent {
    pub const ALL: [Self; 7] = [
        Self::ConnectionOpened,
        Self::ConnectionClosed,
        Self::MessageOffline,
        Self::RoomOccupied,
        Self::RoomVacated,
        Self::StreamStarted,
        Self::StreamEnded,
    ];

    /// Those that are sent unless others are asked for: what costs nothing but the sending.
    pub const COMMON: [Self; 5] = [
        Self::ConnectionOpened,
        Self::ConnectionClosed,
        Self::MessageOffline,
        Self::StreamStarted,
        Self::StreamEnded,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::ConnectionOpened => "connection.opened",
            Self::ConnectionClosed => "connection.closed",
            Self::MessageOffline => "message.offline",
            Self::RoomOccupied => "room.occupied",
            Self::RoomVacated => "room.vacated",
            Self::StreamStarted => "stream.started",
            Self::StreamEnded => "stream.ended",
        }
    }
}

/// An event, as it stands in the body.
#[derive(Debug, Serialize)]
pub(super) struct Event {
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) name: &'static str,
    /// Milliseconds since 1970.
    pub(super) time: u64,
    pub(super) node: String,
    /// Whom it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<UserId>,
    #[serde(flatten)]
    pub(super) what: What,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum What {
    Opened { connection: String, recovered: bool },
    Closed { connection: String, reason: String },
    Offline { from: UserId, message: Message },
    Room(RoomTurn),
    Started { stream: RoomId },
    Ended { stream: RoomId, duration_ms: u64, viewers_max: u64 },
}

/// A room has become occupied, or vacated; the higher turn is the later one.
#[derive(Debug, Serialize)]
pub(super) struct RoomTurn {
    pub(super) room: RoomId,
    pub(super) turn: u64,
    #[serde(skip)]
    pub(super) occupied: bool,
}

/// Which one it is; what it says can be read in the history.
#[derive(Debug, Serialize)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) epoch: u64,
    pub(super) seq: u64,
    pub(super) ts: u64,
}

impl What {
    pub(super) fn kind(&self) -> WebhookEvent {
        match self {
            Self::Opened { .. } => WebhookEvent::ConnectionOpened,
            Self::Closed { .. } => WebhookEvent::ConnectionClosed,
            Self::Offline { .. } => WebhookEvent::MessageOffline,
            Self::Room(RoomTurn { occupied: true, .. }) => WebhookEvent::RoomOccupied,
            Self::Room(RoomTurn { occupied: false, .. }) => WebhookEvent::RoomVacated,
            Self::Started { .. } => WebhookEvent::StreamStarted,
            Self::Ended { .. } => WebhookEvent::StreamEnded,
        }
    }
}

/// The body of a request.
pub(super) fn body<'a>(id: &str, events: impl Iterator<Item = &'a Event>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Batch<'a> {
        id: &'a str,
        events: Vec<&'a Event>,
    }
    serde_json::to_vec(&Batch { id, events: events.collect() })
        .expect("texts and numbers can always be written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_written_as_the_documentation_says() {
        let user = |name: &str| UserId::parse(name).unwrap();
        let event = |what: What| Event {
            id: "e1".to_owned(),
            name: what.kind().name(),
            time: 17,
            node: "n1".to_owned(),
            user: (!matches!(what, What::Room(_))).then(|| user("bob")),
            what,
        };
        let message = Message { id: "m1".to_owned(), epoch: 2, seq: 3, ts: 16 };
        let events = [
            event(What::Opened { connection: "c1".to_owned(), recovered: true }),
            event(What::Closed { connection: "c1".to_owned(), reason: "client_left".to_owned() }),
            event(What::Offline { from: user("alice"), message }),
            event(What::Room(RoomTurn { room: RoomId::parse("chat:a").unwrap(), turn: 5, occupied: true })),
            event(What::Room(RoomTurn { room: RoomId::parse("chat:a").unwrap(), turn: 6, occupied: false })),
            event(What::Started { stream: RoomId::parse("live:a").unwrap() }),
            event(What::Ended { stream: RoomId::parse("live:a").unwrap(), duration_ms: 7, viewers_max: 8 }),
        ];
        let written: serde_json::Value = serde_json::from_slice(&body("b1", events.iter())).unwrap();
        let expected = serde_json::json!({ "id": "b1", "events": [
            { "id": "e1", "type": "connection.opened", "time": 17, "node": "n1", "user": "bob", "connection": "c1", "recovered": true },
            { "id": "e1", "type": "connection.closed", "time": 17, "node": "n1", "user": "bob", "connection": "c1", "reason": "client_left" },
            { "id": "e1", "type": "message.offline", "time": 17, "node": "n1", "user": "bob", "from": "alice",
              "message": { "id": "m1", "epoch": 2, "seq": 3, "ts": 16 } },
            { "id": "e1", "type": "room.occupied", "time": 17, "node": "n1", "room": "chat:a", "turn": 5 },
            { "id": "e1", "type": "room.vacated", "time": 17, "node": "n1", "room": "chat:a", "turn": 6 },
            { "id": "e1", "type": "stream.started", "time": 17, "node": "n1", "user": "bob", "stream": "live:a" },
            { "id": "e1", "type": "stream.ended", "time": 17, "node": "n1", "user": "bob", "stream": "live:a",
              "duration_ms": 7, "viewers_max": 8 },
        ]});
        assert_eq!(written, expected);
    }
}
