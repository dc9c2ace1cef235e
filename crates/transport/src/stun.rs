//! STUN messages as ICE uses them (RFC 8489, RFC 8445 7): parsing in place, integrity, and writing.
//!
//! It must not know agents, candidates or time. Of the comprehension-required attributes it knows those of ICE;
//! any other is reported, so that the agent can answer 420.

mod crc;
mod parse;
mod write;

pub use parse::{Class, Malformed, Message, UNKNOWN_LISTED_MAX};
pub use write::Writer;

/// The method of connectivity checks; no other is used between peers.
pub const BINDING: u16 = 1;

pub(crate) const MAGIC_COOKIE: u32 = 0x2112_a442;
pub(crate) const HEADER_BYTES: usize = 20;

/// Identifies a transaction: 96 bits that an attacker off the path cannot guess.
pub type TransactionId = [u8; 12];

pub(crate) mod attribute {
    pub(crate) const MAPPED_ADDRESS: u16 = 0x0001;
    pub(crate) const USERNAME: u16 = 0x0006;
    pub(crate) const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub(crate) const ERROR_CODE: u16 = 0x0009;
    pub(crate) const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
    pub(crate) const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
    pub(crate) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    pub(crate) const PRIORITY: u16 = 0x0024;
    pub(crate) const USE_CANDIDATE: u16 = 0x0025;
    pub(crate) const FINGERPRINT: u16 = 0x8028;
    pub(crate) const ICE_CONTROLLED: u16 = 0x8029;
    pub(crate) const ICE_CONTROLLING: u16 = 0x802a;
    /// Everything from here on may be ignored by whoever does not know it.
    pub(crate) const COMPREHENSION_OPTIONAL: u16 = 0x8000;
}

/// Whom a binding request is for: the receiver's half of its USERNAME, without verifying anything. With it a
/// shard finds the peer of the first datagram from an address; the peer then verifies it.
///
/// `None` if the datagram is not a well-formed binding request with a USERNAME of the form `receiver:sender`.
pub fn local_ufrag(datagram: &[u8]) -> Option<&str> {
    let message = Message::parse(datagram).ok()?;
    if message.class() != Class::Request || message.method() != BINDING {
        return None;
    }
    message.username()?.split_once(':').map(|(receiver, _)| receiver)
}
