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
    server::DISCONNECTING,
    server::ERROR,
    media::MEDIA_OFFER,
    media::MEDIA_CANDIDATE,
    media::MEDIA_STATE,
];

/// `{}`: an answer that says no more than that it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Empty {}
