//! What a scenario tells the media load and what comes back: one answer to each command.

use serde::{Deserialize, Serialize};

use crate::load::command::Latency;

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Dialect {
    Whip,
    Janus,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Command {
    /// Publishes so many streams, without sending yet; answered when connected.
    Publish { streams: u32 },
    /// Viewers that come from now on look at the picture: they ask for keyframes and for what they miss.
    Look(Look),
    /// Further viewers, of one stream after the other; answered when all are connected.
    Watch { count: u32, at_once: u32 },
    /// Further viewers within so many seconds, evenly, while the publishers send; answered when all have shown a frame or
    /// there is no hope for the others, and not before a second after the last came.
    Burst { count: u32, seconds: f64, rate: Rate },
    /// The publishers send for so long.
    Play { seconds: f64, rate: Rate },
    /// Keeps all sessions and sends nothing.
    Idle { seconds: f64 },
}

/// The path to each: if it loses anything, so much of the media, at random from a seed, and the rest takes so long.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Look {
    pub(crate) lost_share: f64,
    pub(crate) delay_ms: u64,
    pub(crate) seed: u64,
}

/// What each publisher sends: frames of 1/30 s, in bursts of so many packets.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Rate {
    pub(crate) kbps: u32,
    pub(crate) burst: u32,
}

/// The answer to any command; what a command does not produce stays zero.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) seconds: f64,
    /// Packets that the publishers have sent.
    pub(crate) published: u64,
    /// What all viewers should have got of them.
    pub(crate) expected: u64,
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
    /// From the request to the first frame that could be shown.
    pub(crate) first_frame: Option<Latency>,
    /// Those of a burst who have seen nothing.
    pub(crate) waiting: u64,
    pub(crate) keyframe_requests: u64,
    /// To one publisher, within the second with the most.
    pub(crate) keyframe_requests_in_a_second: u64,
    pub(crate) sight: Sight,
    pub(crate) failures: u64,
    pub(crate) failed: Vec<String>,
    /// What the load process itself has used since it began.
    pub(crate) cpu_seconds: f64,
}

/// What all viewers together saw.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sight {
    /// Shown, and how many there were for all.
    pub(crate) frames: u64,
    pub(crate) frames_expected: u64,
    pub(crate) freezes: u64,
    pub(crate) frozen_seconds: f64,
    /// How often a viewer had to wait for a keyframe, having lost the picture.
    pub(crate) restarts: u64,
    /// Packets that the path lost, those that came again and were needed, and requests for one.
    pub(crate) lost: u64,
    pub(crate) restored: u64,
    pub(crate) requests: u64,
}
