//! What must hold for the JSON of a token before its values mean anything.
//!
//! serde takes the last of two equal keys in some places and ignores unknown ones in others. A token whose meaning
//! depends on who reads it is refused instead.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use smallvec::SmallVec;

/// The deepest nesting a token may have. Its own claims need 4.
pub(crate) const DEPTH_MAX: usize = 16;

/// Whether arrays and objects stand at most [`DEPTH_MAX`] deep. The text need not be valid JSON.
pub(crate) fn is_shallow(json: &[u8]) -> bool {
    let mut depth = 0usize;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return false;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => loop {
                match bytes.next() {
                    Some(b'\\') => drop(bytes.next()),
                    Some(b'"') | None => break,
                    Some(_) => {}
                }
            },
            _ => {}
        }
    }
    true
}

/// The keys of an object, unescaped, in the order they stand. Reading fails if a key stands twice.
pub(crate) struct Keys<'a>(pub(crate) SmallVec<[Cow<'a, str>; 16]>);

impl<'de> Deserialize<'de> for Keys<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Keys<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys<'de>, A::Error> {
                let mut keys = SmallVec::<[Cow<'de, str>; 16]>::new();
                while let Some(Key(key)) = map.next_key()? {
                    if keys.contains(&key) {
                        return Err(serde::de::Error::custom(DUPLICATE));
                    }
                    keys.push(key);
                    map.next_value::<IgnoredAny>()?;
                }
                Ok(Keys(keys))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// By this text a caller can tell a repeated key from bad JSON.
pub(crate) const DUPLICATE: &str = "the same key stands twice";

/// A key borrowed from the text unless it holds escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_of_strings() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_shallow(nested(16).as_bytes()));
        assert!(!is_shallow(nested(17).as_bytes()));
        assert!(is_shallow(format!(r#"{{"a":"{}\"{}"}}"#, "[".repeat(40), "{".repeat(40)).as_bytes()));
        assert!(!is_shallow(format!(r#"{{"a\\":{}"#, nested(17)).as_bytes()));
    }

    #[test]
    fn a_key_written_differently_is_still_the_same() {
        let keys = |text: &'static str| serde_json::from_str::<Keys<'static>>(text).map(|keys| keys.0.len());
        assert_eq!(keys(r#"{"sub":1,"exp":{"sub":2}}"#).unwrap(), 2);
        assert!(keys(r#"{"sub":1,"exp":1,"sub":1}"#).unwrap_err().to_string().starts_with(DUPLICATE));
        assert!(keys(r#"{"sub":1,"\u0073ub":1}"#).unwrap_err().to_string().starts_with(DUPLICATE));
        assert!(keys("[]").is_err());
    }
}
