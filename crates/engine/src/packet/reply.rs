//! Packets of the engine itself, each to one receiver.

use bytes::Bytes;

use super::{Dialect, Wire};

/// A packet to one client.
#[derive(Debug, Clone, Copy)]
pub enum Reply<'a> {
    Connected {
        namespace: &'a str,
        sid: &'a str,
        pid: Option<&'a str>,
    },
    /// `data` is JSON text.
    ConnectError {
        namespace: &'a str,
        message: &'a str,
        data: Option<&'a str>,
    },
    /// `args_json` is the JSON text of an array.
    Ack {
        namespace: &'a str,
        id: u64,
        args_json: &'a str,
        attachments: &'a [Bytes],
    },
    /// Raw clients learn it from the close frame: nothing is written for them.
    Disconnect {
        namespace: &'a str,
    },
}

/// Appends the bytes of a packet: complete websocket frames, or polling packets joined by `\x1e`.
pub fn encode_reply(
    reply: &Reply<'_>,
    dialect: Dialect,
    wire: Wire,
    compress_above: usize,
    out: &mut Vec<u8>,
) {
    let _ = (reply, dialect, wire, compress_above, out);
}
