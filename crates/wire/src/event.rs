//! The events of the protocol and what they carry.
//!
//! [`client`] holds what clients send and how it is answered, [`server`] what the server sends on its own, [`media`] both
//! of live video.

pub mod client;
pub mod media;
pub mod server;

use serde::Serialize;

pub use client::ClientEvent;

/// The events that the server sends on its own.
pub const SERVER_EVENTS: &[&str] = &[
    server::SESSION,
    server::MESSAGE,
    server::RECEIPT,
    server::TYPING,
    server::PRESENCE,
    server::RESYNC,
    server::EXPIRING,
    server::CLOSING,
    server::ERROR,
    media::MEDIA_OFFER,
    media::MEDIA_CANDIDATE,
    media::MEDIA_STATE,
];

/// `{}`: an answer that says no more than that it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Empty {}

#[cfg(test)]
mod tests {
    use super::*;

    /// What clients of Socket.IO keep for themselves. To the one for JavaScript an event of such a name is a broken packet: it
    /// ends the connection at once, before it has handed on what came with it, and a recovery brings that a second time.
    const RESERVED: [&str; 6] =
        ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

    #[test]
    fn no_event_has_a_name_that_clients_keep_for_themselves() {
        for name in SERVER_EVENTS {
            assert!(!RESERVED.contains(name), "{name}");
        }
    }
}
