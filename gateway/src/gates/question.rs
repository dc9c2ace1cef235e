//! What a backend is asked, and how it is written.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use turnpike_engine::SocketId;
use turnpike_wire::{DeviceId, MessageId, RoomId, UserId};

use crate::placeholder;

/// Who wants to pass, and what for.
pub(crate) struct Subject<'a> {
    pub(crate) user: &'a UserId,
    pub(crate) connection: SocketId,
    /// At the gate `connect`: whether the client shows the ticket of an earlier session.
    pub(crate) returning: Option<bool>,
    pub(crate) device: Option<&'a DeviceId>,
    pub(crate) room: Option<&'a RoomId>,
    pub(crate) message: Option<Message<'a>>,
}

/// At the gate `send`.
pub(crate) struct Message<'a> {
    pub(crate) id: Option<&'a MessageId>,
    pub(crate) volatile: bool,
    pub(crate) body: &'a RawValue,
    pub(crate) attachments: &'a [Bytes],
}

/// What every question has.
#[derive(Serialize)]
pub(super) struct Stamp<'a> {
    pub(super) id: &'a str,
    pub(super) gate: &'static str,
    /// Milliseconds since 1970.
    pub(super) time: u64,
    pub(super) node: &'a str,
}

pub(super) struct Question<'a> {
    pub(super) stamp: Stamp<'a>,
    pub(super) subject: &'a Subject<'a>,
}

impl Question<'_> {
    pub(super) fn write(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Written<'a> {
            id: &'a str,
            gate: &'static str,
            time: u64,
            node: &'a str,
            user: &'a UserId,
            connection: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            returning: Option<bool>,
            #[serde(skip_serializing_if = "Option::is_none")]
            device: Option<&'a DeviceId>,
            #[serde(skip_serializing_if = "Option::is_none")]
            room: Option<&'a RoomId>,
            #[serde(skip_serializing_if = "Option::is_none")]
            message: Option<WrittenMessage<'a>>,
        }

        #[derive(Serialize)]
        struct WrittenMessage<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            id: Option<&'a MessageId>,
            volatile: bool,
            body: &'a RawValue,
        }

        let Self { stamp: Stamp { id, gate, time, node }, subject } = self;
        let message = subject.message.as_ref();
        // Binary values stand in the body, as they do in what the HTTP API gives.
        let embedded = message.filter(|message| !message.attachments.is_empty()).and_then(|message| {
            RawValue::from_string(placeholder::embed(message.body.get(), message.attachments)).ok()
        });
        let message = message.map(|Message { id, volatile, body, .. }| WrittenMessage {
            id: *id,
            volatile: *volatile,
            body: embedded.as_deref().unwrap_or(body),
        });
        let written = Written {
            id,
            gate,
            time: *time,
            node,
            user: subject.user,
            connection: subject.connection.to_string(),
            returning: subject.returning,
            device: subject.device,
            room: subject.room,
            message,
        };
        serde_json::to_vec(&written).expect("texts, numbers and raw JSON can always be written")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn written(subject: &Subject<'_>, gate: &'static str) -> Value {
        let stamp = Stamp { id: "q1", gate, time: 17, node: "n1" };
        serde_json::from_slice(&Question { stamp, subject }.write()).unwrap()
    }

    #[test]
    fn questions_are_written_as_the_documentation_says() {
        let (user, connection) = (UserId::parse("alice").unwrap(), SocketId::random());
        let (room, id) = (RoomId::parse("chat:a").unwrap(), MessageId::parse("m1").unwrap());
        let of =
            || Subject { user: &user, connection, returning: None, device: None, room: None, message: None };
        let common = |gate: &str| json!({ "id": "q1", "gate": gate, "time": 17, "node": "n1", "user": "alice", "connection": connection.to_string() });
        let device = DeviceId::parse("phone").unwrap();
        let mut expected = common("connect");
        expected["returning"] = false.into();
        expected["device"] = "phone".into();
        let connect = Subject { returning: Some(false), device: Some(&device), ..of() };
        assert_eq!(written(&connect, "connect"), expected);
        let mut expected = common("join");
        expected["room"] = "chat:a".into();
        assert_eq!(written(&Subject { room: Some(&room), ..of() }, "join"), expected);
        expected = common("send");
        expected["room"] = "chat:a".into();
        expected["message"] =
            json!({ "id": "m1", "volatile": false, "body": { "picture": { "$binary": "AQI=" } } });
        let body: Box<RawValue> =
            serde_json::from_str(r#"{"picture":{"_placeholder":true,"num":0}}"#).unwrap();
        let attachments = [Bytes::from_static(&[1, 2])];
        let message = Message { id: Some(&id), volatile: false, body: &body, attachments: &attachments };
        assert_eq!(written(&Subject { room: Some(&room), message: Some(message), ..of() }, "send"), expected);
    }
}
