//! What goes through a pipe: one stream's way from a shard that has it to one that wants it, in the same process or at
//! another relay.
//!
//! Values only. What is done with them is known by the core's two ends, `sfu::branch` and `sfu::feed`; how they cross a
//! network, by `link`.

mod pipe;
mod writing;

use bytes::Bytes;
use turnpike_rtp::ClockMapping;
use turnpike_wire::UserId;
use turnpike_wire::media::{Kind, Rid};

pub(crate) use self::pipe::{Blocked, Downward, Pipe, PipeId, Sink, Upward};
pub(crate) use self::writing::{
    Unreadable, WORD_BYTES_MAX, packet_bytes, read_down, read_packet, read_up, write_down, write_packet,
    write_up,
};

/// From the shard that has the stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Down {
    /// The only one that may be lost, or come twice, or out of order.
    Packet(Carried),
    /// How the stream is: all of it, every time; it takes the place of what was said before.
    Stream(CarriedStream),
    /// As the publisher's latest sender report says.
    Clock { track: u16, layer: u8, clock: ClockMapping, age_ms: u32 },
    /// Nothing follows: the stream is over here, or this shard leaves.
    Over,
}

/// To the shard that has the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Up {
    /// The layers that somebody down here is shown or waits for, a bit each; of tracks that are not named, none.
    Want(Vec<(u16, u8)>),
    Keyframe {
        track: u16,
        layer: u8,
    },
    /// These were missed.
    Again {
        track: u16,
        layer: u8,
        sequences: Vec<u16>,
    },
    /// Who watches down here and further down.
    Audience {
        viewers: u64,
        named: Vec<UserId>,
    },
}

/// A packet as it was published, without what belongs to the way it came. Its numbers are the publisher's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    pub(crate) track: u16,
    pub(crate) layer: u8,
    /// Another after the layer's numbers have begun anew.
    pub(crate) life: u8,
    /// It was asked for, or was sent before somebody asked.
    pub(crate) is_again: bool,
    pub(crate) marker: bool,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    /// As in `sfu::send_cache`: kind, length, bytes, one behind the other.
    pub(crate) extensions: Bytes,
    pub(crate) payload: Bytes,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct CarriedStream {
    /// The relays that it has come through, the first one first. Whoever finds itself here has asked a child of its own.
    pub(crate) path: Vec<u64>,
    pub(crate) tracks: Vec<CarriedTrack>,
    /// Over all relays.
    pub(crate) viewers: u64,
    pub(crate) is_recorded: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CarriedTrack {
    /// The same through the whole tree, for as long as the track is published.
    pub(crate) number: u16,
    /// Tracks of one publisher have one clock.
    pub(crate) publisher: u32,
    pub(crate) user: UserId,
    pub(crate) mid: String,
    pub(crate) kind: Kind,
    pub(crate) codec: turnpike_sdp::Codec,
    pub(crate) muted: bool,
    pub(crate) layers: Vec<CarriedLayer>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CarriedLayer {
    pub(crate) rid: Option<Rid>,
    pub(crate) life: u8,
    /// It comes from the publisher, whether or not it comes through this pipe.
    pub(crate) is_active: bool,
    /// Spatial and temporal layers within, and bits a second of each with all that it depends on.
    pub(crate) rungs: Vec<(u8, u8, u64)>,
    pub(crate) size: Option<(u16, u16)>,
}

/// What has come through a pipe, to the shard at whose end it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Delivered {
    Down(Down),
    Up(Up),
}

/// What whoever has attached a stream is to know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FeedNews {
    /// The stream is over where it comes from, or that shard leaves. The feed's pipe is gone; its tracks stay for a while.
    Over(PipeId),
    /// Nobody down here has watched for a while. Told again as long as that is so.
    Unwatched(PipeId),
    /// The other end does not take what it is told any more. The feed's pipe is gone; its tracks stay for a while.
    Blocked(PipeId),
}
