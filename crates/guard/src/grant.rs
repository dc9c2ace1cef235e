//! Grants: which rooms and streams a token opens, and what for.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeSeq, Serializer};
use turnpike_wire::RoomId;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    #[error("a pattern is a room id, or the beginning of one and then a `*`: {0:?} is neither")]
    Pattern(String),
    #[error("there is no right {name:?}; there are: {known}")]
    Right { name: String, known: &'static str },
    #[error("a grant is written pattern=right,right: {0:?} has no `=`")]
    Form(String),
}

/// One room or stream, or all whose name begins the same way: `chat:general`, `chat:*`, `*`.
///
/// A personal room (`user:<id>`) is matched only by a pattern that says `user:` itself: whoever grants `*` means the
/// public rooms, not everybody's inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
}

impl Pattern {
    pub fn parse(text: &str) -> Result<Self, GrantError> {
        let stem = text.strip_suffix('*').unwrap_or(text);
        // Whatever may begin a room id is one itself, except for nothing at all.
        let sound = if stem.is_empty() { text == "*" } else { RoomId::parse(stem).is_ok() };
        if sound { Ok(Self { text: text.into() }) } else { Err(GrantError::Pattern(text.to_owned())) }
    }

    pub fn matches(&self, room: &RoomId) -> bool {
        match self.text.strip_suffix('*') {
            None => *self.text == **room,
            Some(stem) => {
                room.starts_with(stem) && (room.personal_user().is_none() || stem.starts_with("user:"))
            }
        }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

macro_rules! rights {
    ($(#[$right_doc:meta])* $right:ident, $(#[$set_doc:meta])* $set:ident, $known:literal: $($name:ident = $bit:literal $text:literal,)*) => {
        $(#[$right_doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $right {
            $($name = $bit,)*
        }

        impl $right {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }

        impl FromStr for $right {
            type Err = GrantError;

            fn from_str(name: &str) -> Result<Self, GrantError> {
                match name {
                    $($text => Ok(Self::$name),)*
                    _ => Err(GrantError::Right { name: name.to_owned(), known: $known }),
                }
            }
        }

        $(#[$set_doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Default)]
        pub struct $set(u8);

        impl $set {
            pub const NONE: Self = Self(0);
            pub const ALL: Self = Self($($bit)|*);

            pub fn with(self, right: $right) -> Self {
                Self(self.0 | right as u8)
            }

            pub fn contains(self, right: $right) -> bool {
                self.0 & right as u8 != 0
            }

            pub fn iter(self) -> impl Iterator<Item = $right> {
                $right::ALL.iter().copied().filter(move |right| self.contains(*right))
            }
        }

        impl FromIterator<$right> for $set {
            fn from_iter<I: IntoIterator<Item = $right>>(rights: I) -> Self {
                rights.into_iter().fold(Self::NONE, Self::with)
            }
        }

        impl fmt::Debug for $set {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_set().entries(self.iter()).finish()
            }
        }

        impl Serialize for $set {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut names = serializer.serialize_seq(None)?;
                for right in self.iter() {
                    names.serialize_element(right.name())?;
                }
                names.end()
            }
        }

        impl<'de> Deserialize<'de> for $set {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Names;

                impl<'de> Visitor<'de> for Names {
                    type Value = $set;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!("a list of ", $known))
                    }

                    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<$set, A::Error> {
                        let mut rights = $set::NONE;
                        while let Some(name) = names.next_element::<std::borrow::Cow<'de, str>>()? {
                            rights = rights.with(name.parse().map_err(serde::de::Error::custom)?);
                        }
                        Ok(rights)
                    }
                }

                deserializer.deserialize_seq(Names)
            }
        }
    };
}

rights! {
    /// What somebody may do in a room.
    Right,
    /// A set of [`Right`]s.
    Rights,
    "join, send, history, presence, typing":
    Join = 1 "join",
    Send = 2 "send",
    History = 4 "history",
    Presence = 8 "presence",
    Typing = 16 "typing",
}

rights! {
    /// What somebody may do with a stream.
    MediaRight,
    /// A set of [`MediaRight`]s.
    MediaRights,
    "publish, subscribe, record":
    Publish = 1 "publish",
    Subscribe = 2 "subscribe",
    Record = 4 "record",
}

