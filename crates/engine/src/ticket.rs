//! Resume tickets: what a client shows to recover its session on any node.
//!
//! A ticket says who was connected and until when it counts, sealed with a keyed MAC (HMAC-SHA256). It is not encrypted
//! and must hold no secret of the application. Whoever presents it resumes the session, so it goes to its own client
//! alone. The clock is the caller's.

use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// Of the text. It comes back in the auth of every reconnect.
const TEXT_BYTES_MAX: usize = 2_048;
const VERSION: u8 = 1;
const MAC_BYTES: usize = 32;
/// Goes into every MAC, so that nothing else that was sealed with the same secret passes for a ticket.
const PURPOSE: &[u8] = b"turnpike resume ticket\0";

/// The secrets that seal and open tickets. The first seals; all open, so that one can replace another while tickets of
/// both are about.
#[derive(Debug)]
pub struct TicketKeys {
    sealing: hmac::Key,
    older: Vec<hmac::Key>,
}

/// What a ticket says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Unix seconds. The ticket counts until then, and no longer at it.
    pub expires: u64,
    pub socket_id: String,
    /// Whatever the application wants to find again.
    pub payload: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    #[error("ticket is malformed")]
    Malformed,
    #[error("ticket was not sealed with a secret of ours")]
    Forged,
    #[error("ticket has expired")]
    Expired,
    #[error("ticket would be longer than {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
}

impl TicketKeys {
    /// # Panics
    /// Without a single secret.
    pub fn new<S: AsRef<[u8]>>(secrets: impl IntoIterator<Item = S>) -> Self {
        let mut keys = secrets.into_iter().map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.as_ref()));
        let sealing = keys.next().expect("at least one secret, which the caller must see to");
        Self { sealing, older: keys.collect() }
    }

    pub fn seal(&self, ticket: &Ticket) -> Result<String, TicketError> {
        let too_large = TicketError::TooLarge { bytes_max: TEXT_BYTES_MAX };
        let socket_id_bytes = u8::try_from(ticket.socket_id.len()).map_err(|_| too_large)?;
        let mut sealed = Vec::with_capacity(64 + ticket.payload.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&ticket.expires.to_be_bytes());
        sealed.push(socket_id_bytes);
        sealed.extend_from_slice(ticket.socket_id.as_bytes());
        sealed.extend_from_slice(&ticket.payload);
        let mac = mac(&self.sealing, &sealed);
        sealed.extend_from_slice(mac.as_ref());
        let text = BASE64_URL_SAFE_NO_PAD.encode(sealed);
        if text.len() > TEXT_BYTES_MAX { Err(too_large) } else { Ok(text) }
    }

    /// `now` in unix seconds.
    pub fn open(&self, text: &str, now: u64) -> Result<Ticket, TicketError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(TicketError::Malformed);
        }
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| TicketError::Malformed)?;
        let (said, mac) = sealed.split_last_chunk::<MAC_BYTES>().ok_or(TicketError::Malformed)?;
        // Before anything that stands in it is looked at.
        if !self.is_sealed(said, mac) {
            return Err(TicketError::Forged);
        }
        let ticket = read(said).ok_or(TicketError::Malformed)?;
        if ticket.expires <= now { Err(TicketError::Expired) } else { Ok(ticket) }
    }

    fn is_sealed(&self, said: &[u8], shown: &[u8; MAC_BYTES]) -> bool {
        std::iter::once(&self.sealing)
            .chain(&self.older)
            .any(|key| constant_time::verify_slices_are_equal(mac(key, said).as_ref(), shown).is_ok())
    }
}

fn mac(key: &hmac::Key, said: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(PURPOSE);
    context.update(said);
    context.sign()
}

fn read(said: &[u8]) -> Option<Ticket> {
    let (&[VERSION], said) = said.split_first_chunk()? else {
        return None;
    };
    let (expires, said) = said.split_first_chunk()?;
    let (&[socket_id_bytes], said) = said.split_first_chunk()?;
    let (socket_id, payload) = said.split_at_checked(socket_id_bytes.into())?;
    Some(Ticket {
        expires: u64::from_be_bytes(*expires),
        socket_id: std::str::from_utf8(socket_id).ok()?.to_owned(),
        payload: payload.to_owned(),
    })
}
