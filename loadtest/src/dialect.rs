//! The languages in which a user talks to the server, as text: Turnpike's over Socket.IO, the same over the plain websocket,
//! and the events of any other Socket.IO server.
//!
//! Text in, packets out, and the other way round. No connection in here.

mod app;
mod packet;
mod plain;
mod socketio;

pub use app::App;
pub use packet::{Answer, Closing, Entered, Message, Packet, Refusal, Resync};

use crate::profile::Transport;

/// What a user must show to take up a session of Socket.IO again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ticket {
    pub pid: String,
    pub offset: String,
}

#[derive(Clone, Debug)]
pub enum Dialect {
    Turnpike(Transport),
    /// A Socket.IO server with events of its own.
    App(App),
}

/// What a user asks for.
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    /// A room, from a position on, shown to its members or not.
    Join {
        room: &'a str,
        since: Option<turnpike_wire::Position>,
        presence: bool,
    },
    Leave {
        room: &'a str,
    },
    /// A device has everything up to there.
    Received {
        room: &'a str,
        seq: u64,
    },
    Typing {
        room: &'a str,
    },
    /// The body is JSON.
    Send {
        room: &'a str,
        id: &'a str,
        body: &'a str,
    },
}

impl Dialect {
    /// Where a websocket of this kind begins.
    pub fn path(&self) -> String {
        match self {
            Self::Turnpike(Transport::Socketio) => socketio::path("/socket.io/"),
            Self::Turnpike(Transport::Websocket) => "/ws".to_owned(),
            Self::App(app) => socketio::path(&app.path),
        }
    }

    /// Who speaks first: Socket.IO waits for the server's open packet.
    pub fn enters_at_once(&self) -> bool {
        matches!(self, Self::Turnpike(Transport::Websocket))
    }

    /// Whether the server gives each message of a room a number of its own.
    pub fn has_positions(&self) -> bool {
        matches!(self, Self::Turnpike(_))
    }

    /// Whether the server says when it has done what it was asked for.
    pub fn has_acks(&self) -> bool {
        match self {
            Self::Turnpike(_) => true,
            Self::App(app) => app.acks,
        }
    }

    /// As a device of that name, if it has one.
    pub fn enter(&self, token: &str, device: Option<&str>, ticket: Option<&Ticket>) -> String {
        match self {
            Self::Turnpike(Transport::Socketio) => socketio::enter("/", token, device, ticket),
            Self::Turnpike(Transport::Websocket) => plain::enter(token, device),
            Self::App(app) => socketio::enter(&app.namespace, token, device, ticket),
        }
    }

    /// With the number of its answer. Nothing if the server has no such event.
    pub fn ask(&self, id: u64, request: Request<'_>) -> Option<String> {
        match self {
            Self::Turnpike(Transport::Socketio) => {
                let (name, data) = request.turnpike();
                Some(socketio::event(id, name, &data))
            }
            Self::Turnpike(Transport::Websocket) => {
                let (name, data) = request.turnpike();
                Some(plain::event(id, name, &data))
            }
            Self::App(app) => app.ask(id, request),
        }
    }

    /// A delivery that is read where it is found; whatever else it may be is for `read`.
    pub fn delivery<'a>(&self, text: &'a str) -> Option<(Message<'a>, Option<&'a str>)> {
        match self {
            Self::Turnpike(Transport::Socketio) => socketio::delivery(text),
            Self::Turnpike(Transport::Websocket) => plain::delivery(text).map(|message| (message, None)),
            Self::App(_) => None,
        }
    }

    pub fn read<'a>(&self, text: &'a str) -> Packet<'a> {
        match self {
            Self::Turnpike(Transport::Socketio) => socketio::read(text),
            Self::Turnpike(Transport::Websocket) => plain::read(text),
            Self::App(app) => app.read(text),
        }
    }
}

impl Request<'_> {
    /// Name and data of Turnpike's event.
    fn turnpike(self) -> (&'static str, String) {
        use turnpike_wire::event::ClientEvent;
        let event = match self {
            Self::Join { .. } => ClientEvent::RoomJoin,
            Self::Leave { .. } => ClientEvent::RoomLeave,
            Self::Received { .. } => ClientEvent::MessageReceived,
            Self::Typing { .. } => ClientEvent::TypingStart,
            Self::Send { .. } => ClientEvent::MessageSend,
        };
        let data = match self {
            Self::Join { room, since, presence } => {
                let since = since.map(|since| format!(",\"since\":\"{since}\"")).unwrap_or_default();
                let presence = if presence { ",\"presence\":true" } else { "" };
                format!("{{\"room\":\"{room}\"{since}{presence}}}")
            }
            Self::Leave { room } | Self::Typing { room } => format!("{{\"room\":\"{room}\"}}"),
            Self::Received { room, seq } => format!("{{\"room\":\"{room}\",\"seq\":{seq}}}"),
            Self::Send { room, id, body } => {
                format!("{{\"room\":\"{room}\",\"id\":\"{id}\",\"body\":{body}}}")
            }
        };
        (event.name(), data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_json() {
        let since = Some(turnpike_wire::Position { epoch: 7, seq: 9 });
        let requests = [
            Request::Join { room: "r", since, presence: true },
            Request::Join { room: "r", since: None, presence: false },
            Request::Leave { room: "r" },
            Request::Received { room: "r", seq: 8 },
            Request::Typing { room: "r" },
            Request::Send { room: "r", id: "i", body: "\"b\"" },
        ];
        let asked = requests.map(|request| Dialect::Turnpike(Transport::Websocket).ask(3, request).unwrap());
        for text in &asked {
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!((&value["id"], &value["data"]["room"]), (&3.into(), &"r".into()), "{text}");
        }
        assert!(
            asked[0].contains("\"since\":\"7:9\"") && asked[0].contains("\"presence\":true"),
            "{}",
            asked[0]
        );
        assert!(!asked[1].contains("since") && asked[5].contains("\"body\":\"b\""));
    }
}
