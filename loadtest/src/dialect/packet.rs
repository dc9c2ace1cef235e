//! What a server says, whatever the language. Of data only what a load test looks at is read.

use std::borrow::Cow;

use serde::Deserialize;
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
    #[serde(borrow)]
    pub body: &'a RawValue,
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
