//! Identifiers of rooms, users and messages.
//!
//! All three are made of `A-Z a-z 0-9 . _ : @ -`, so they can stand in JSON, in a key of Redis, in a header and in a log
//! line without being escaped. A value of these types has been checked; cloning it copies a pointer.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::limits::{DEVICE_ID_BYTES_MAX, MESSAGE_ID_BYTES_MAX, ROOM_ID_BYTES_MAX, USER_ID_BYTES_MAX};

/// Why a text is not an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("a {what} must not be empty")]
    Empty { what: &'static str },
    #[error("a {what} has at most {bytes_max} bytes")]
    TooLong { what: &'static str, bytes_max: usize },
    #[error("a {what} is made of A-Z a-z 0-9 . _ : @ - only; byte {index} is something else")]
    Character { what: &'static str, index: usize },
}

fn is_id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'@' | b'-')
}

fn check(text: &str, what: &'static str, bytes_max: usize) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { what });
    }
    if text.len() > bytes_max {
        return Err(IdError::TooLong { what, bytes_max });
    }
    match text.bytes().position(|byte| !is_id_byte(byte)) {
        Some(index) => Err(IdError::Character { what, index }),
        None => Ok(()),
    }
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $what:literal, $bytes_max:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            pub const BYTES_MAX: usize = $bytes_max;

            pub fn parse(text: &str) -> Result<Self, IdError> {
                check(text, $what, Self::BYTES_MAX)?;
                Ok(Self(Arc::from(text)))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        // Hash and Eq are those of the text, so a map can be asked with a borrowed text.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;

                impl Visitor<'_> for Text {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!("a ", $what))
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        $name::parse(text).map_err(E::custom)
                    }
                }

                deserializer.deserialize_str(Text)
            }
        }
    };
}

identifier!(
    /// Names a room: the unit of membership, order and history.
    RoomId,
    "room id",
    ROOM_ID_BYTES_MAX
);
identifier!(
    /// Names a user: the `sub` of a token.
    UserId,
    "user id",
    USER_ID_BYTES_MAX
);
identifier!(
    /// Names a message. Chosen by its sender, and the key by which a repeated send is recognised.
    MessageId,
    "message id",
    MESSAGE_ID_BYTES_MAX
);
identifier!(
    /// Names one of a user's devices, as the device calls itself.
    DeviceId,
    "device id",
    DEVICE_ID_BYTES_MAX
);

const PERSONAL_PREFIX: &str = "user:";

impl RoomId {
    /// The room that every connection of a user is in.
    pub fn personal(user: &UserId) -> Self {
        // Every character of a user id may stand in a room id, and the prefix leaves room for 64 of them.
        let mut text = String::with_capacity(PERSONAL_PREFIX.len() + user.len());
        text.push_str(PERSONAL_PREFIX);
        text.push_str(user);
        Self(text.into())
    }

    /// The user part, if this is somebody's personal room.
    pub fn personal_user(&self) -> Option<&str> {
        self.0.strip_prefix(PERSONAL_PREFIX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_id_may_be() {
        for text in ["a", "chat:general", "user:alice@example.org", "A-Z_09.", &"x".repeat(128)] {
            assert_eq!(RoomId::parse(text).unwrap().as_str(), text);
        }
        assert_eq!(RoomId::parse(""), Err(IdError::Empty { what: "room id" }));
        assert_eq!(
            RoomId::parse(&"x".repeat(129)),
            Err(IdError::TooLong { what: "room id", bytes_max: 128 })
        );
        assert_eq!(UserId::parse(&"x".repeat(65)), Err(IdError::TooLong { what: "user id", bytes_max: 64 }));
        for (text, index) in [
            ("a b", 1),
            ("é", 0),
            ("a/b", 1),
            ("{l7}", 0),
            ("a\n", 1),
            ("a\0", 1),
            ("*", 0),
            ("a\u{202e}", 1),
        ] {
            assert_eq!(
                MessageId::parse(text),
                Err(IdError::Character { what: "message id", index }),
                "{text:?}"
            );
        }
    }

    #[test]
    fn from_json_it_is_checked_too() {
        assert_eq!(serde_json::from_str::<RoomId>("\"chat:\\u0061\"").unwrap().as_str(), "chat:a");
        let failed = serde_json::from_str::<RoomId>("\"a b\"").unwrap_err().to_string();
        assert!(failed.starts_with("a room id is made of"), "{failed}");
        let failed = serde_json::from_str::<RoomId>("5").unwrap_err().to_string();
        assert!(failed.contains("expected a room id"), "{failed}");
    }

    #[test]
    fn the_longest_user_has_a_personal_room() {
        let user = UserId::parse(&"u".repeat(64)).unwrap();
        let room = RoomId::personal(&user);
        assert_eq!(RoomId::parse(room.as_str()), Ok(room.clone()));
        assert_eq!(room.personal_user(), Some(user.as_str()));
        assert_eq!(RoomId::parse("chat:user:bob").unwrap().personal_user(), None);
    }
}
