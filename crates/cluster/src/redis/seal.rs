//! Seals on what nodes say to each other through Redis: who may write to Redis can take a message away, but not make one.
//!
//! ```text
//! sealed   2  origin  mac  payload      origin is 8 bytes, mac 16
//! ```
//!
//! The mac is HMAC-SHA-256, cut to half, over the channel, the head of the frame that the payload is of, the origin and the
//! payload. So nothing can be brought again in another room, to another node or as something else. What Redis adds by
//! itself (positions, versions) cannot be under it: see `docs/adr/0021-sealed-bus.md`.

use aws_lc_rs::hmac;
use bytes::{BufMut, Bytes, BytesMut};

use crate::Incarnation;

/// Stands where an unsealed payload has the marker of its compression; see `frame`.
pub(crate) const SEALED: u8 = 2;

/// Half of what the hash gives: nobody finds 128 bits by trying, and every message carries them.
const MAC_BYTES: usize = 16;
const ORIGIN_BYTES: usize = 8;
pub(crate) const SEAL_BYTES: usize = 1 + ORIGIN_BYTES + MAC_BYTES;

pub(crate) struct Seal {
    /// The first seals, any of them opens.
    keys: Vec<hmac::Key>,
    own: Incarnation,
}

/// Where something is said: what is sealed for one place is not opened at another.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    seal: &'a Seal,
    channel: &'a str,
}

/// It bears no seal of this cluster, or one that was made for another place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message is not sealed by a node of this cluster")]
pub(crate) struct Forged;

impl Seal {
    pub(crate) fn new(secrets: &[[u8; 32]], own: Incarnation) -> Self {
        let keys = secrets.iter().map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret)).collect();
        Self { keys, own }
    }

    /// Of somebody who believes everything.
    #[cfg(test)]
    pub(crate) fn none(own: Incarnation) -> Self {
        Self::new(&[], own)
    }

    /// For what is said on that channel.
    pub(crate) fn at<'a>(&'a self, channel: &'a str) -> Place<'a> {
        Place { seal: self, channel }
    }

    fn close(&self, channel: &str, head: &[u8], payload: Bytes) -> Bytes {
        let Some(key) = self.keys.first() else { return payload };
        let mac = mac(key, channel, head, self.own, &payload);
        let mut sealed = BytesMut::with_capacity(SEAL_BYTES + payload.len());
        sealed.put_u8(SEALED);
        sealed.put_u64(self.own.0);
        sealed.put_slice(&mac.as_ref()[..MAC_BYTES]);
        sealed.put(payload);
        sealed.freeze()
    }

    fn open<'a>(&self, channel: &str, head: &[u8], sealed: &'a [u8]) -> Result<&'a [u8], Forged> {
        let parts = sealed.split_first().filter(|(marker, _)| **marker == SEALED).and_then(|(_, rest)| {
            let (origin, rest) = rest.split_first_chunk::<ORIGIN_BYTES>()?;
            let (mac, payload) = rest.split_first_chunk::<MAC_BYTES>()?;
            Some((Incarnation(u64::from_be_bytes(*origin)), mac, payload))
        });
        match parts {
            // Nobody seals in a system without a secret; one that has just been given up is read all the same.
            _ if self.keys.is_empty() => Ok(parts.map_or(sealed, |(_, _, payload)| payload)),
            Some((origin, given, payload)) => {
                let is_ours = self.keys.iter().any(|key| {
                    let mac = mac(key, channel, head, origin, payload);
                    aws_lc_rs::constant_time::verify_slices_are_equal(&mac.as_ref()[..MAC_BYTES], given)
                        .is_ok()
                });
                if is_ours { Ok(payload) } else { Err(Forged) }
            }
            None => Err(Forged),
        }
    }
}

impl Place<'_> {
    /// `head` is what stands before the payload, or the part of it that Redis does not change.
    pub(crate) fn close(&self, head: &[u8], payload: Bytes) -> Bytes {
        self.seal.close(self.channel, head, payload)
    }

    /// Whether it is sealed as this node would seal it now, but for the sender.
    pub(crate) fn is_newest(&self, head: &[u8], sealed: &[u8]) -> bool {
        match self.seal.keys.first() {
            None => true,
            Some(key) => {
                let newest = Seal { keys: vec![key.clone()], own: self.seal.own };
                newest.open(self.channel, head, sealed).is_ok()
            }
        }
    }

    /// The payload, if a node of this cluster has sealed it for this place.
    pub(crate) fn open<'a>(&self, head: &[u8], sealed: &'a [u8]) -> Result<&'a [u8], Forged> {
        self.seal.open(self.channel, head, sealed)
    }
}

