//! The words with which two ICE agents know each other (RFC 8445 5.3): a public ufrag and a secret password.
//!
//! It must not know where randomness comes from: whoever makes credentials brings the bytes.

use std::fmt;

/// Ufrag and password of one side, each within the lengths and the alphabet of RFC 8839 5.4.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    ufrag: Box<str>,
    pwd: Box<str>,
}

/// What is wrong with credentials that somebody sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    #[error("an ICE ufrag has 4 to 256 letters of the ICE alphabet")]
    Ufrag,
    #[error("an ICE password has 22 to 256 letters of the ICE alphabet")]
    Password,
}

/// Bytes of entropy in [`Credentials::from_random`].
pub const RANDOM_BYTES: usize = 24;

impl Credentials {
    /// Credentials as they stand in an SDP.
    pub fn new(ufrag: &str, pwd: &str) -> Result<Self, CredentialsError> {
        if !(4..=256).contains(&ufrag.len()) || !ufrag.bytes().all(is_ice_char) {
            return Err(CredentialsError::Ufrag);
        }
        if !(22..=256).contains(&pwd.len()) || !pwd.bytes().all(is_ice_char) {
            return Err(CredentialsError::Password);
        }
        Ok(Self { ufrag: ufrag.into(), pwd: pwd.into() })
    }

    /// Our own: a ufrag of 8 letters from the first six bytes and a password of 24 letters (144 bits) from the
    /// rest. The bytes must come from a cryptographic source and be used once: the password also seeds the
    /// transaction ids and the tie-breaker of the agent that gets it.
    pub fn from_random(bytes: &[u8; RANDOM_BYTES]) -> Self {
        let (ufrag, pwd) = bytes.split_at(6);
        Self { ufrag: letters(ufrag), pwd: letters(pwd) }
    }

    pub fn ufrag(&self) -> &str {
        &self.ufrag
    }

    pub fn pwd(&self) -> &str {
        &self.pwd
    }
}

/// The password is a secret and never printed.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

fn is_ice_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/'
}

/// Six bits a letter; `bytes` is a multiple of three long.
fn letters(bytes: &[u8]) -> Box<str> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len() / 3 * 4);
    for three in bytes.chunks(3) {
        let word = three.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
        for shift in [18, 12, 6, 0] {
            text.push(char::from(ALPHABET[(word >> shift) as usize & 63]));
        }
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_bytes_become_letters_that_a_peer_accepts() {
        let ours = Credentials::from_random(&[0xa7; RANDOM_BYTES]);
        assert_eq!(ours.ufrag().len(), 8);
        assert_eq!(ours.pwd().len(), 24);
        assert_eq!(Credentials::new(ours.ufrag(), ours.pwd()).unwrap(), ours);
        assert!(!format!("{ours:?}").contains(ours.pwd()));
    }

    #[test]
    fn lengths_and_alphabet_are_held() {
        let pwd = "p".repeat(22);
        assert!(Credentials::new("abcd", &pwd).is_ok());
        assert_eq!(Credentials::new("abc", &pwd), Err(CredentialsError::Ufrag));
        assert_eq!(Credentials::new("ab:d", &pwd), Err(CredentialsError::Ufrag));
        assert_eq!(Credentials::new("abcd", &pwd[1..]), Err(CredentialsError::Password));
        assert_eq!(Credentials::new("abcd", &"p".repeat(257)), Err(CredentialsError::Password));
        assert_eq!(Credentials::new("abcd", &format!("{pwd}\r\n")), Err(CredentialsError::Password));
    }
}
