//! What a scenario tells the media load and what comes back: one answer to each command.

use serde::{Deserialize, Serialize};

use crate::load::command::Latency;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Command {
    /// Publishes the stream, without sending yet; answered when connected.
    Publish,
    /// Further viewers; answered when all are connected.
    Watch { count: u32, at_once: u32 },
    /// The publisher sends at this rate, frames of 1/30 s in bursts of so many packets; every viewer must get everything.
    Play { seconds: f64, kbps: u32, burst: u32 },
    /// Keeps all sessions and sends nothing.
    Idle { seconds: f64 },
}

/// The answer to any command; what a command does not produce stays zero.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) seconds: f64,
    /// Packets that the publisher has sent.
    pub(crate) published: u64,
    /// Packets that viewers have got, each once.
    pub(crate) deliveries: u64,
    /// Got once more, as repairs that were not needed.
    pub(crate) repeated: u64,
    /// Never got.
    pub(crate) missing: u64,
    /// From the publisher's call to when the viewer's kernel has the packet.
    pub(crate) latency: Option<Latency>,
    /// From the request to the end of the handshake.
    pub(crate) join: Option<Latency>,
    pub(crate) keyframe_requests: u64,
    pub(crate) failures: u64,
    pub(crate) failed: Vec<String>,
    /// What the load process itself has used since it began.
    pub(crate) cpu_seconds: f64,
}
