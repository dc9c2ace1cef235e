//! What a server says, whatever the language. Of data only what a load test looks at is read.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

#[derive(Debug)]
pub enum Packet<'a> {
    Open,
    Ping,
    /// The client is in.
    Entered(Entered<'a>),
    Refused(Refusal),
    Message(Message<'a>, Option<&'a str>),
    /// A delivery of a server with events of its own, all of it, and the offset that it may bear.
    Tagged(&'a str, Option<&'a str>),
    /// The server is about to close.
    Closing(Closing),
    /// This room's continuity was lost.
    Resync(Resync<'a>, Option<&'a str>),
    /// Any other event, and the offset that it may bear.
    Event(Option<&'a str>),
    Answer(u64, Box<Answer<'a>>),
    Closed,
    /// Nothing that a server should say.
    Garbage,
}

#[derive(Debug, Default, Deserialize)]
pub struct Entered<'a> {
    /// Of a server that can take a session up again.
    #[serde(borrow, default)]
    pub pid: Option<Cow<'a, str>>,
    /// Whether a session of the plain websocket went on.
    #[serde(default)]
    pub recovered: bool,
}

#[derive(Debug, Default, Deserialize)]
pub struct Refusal {
    #[serde(default)]
    pub code: u16,
    #[serde(default)]
    pub reason: String,
    #[serde(default)]
    pub retryable: bool,
    pub retry_after_ms: Option<u64>,
}

impl Refusal {
    /// Short and the same every time, so that it can be counted.
    pub fn name(&self) -> String {
        // A server that talks without end is cut short.
        let reason: String = self.reason.chars().take(60).collect();
        if reason.is_empty() { "refused".to_owned() } else { format!("{} {reason}", self.code) }
    }
}

#[derive(Debug, Deserialize)]
pub struct Message<'a> {
    #[serde(borrow)]
    pub room: Cow<'a, str>,
    pub epoch: u64,
    pub seq: u64,
    /// As it is written.
    #[serde(borrow, deserialize_with = "as_written")]
    pub body: &'a str,
}

fn as_written<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'de str, D::Error> {
    <&RawValue>::deserialize(deserializer).map(RawValue::get)
}

#[derive(Debug, Deserialize)]
pub struct Resync<'a> {
    #[serde(borrow)]
    pub room: Cow<'a, str>,
    pub epoch: u64,
    pub seq: u64,
}

#[derive(Debug, Default, Deserialize)]
pub struct Closing {
    #[serde(default)]
    pub code: u16,
    #[serde(default)]
    pub reason: String,
    pub reconnect_after_ms: Option<u64>,
}

/// To a join, a send, or anything else that was asked.
#[derive(Debug, Default, Deserialize)]
pub struct Answer<'a> {
    pub ok: bool,
    pub error: Option<Refusal>,
    pub epoch: Option<u64>,
    pub seq: Option<u64>,
    pub recovered: Option<bool>,
    #[serde(borrow, default)]
    pub messages: Vec<Message<'a>>,
}

/// A message at the beginning of a text, and what comes behind it, without a parser: of a server that writes its members in the order
/// in which Turnpike does, and a body of one string. Nothing for whatever is written otherwise, which may be as right.
pub(super) fn delivery(text: &str) -> Option<(Message<'_>, &str)> {
    let (room, rest) = plain_text(text.strip_prefix("{\"room\":")?)?;
    let (epoch, rest) = number(rest.strip_prefix(",\"epoch\":")?)?;
    let (seq, rest) = number(rest.strip_prefix(",\"seq\":")?)?;
    let (_, rest) = plain_text(rest.strip_prefix(",\"id\":")?)?;
    let (_, rest) = plain_text(rest.strip_prefix(",\"from\":")?)?;
    let (_, rest) = number(rest.strip_prefix(",\"ts\":")?)?;
    let written = rest.strip_prefix(",\"body\":")?;
    let (_, rest) = plain_text(written)?;
    let body = &written[..written.len() - rest.len()];
    let rest = rest.strip_prefix('}')?;
    Some((Message { room: Cow::Borrowed(room), epoch, seq, body }, rest))
}

/// Between quotes, with nothing in it that means something else, and what comes behind.
pub(super) fn plain_text(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('"')?;
    let end = text.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..b' '))?;
    let (inside, rest) = text.split_at(end);
    Some((inside, rest.strip_prefix('"')?))
}

fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit())?;
    let (digits, rest) = text.split_at(end);
    // JSON has no 007.
    let is_json = end == 1 || !digits.starts_with('0');
    Some((digits.parse().ok().filter(|_| is_json)?, rest))
}

pub(super) fn event<'a>(name: &str, data: &'a str, offset: Option<&'a str>) -> Packet<'a> {
    match name {
        "message" => match serde_json::from_str(data) {
            Ok(message) => Packet::Message(message, offset),
            Err(_) => Packet::Garbage,
        },
        "resync" => match serde_json::from_str(data) {
            Ok(resync) => Packet::Resync(resync, offset),
            Err(_) => Packet::Garbage,
        },
        "closing" => Packet::Closing(serde_json::from_str(data).unwrap_or_default()),
        _ => Packet::Event(offset),
    }
}

pub(super) fn answer(id: u64, data: &str) -> Packet<'_> {
    serde_json::from_str(data).map_or(Packet::Garbage, |answer| Packet::Answer(id, Box::new(answer)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MESSAGE: &str =
        "{\"room\":\"r\",\"epoch\":7,\"seq\":42,\"id\":\"i\",\"from\":\"u\",\"ts\":3,\"body\":\"hi\"}";

    fn same(read: &Message<'_>, parsed: &Message<'_>) -> bool {
        (&read.room, read.epoch, read.seq, read.body) == (&parsed.room, parsed.epoch, parsed.seq, parsed.body)
    }

    #[test]
    fn a_delivery_is_read_without_a_parser() {
        let text = format!("{MESSAGE},\"off\"]");
        let (message, rest) = delivery(&text).unwrap();
        assert_eq!(rest, ",\"off\"]");
        assert!(same(&message, &serde_json::from_str(MESSAGE).unwrap()), "{message:?}");
        assert_eq!((&*message.room, message.epoch, message.seq, message.body), ("r", 7, 42, "\"hi\""));
    }

    #[test]
    fn what_is_written_otherwise_is_left_to_the_parser() {
        for (part, other) in [
            ("\"hi\"", "{\"text\":\"hi\"}"),
            ("hi", "h\\u0069"),
            ("hi", "h\ni"),
            ("hi\"", "hi\",\"volatile\":true"),
            (":42", ":042"),
            (":42", ":-1"),
            (":42", ": 42"),
            (":42", ":18446744073709551616"),
            (",\"seq\":42", ""),
            ("\"r\"", "\"\\\"r\""),
            ("}", ""),
        ] {
            let text = MESSAGE.replacen(part, other, 1);
            assert!(text != MESSAGE && delivery(&text).is_none(), "{text}");
        }
    }

    proptest! {
        /// Whatever is read so, the parser reads in the same way.
        #[test]
        fn nothing_is_read_that_the_parser_refuses(at in 0..MESSAGE.len(), with in "[ -~]{0,3}", less in 0..3_usize) {
            let end = (at + less).min(MESSAGE.len());
            let text = format!("{}{with}{}", &MESSAGE[..at], &MESSAGE[end..]);
            if let Some((message, "")) = delivery(&text) {
                let parsed: Message<'_> = serde_json::from_str(&text).unwrap();
                prop_assert!(same(&message, &parsed), "{text}");
            }
        }
    }
}
