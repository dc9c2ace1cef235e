//! Engine.IO v4 packets: one websocket text frame, or one chunk of a polling body.

use std::borrow::Cow;

use super::{Limits, PacketError};

/// A packet from a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnginePacket<'a> {
    Close,
    Ping,
    Pong,
    PingProbe,
    PongProbe,
    Upgrade,
    Noop,
    Message(&'a str),
    Binary(Cow<'a, [u8]>),
}

/// Reads one packet. `open` from a client is an error.
pub fn parse_engine(text: &str) -> Result<EnginePacket<'_>, PacketError> {
    let _ = text;
    Err(PacketError::Empty)
}

/// The packets of a polling body, in order. Nothing follows an error.
pub fn polling_packets<'a>(body: &'a str, limits: &Limits) -> PollingPackets<'a> {
    let _ = limits;
    PollingPackets { rest: Some(body) }
}

#[derive(Debug)]
pub struct PollingPackets<'a> {
    rest: Option<&'a str>,
}

impl<'a> Iterator for PollingPackets<'a> {
    type Item = Result<EnginePacket<'a>, PacketError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rest.take().map(parse_engine)
    }
}

/// The first packet of a session: `0{"sid":...}`.
pub fn open_packet(
    sid: &str,
    upgrades_websocket: bool,
    ping_interval_ms: u64,
    ping_timeout_ms: u64,
    max_payload: usize,
) -> String {
    let upgrades = if upgrades_websocket { "\"websocket\"" } else { "" };
    format!(
        "0{{\"sid\":\"{sid}\",\"upgrades\":[{upgrades}],\"pingInterval\":{ping_interval_ms},\"pingTimeout\":{ping_timeout_ms},\"maxPayload\":{max_payload}}}"
    )
}
