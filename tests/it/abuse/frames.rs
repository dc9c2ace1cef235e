//! Frames of websockets: in pieces without end, pings without end, and small ones that become large.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::Attack;
use crate::harness::frames::{CONTINUATION, FIN, PING, RSV1, TEXT, frame};

/// Frames that are written at once.
const AT_ONCE: usize = 500;

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "fragment flood",
        swarm: 16,
        life: |target, number| {
            Box::pin(async move {
                let Some(mut peer) = target.inside(number).await else { return };
                // Empty ones on odd connections: they never reach a limit of bytes.
                let piece: &[u8] = if number % 2 == 1 { b"" } else { b"x" };
                peer.say(&frame(TEXT, b"42")).await;
                let pieces = frame(CONTINUATION, piece).repeat(AT_ONCE);
                while peer.say(&pieces).await && peer.drain() {}
            })
        },
        told_by: &[
            "turnpike_gateway_connections_closed_total{reason=\"protocol",
            "turnpike_signals_total{signal=\"malformed\"",
        ],
        audited_by: &["connection.closed protocol_error", "detection.signal malformed"],
    },
    Attack {
        name: "ping flood",
        swarm: 16,
        life: |target, number| {
            Box::pin(async move {
                let Some(mut peer) = target.inside(number).await else { return };
                let pings = frame(FIN | PING, &[b'x'; 125]).repeat(AT_ONCE);
                // Half of them never read a pong.
                while peer.say(&pings).await && (number.is_multiple_of(2) || peer.drain()) {}
            })
        },
        // Who reads no pong may be closed for that first.
        told_by: &[
            "turnpike_gateway_connections_closed_total{reason=\"",
            "turnpike_signals_total{signal=\"malformed\"",
        ],
        audited_by: &["connection.closed", "detection.signal malformed"],
    },
    Attack {
        name: "inflate bomb",
        swarm: 16,
        life: |target, number| {
            Box::pin(async move {
                let extension = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
                let Some(mut peer) = target.websocket(number, extension).await else { return };
                peer.text(&format!(r#"40{{"token":"{}"}}"#, target.token(number))).await;
                peer.say(&frame(FIN | TEXT | RSV1, &bomb())).await;
                peer.listen().await;
            })
        },
        told_by: &[
            "turnpike_gateway_connections_closed_total{reason=\"protocol",
            "turnpike_signals_total{signal=\"flood\"",
        ],
        audited_by: &["connection.closed protocol_error", "detection.signal flood"],
    },
];

/// 64 MB of zeros in 64 KB.
fn bomb() -> Vec<u8> {
    static BOMB: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    let made = BOMB.get_or_init(|| {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        for _ in 0..64 {
            encoder.write_all(&vec![b'0'; 1 << 20]).expect("a Vec takes everything");
        }
        encoder.flush().expect("a Vec takes everything");
        let mut bytes = encoder.get_ref().clone();
        // RFC 7692 7.2.1: the end of a flush is left off.
        bytes.truncate(bytes.len() - 4);
        bytes
    });
    made.clone()
}
