//! The gateway over real sockets: a server of its own for each test, on a port of the system's choice, and clients that
//! speak the protocols by hand.
// In a test a panic is the answer, also outside of the functions that bear the attribute.
#![allow(clippy::unwrap_used)]

mod api;
mod backend;
mod client;
mod documents;
mod drain;
mod entering;
mod gates;
mod history;
mod house;
mod http;
mod ice;
mod ids;
mod media;
mod media_relay;
mod messages;
mod presence;
mod raw;
mod receipts;
mod recovery;
mod relay;
mod revoking;
mod rights;
mod rooms;
mod slow;
mod storm;
mod tokens;
mod typing;
mod weather;
mod webhooks;
