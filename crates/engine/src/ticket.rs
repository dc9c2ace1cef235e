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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_763_000_000;

    fn keys(secrets: &[&str]) -> TicketKeys {
        TicketKeys::new(secrets)
    }

    fn ticket() -> Ticket {
        Ticket {
            expires: NOW + 120,
            socket_id: "AbCdEfGhIjKlMnOpQrSt".to_owned(),
            payload: b"alice\0\xff".to_vec(),
        }
    }

    #[test]
    fn a_ticket_says_what_was_sealed_in_it() {
        let keys = keys(&["secret"]);
        for ticket in [
            ticket(),
            Ticket { expires: u64::MAX, socket_id: String::new(), payload: Vec::new() },
            Ticket { expires: NOW + 1, socket_id: "é".repeat(127), payload: vec![7; 1_000] },
        ] {
            let text = keys.seal(&ticket).unwrap();
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{text}");
            assert_eq!(keys.open(&text, NOW), Ok(ticket));
        }
    }

    /// Tickets are out with clients when a node of a new version starts: the format must not change unnoticed.
    #[test]
    fn the_format_stays() {
        let text = keys(&["secret"]).seal(&ticket()).unwrap();
        assert_eq!(
            text,
            "AQAAAABpFT84FEFiQ2RFZkdoSWpLbE1uT3BRclN0YWxpY2UA_wV0VvChLBp_9oK3DOOSP4aBpgrl3WBOSngLCxLPmlgv"
        );
    }

    #[test]
    fn a_ticket_counts_until_it_expires() {
        let keys = keys(&["secret"]);
        let text = keys.seal(&ticket()).unwrap();
        assert_eq!(keys.open(&text, NOW + 119), Ok(ticket()));
        assert_eq!(keys.open(&text, NOW + 120), Err(TicketError::Expired));
        assert_eq!(keys.open(&text, u64::MAX), Err(TicketError::Expired));
    }

    #[test]
    fn nothing_of_a_ticket_can_be_changed() {
        let keys = keys(&["secret"]);
        let text = keys.seal(&ticket()).unwrap();
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(&text).unwrap();
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[at] ^= 1 << bit;
                let changed = BASE64_URL_SAFE_NO_PAD.encode(changed);
                assert_eq!(keys.open(&changed, NOW), Err(TicketError::Forged), "byte {at}, bit {bit}");
            }
        }
        for end in 0..sealed.len() {
            let cut = keys.open(&BASE64_URL_SAFE_NO_PAD.encode(&sealed[..end]), NOW);
            let expected = if end < MAC_BYTES { TicketError::Malformed } else { TicketError::Forged };
            assert_eq!(cut, Err(expected), "cut at {end}");
        }
        // A second way to write the same bytes would be a second ticket to whoever keeps account of them.
        let last = text.chars().last().unwrap();
        for other in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".chars() {
            let changed = format!("{}{other}", &text[..text.len() - 1]);
            assert_eq!(keys.open(&changed, NOW).is_ok(), other == last, "{other}");
        }
    }

    #[test]
    fn what_is_no_ticket_is_malformed() {
        let keys = keys(&["secret"]);
        let text = keys.seal(&ticket()).unwrap();
        for text in ["", "a", "é", "a b", &format!("{text}="), &format!(" {text}"), &"A".repeat(2_049)] {
            assert_eq!(keys.open(text, NOW), Err(TicketError::Malformed), "{text}");
        }
        assert_eq!(keys.open(&"A".repeat(2_048), NOW), Err(TicketError::Forged));
        // Sealed by us, but of a version that this one does not know, or not a ticket inside.
        for said in [
            &b"\x02\0\0\0\0\0\0\0\0\0"[..],
            b"",
            b"\x01\0\0\0\0\0\0\0",
            b"\x01\0\0\0\0\0\0\0\0\x02a",
            b"\x01\0\0\0\0\0\0\0\0\x01\xff",
        ] {
            let sealed = [said, mac(&keys.sealing, said).as_ref()].concat();
            let opened = keys.open(&BASE64_URL_SAFE_NO_PAD.encode(sealed), 0);
            assert_eq!(opened, Err(TicketError::Malformed), "{said:?}");
        }
    }

    #[test]
    fn secrets_can_be_replaced() {
        let (old, new) = (keys(&["old"]), keys(&["new"]));
        let both = keys(&["new", "older", "old"]);
        let by_old = old.seal(&ticket()).unwrap();
        assert_eq!(both.open(&by_old, NOW), Ok(ticket()));
        let by_both = both.seal(&ticket()).unwrap();
        assert_eq!(new.open(&by_both, NOW), Ok(ticket()));
        assert_eq!(new.open(&by_old, NOW), Err(TicketError::Forged));
        assert_eq!(old.open(&by_both, NOW), Err(TicketError::Forged));
    }

    #[test]
    fn a_ticket_that_would_be_too_long_is_not_sealed() {
        let keys = keys(&["secret"]);
        let with = |payload| Ticket { payload: vec![0; payload], socket_id: String::new(), ..ticket() };
        // 1,536 bytes are 2,048 characters: 10 in front, 32 behind.
        let longest = keys.seal(&with(1_494)).unwrap();
        assert_eq!(longest.len(), 2_048);
        assert_eq!(keys.open(&longest, NOW), Ok(with(1_494)));
        let refused = Err(TicketError::TooLarge { bytes_max: 2_048 });
        assert_eq!(keys.seal(&with(1_495)), refused);
        let long_id = Ticket { socket_id: "a".repeat(256), ..ticket() };
        assert_eq!(keys.seal(&long_id), refused);
    }
}
