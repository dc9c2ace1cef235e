//! A session description as it is passed on: bounded, and not looked into.

use std::fmt;
use std::ops::Deref;

use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::Code;
use crate::limits::SDP_BYTES_MAX;

#[derive(Clone, PartialEq, Eq)]
pub struct Sdp(Box<str>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    #[error("a session description is needed, and it is empty")]
    Empty,
    #[error("a session description has at most {SDP_BYTES_MAX} bytes")]
    TooLong,
}

impl SdpError {
    pub fn code(self) -> Code {
        match self {
            Self::Empty => Code::BadSdp,
            Self::TooLong => Code::TooLarge,
        }
    }
}

impl Sdp {
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        if text.len() > SDP_BYTES_MAX {
            Err(SdpError::TooLong)
        } else if text.trim().is_empty() {
            Err(SdpError::Empty)
        } else {
            Ok(Self(text.into()))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Sdp {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// Descriptions hold passwords of ICE, and fill pages.
impl fmt::Debug for Sdp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sdp({} bytes)", self.0.len())
    }
}

impl Serialize for Sdp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Sdp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Description;

        impl Visitor<'_> for Description {
            type Value = Sdp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a session description")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Sdp, E> {
                Sdp::parse(text).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Description)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded_and_not_shown() {
        let sdp = Sdp::parse("v=0\r\na=ice-pwd:secret\r\n").unwrap();
        assert_eq!(format!("{sdp:?}"), "Sdp(23 bytes)");
        assert_eq!(Sdp::parse(" \r\n"), Err(SdpError::Empty));
        assert_eq!(Sdp::parse(&"x".repeat(SDP_BYTES_MAX + 1)), Err(SdpError::TooLong));
        assert!(Sdp::parse(&"x".repeat(SDP_BYTES_MAX)).is_ok());
        assert!(serde_json::from_str::<Sdp>(r#""""#).is_err());
    }
}