/// Each part but the last says how long it is, or has its one length.
fn mac(key: &hmac::Key, channel: &str, head: &[u8], origin: Incarnation, payload: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    for part in [channel.as_bytes(), head] {
        context.update(&(part.len() as u32).to_be_bytes());
        context.update(part);
    }
    context.update(&origin.0.to_be_bytes());
    context.update(payload);
    context.sign()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    const OLD: [u8; 32] = [1; 32];
    const NEW: [u8; 32] = [2; 32];

    fn with(secrets: &[[u8; 32]]) -> Seal {
        Seal::new(secrets, Incarnation(7))
    }

    #[test]
    fn a_seal_holds_for_one_place() {
        let seal = with(&[OLD]);
        let sealed = seal.close("{tp:l1}:c:chat:a", &[2, 0], Bytes::from_static(b"hi"));
        assert_eq!(sealed.len(), SEAL_BYTES + 2);
        assert_eq!(seal.open("{tp:l1}:c:chat:a", &[2, 0], &sealed), Ok(&b"hi"[..]));
        assert_eq!(seal.open("{tp:l1}:c:chat:b", &[2, 0], &sealed), Err(Forged), "another room");
        assert_eq!(seal.open("{tp:l1}:c:chat:a", &[2, 1], &sealed), Err(Forged), "another kind");
        assert_eq!(seal.open("{tp:l1}:c:chat:a", &[2, 0], b"\0hi"), Err(Forged), "none at all");
        assert_eq!(with(&[NEW]).open("{tp:l1}:c:chat:a", &[2, 0], &sealed), Err(Forged), "others'");
        let same =
            Seal::new(&[OLD], Incarnation(8)).close("{tp:l1}:c:chat:a", &[2, 0], Bytes::from_static(b"hi"));
        assert_ne!(sealed, same, "the sender is under it");
    }

    #[test]
    fn nodes_understand_one_another_at_each_step_of_an_exchange() {
        let steps = [with(&[OLD]), with(&[OLD, NEW]), with(&[NEW, OLD]), with(&[NEW])];
        let understands = |one: &Seal, other: &Seal| {
            one.open("c", &[], &other.close("c", &[], Bytes::from_static(b"x"))).is_ok()
        };
        for pair in steps.windows(2) {
            assert!(understands(&pair[0], &pair[1]) && understands(&pair[1], &pair[0]));
        }
        assert!(!understands(&steps[3], &steps[0]), "and in the end the old one is dead");
    }

    #[test]
    fn without_a_secret_nothing_changes() {
        let none = Seal::none(Incarnation(1));
        assert_eq!(none.close("c", &[], Bytes::from_static(b"\0x")), Bytes::from_static(b"\0x"));
        assert_eq!(none.open("c", &[], b"\0x"), Ok(&b"\0x"[..]));
        assert_eq!(
            none.open("c", &[], &with(&[OLD]).close("c", &[], Bytes::from_static(b"\0x"))),
            Ok(&b"\0x"[..])
        );
    }

    #[test]
    #[ignore = "measures; cargo test -p turnpike-cluster --release --lib -- --ignored what_a_seal_costs --nocapture"]
    fn what_a_seal_costs() {
        const TURNS: u32 = 200_000;
        let seal = with(&[OLD]);
        for bytes in [100, 1_000, 10_000] {
            let payload = Bytes::from(vec![7; bytes]);
            let begun = std::time::Instant::now();
            for _ in 0..TURNS {
                std::hint::black_box(seal.close("{tp:l1}:c:chat:a", &[1], payload.clone()));
            }
            let closed = begun.elapsed() / TURNS;
            let sealed = seal.close("{tp:l1}:c:chat:a", &[1], payload);
            let begun = std::time::Instant::now();
            for _ in 0..TURNS {
                std::hint::black_box(seal.open("{tp:l1}:c:chat:a", &[1], &sealed)).unwrap();
            }
            let opened = begun.elapsed() / TURNS;
            // The output is what the test is for.
            let _ = writeln!(std::io::stdout(), "{bytes} bytes: sealed in {closed:?}, opened in {opened:?}");
        }
    }

    proptest! {
        #[test]
        fn a_changed_bit_is_seen(payload: Vec<u8>, at: usize, bit in 0u8..8) {
            let seal = with(&[OLD]);
            let mut sealed = seal.close("c", b"head", payload.into()).to_vec();
            let at = at % sealed.len();
            sealed[at] ^= 1 << bit;
            prop_assert_eq!(seal.open("c", b"head", &sealed), Err(Forged));
        }

        #[test]
        fn nothing_that_arrives_panics(bytes: Vec<u8>) {
            let _ = with(&[OLD]).open("c", &[], &bytes);
            let _ = with(&[]).open("c", &[], &bytes);
        }
    }
}
