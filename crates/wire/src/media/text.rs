//! A short text of somebody else's, for passing on.

use std::fmt;
use std::ops::Deref;

use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// At most so many bytes, and none of them ends a line: such a text can stand in a session description or a log.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Text<const BYTES_MAX: usize>(Box<str>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    #[error("at most {bytes_max} bytes")]
    TooLong { bytes_max: usize },
    #[error("control characters are not allowed")]
    Control,
}

impl<const BYTES_MAX: usize> Text<BYTES_MAX> {
    pub fn parse(text: &str) -> Result<Self, TextError> {
        if text.len() > BYTES_MAX {
            return Err(TextError::TooLong { bytes_max: BYTES_MAX });
        }
        if text.chars().any(char::is_control) {
            return Err(TextError::Control);
        }
        Ok(Self(text.into()))
    }

    /// As much of it as may be said: for words of our own that hold somebody else's.
    pub fn clipped(text: &str) -> Self {
        let mut kept = String::with_capacity(text.len().min(BYTES_MAX));
        for char in text.chars().filter(|char| !char.is_control()) {
            if kept.len() + char.len_utf8() > BYTES_MAX {
                break;
            }
            kept.push(char);
        }
        Self(kept.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const BYTES_MAX: usize> Deref for Text<BYTES_MAX> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const BYTES_MAX: usize> fmt::Debug for Text<BYTES_MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl<const BYTES_MAX: usize> fmt::Display for Text<BYTES_MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const BYTES_MAX: usize> Serialize for Text<BYTES_MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de, const BYTES_MAX: usize> Deserialize<'de> for Text<BYTES_MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Short<const BYTES_MAX: usize>;

        impl<const BYTES_MAX: usize> Visitor<'_> for Short<BYTES_MAX> {
            type Value = Text<BYTES_MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a text of at most {BYTES_MAX} bytes")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Text::parse(text).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_text_may_be() {
        assert_eq!(Text::<4>::parse("äb").unwrap().as_str(), "äb");
        assert_eq!(Text::<4>::parse("").unwrap().as_str(), "");
        assert_eq!(Text::<4>::parse("abcde"), Err(TextError::TooLong { bytes_max: 4 }));
        for text in ["a\r\n", "a\0", "a\nb", "\u{85}"] {
            assert_eq!(Text::<4>::parse(text), Err(TextError::Control), "{text:?}");
        }
        assert!(serde_json::from_str::<Text<4>>(r#""abcde""#).is_err());
        assert!(serde_json::from_str::<Text<4>>("5").is_err());
    }

    #[test]
    fn clipped_between_characters() {
        assert_eq!(Text::<4>::clipped("abä\nä").as_str(), "abä");
        assert_eq!(Text::<4>::clipped("abcä").as_str(), "abc");
    }
}
