//! Which session of live video is meant, and at which relay it is.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// One publisher's or viewer's session. The name says where the session is, so any gateway can go on with it; and whoever
/// was not told the name does not guess it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MediaSession {
    /// The incarnation of the relay's node.
    pub relay: u64,
    /// Drawn at random.
    pub key: u128,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a media session")]
pub struct MediaSessionError;

/// Hexadecimal digits of both parts, and what stands between.
const CHARS: usize = 16 + 1 + 32;

impl fmt::Display for MediaSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:032x}", self.relay, self.key)
    }
}

/// The key opens the session, so logs have no more than its beginning.
impl fmt::Debug for MediaSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:08x}…", self.relay, self.key >> 96)
    }
}

impl FromStr for MediaSession {
    type Err = MediaSessionError;

    fn from_str(text: &str) -> Result<Self, MediaSessionError> {
        // One text for each session: other notations of the same numbers are refused.
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let (relay, key) = text.split_once('-').ok_or(MediaSessionError)?;
        if text.len() != CHARS || relay.len() != 16 || !relay.bytes().chain(key.bytes()).all(is_hex) {
            return Err(MediaSessionError);
        }
        Ok(Self {
            relay: u64::from_str_radix(relay, 16).map_err(|_| MediaSessionError)?,
            key: u128::from_str_radix(key, 16).map_err(|_| MediaSessionError)?,
        })
    }
}

impl Serialize for MediaSession {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MediaSession {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = MediaSession;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a media session")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<MediaSession, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read_again() {
        let session = MediaSession { relay: 0x1f_0000_0000_0001, key: u128::MAX - 15 };
        let text = "001f000000000001-fffffffffffffffffffffffffffffff0";
        assert_eq!(session.to_string(), text);
        assert_eq!(text.parse(), Ok(session));
        assert_eq!(serde_json::to_string(&session).unwrap(), format!("{text:?}"));
        assert_eq!(format!("{session:?}"), "001f000000000001-ffffffff…");
        for bad in [
            "",
            "-",
            "001f000000000001",
            "001F000000000001-fffffffffffffffffffffffffffffff0",
            "+01f000000000001-fffffffffffffffffffffffffffffff0",
            "001f0000000000010-ffffffffffffffffffffffffffffff0",
            "001f000000000001-fffffffffffffffffffffffffffffff00",
            "001f000000000001_fffffffffffffffffffffffffffffff0",
        ] {
            assert_eq!(bad.parse::<MediaSession>(), Err(MediaSessionError), "{bad}");
        }
    }
}
