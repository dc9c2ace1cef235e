//! Where in a room's order of messages somebody stands.
//!
//! Written `epoch:seq`. `seq` counts the room's messages without gaps; `epoch` changes when that count cannot be trusted
//! to continue, so two positions can be compared only within one epoch.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::limits::INTEGER_MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    pub epoch: u64,
    pub seq: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a position is written epoch:seq, two decimal numbers of at most 2^53-1")]
pub struct PositionError;

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let (epoch, seq) = text.split_once(':').ok_or(PositionError)?;
        Ok(Self { epoch: number(epoch)?, seq: number(seq)? })
    }
}

/// One spelling a number: no sign, no leading zero, no space. Then equal positions are equal texts.
fn number(text: &str) -> Result<u64, PositionError> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if !plain {
        return Err(PositionError);
    }
    text.parse().ok().filter(|number| *number <= INTEGER_MAX).ok_or(PositionError)
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.seq)
    }
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Position;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a position like \"epoch:seq\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Position, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_spelling_only() {
        assert_eq!("0:0".parse(), Ok(Position { epoch: 0, seq: 0 }));
        assert_eq!("1790000000000:42".parse(), Ok(Position { epoch: 1_790_000_000_000, seq: 42 }));
        for text in [
            "",
            ":",
            "1",
            "1:",
            ":1",
            "1:2:3",
            "+1:2",
            "1:-2",
            "01:2",
            "1:00",
            " 1:2",
            "1:2 ",
            "1.5:2",
            "a:b",
            "9007199254740992:0",
            "1:99999999999999999999999",
        ] {
            assert_eq!(text.parse::<Position>(), Err(PositionError), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn written_and_read_again(epoch in 0..=INTEGER_MAX, seq in 0..=INTEGER_MAX) {
            let position = Position { epoch, seq };
            prop_assert_eq!(position.to_string().parse(), Ok(position));
            let json = serde_json::to_string(&position).unwrap();
            prop_assert_eq!(serde_json::from_str::<Position>(&json).unwrap(), position);
        }
    }
}
