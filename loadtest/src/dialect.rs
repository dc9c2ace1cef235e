//! The two languages in which a user talks to the server, as text: Socket.IO, and the plain websocket's JSON.
//!
//! Text in, packets out, and the other way round. No connection in here.

mod packet;
mod plain;
mod socketio;

pub use packet::{Answer, Closing, Entered, Message, Packet, Refusal, Resync};

use crate::profile::Transport;

/// What a user must show to take up a session of Socket.IO again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ticket {
    pub pid: String,
    pub offset: String,
}

/// Where a websocket of this kind begins.
pub fn path(transport: Transport) -> &'static str {
    match transport {
        Transport::Socketio => "/socket.io/?EIO=4&transport=websocket",
        Transport::Websocket => "/ws",
    }
}

/// Who speaks first: Socket.IO waits for the server's open packet.
pub fn enters_at_once(transport: Transport) -> bool {
    transport == Transport::Websocket
}

pub fn enter(transport: Transport, token: &str, ticket: Option<&Ticket>) -> String {
    match transport {
        Transport::Socketio => socketio::enter(token, ticket),
        Transport::Websocket => plain::enter(token),
    }
}

/// An event with its data, which is JSON, and the number of its answer.
pub fn event(transport: Transport, id: u64, name: &str, data: &str) -> String {
    match transport {
        Transport::Socketio => socketio::event(id, name, data),
        Transport::Websocket => plain::event(id, name, data),
    }
}

pub fn read(transport: Transport, text: &str) -> Packet<'_> {
    match transport {
        Transport::Socketio => socketio::read(text),
        Transport::Websocket => plain::read(text),
    }
}