/// One entry of the claim `rooms`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    #[serde(rename = "match")]
    pub pattern: Pattern,
    pub can: Rights,
}

impl FromStr for Grant {
    type Err = GrantError;

    /// `chat:*=join,send`, as on the command line.
    fn from_str(text: &str) -> Result<Self, GrantError> {
        let (pattern, rights) = text.split_once('=').ok_or_else(|| GrantError::Form(text.to_owned()))?;
        Ok(Self {
            pattern: Pattern::parse(pattern)?,
            can: rights.split(',').map(str::parse::<Right>).collect::<Result<_, _>>()?,
        })
    }
}

/// One entry of the claim `media`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MediaGrant {
    #[serde(rename = "match")]
    pub pattern: Pattern,
    pub can: MediaRights,
}

impl FromStr for MediaGrant {
    type Err = GrantError;

    /// `live:*=publish,subscribe`, as on the command line.
    fn from_str(text: &str) -> Result<Self, GrantError> {
        let (pattern, rights) = text.split_once('=').ok_or_else(|| GrantError::Form(text.to_owned()))?;
        Ok(Self {
            pattern: Pattern::parse(pattern)?,
            can: rights.split(',').map(str::parse::<MediaRight>).collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(text: &str) -> RoomId {
        RoomId::parse(text).unwrap()
    }

    #[test]
    fn what_a_pattern_matches() {
        for (pattern, yes, no) in [
            ("chat:*", &["chat:a", "chat:a:b", "chat:"][..], &["chat", "chatx:a", "Chat:a", "xchat:a"][..]),
            ("chat:a", &["chat:a"], &["chat:ab", "chat:", "user:a"]),
            ("*", &["a", "chat:a", "username"], &["user:bob"]),
            ("u*", &["u", "upper"], &["user:bob"]),
            ("user:*", &["user:bob", "user:"], &["username"]),
            ("user:b*", &["user:bob"], &["user:alice"]),
            ("user:bob", &["user:bob"], &["user:bobby"]),
        ] {
            let parsed = Pattern::parse(pattern).unwrap();
            for name in yes {
                assert!(parsed.matches(&room(name)), "{pattern} should match {name}");
            }
            for name in no {
                assert!(!parsed.matches(&room(name)), "{pattern} should not match {name}");
            }
        }
    }

    #[test]
    fn what_a_pattern_may_be() {
        for text in ["", "**", "a*b", "*a", "a b", "a?", "ä", &"x".repeat(129)] {
            assert_eq!(Pattern::parse(text), Err(GrantError::Pattern(text.to_owned())));
        }
    }

    #[test]
    fn a_grant_on_the_command_line_and_in_a_token() {
        let grant: Grant = "chat:*=join,send,history".parse().unwrap();
        let json = r#"{"match":"chat:*","can":["join","send","history"]}"#;
        assert_eq!(serde_json::to_string(&grant).unwrap(), json);
        assert_eq!(serde_json::from_str::<Grant>(json).unwrap(), grant);
        assert!(grant.can.contains(Right::History) && !grant.can.contains(Right::Typing));
        assert_eq!("chat:*".parse::<Grant>(), Err(GrantError::Form("chat:*".to_owned())));
        assert!(matches!("chat:*=".parse::<Grant>(), Err(GrantError::Right { .. })));
        assert!(
            matches!("chat:*=join,fly".parse::<Grant>(), Err(GrantError::Right { name, .. }) if name == "fly")
        );
        for bad in [
            r#"{"match":"a"}"#,
            r#"{"match":"a","can":"join"}"#,
            r#"{"match":"a","can":["publish"]}"#,
            r#"{"match":"a","can":[],"cannot":["join"]}"#,
            r#"{"match":"a","match":"b","can":[]}"#,
        ] {
            assert!(serde_json::from_str::<Grant>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let every: Rights = Right::ALL.iter().copied().collect();
        assert_eq!(every, Rights::ALL);
        assert_eq!(MediaRight::ALL.iter().copied().collect::<MediaRights>(), MediaRights::ALL);
        assert_eq!(Rights::NONE.with(Right::Join).iter().collect::<Vec<_>>(), [Right::Join]);
    }
}
