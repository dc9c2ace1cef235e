//! Packets that promise more than they hold or hold more than they may, and events that nobody knows.

use super::Attack;
use super::peer::Peer;
use crate::harness::frames::{BINARY, FIN, frame};

async fn binary(peer: &mut Peer, bytes: &[u8]) -> bool {
    peer.say(&frame(FIN | BINARY, bytes)).await
}

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "attachment bomb",
        swarm: 32,
        life: |target, number| {
            Box::pin(async move {
                let Some(mut peer) = target.inside(number).await else { return };
                let placeholders: Vec<String> =
                    (0..10).map(|index| format!(r#"{{"_placeholder":true,"num":{index}}}"#)).collect();
                let event =
                    format!(r#"4510-["message:send",{{"room":"a","body":[{}]}}]"#, placeholders.join(","));
                // Too many are announced, or all but the last one come, as large as may be.
                let announced =
                    if number.is_multiple_of(4) { event.replacen("10-", "99999999-", 1) } else { event };
                peer.text(&announced).await;
                for _ in 0..9 {
                    if !binary(&mut peer, &vec![7; 100_000]).await || !peer.drain() {
                        return;
                    }
                }
                peer.listen().await;
            })
        },
        told_by: &[
            "turnpike_gateway_connections_closed_total{reason=\"protocol",
            "turnpike_signals_total{signal=\"malformed\"",
        ],
        audited_by: &["connection.closed protocol_error", "detection.signal malformed"],
    },
    Attack {
        name: "msgpack length lies",
        swarm: 32,
        life: |target, number| {
            Box::pin(async move {
                let Some(mut peer) = target.websocket(number, "").await else { return };
                // An array, a map, a text, a binary value and an extension of four billion.
                let lie = [
                    &[0xdd, 0xff, 0xff, 0xff, 0xff][..],
                    &[0xdf, 0xff, 0xff, 0xff, 0xff],
                    &[0xdb, 0xff, 0xff, 0xff, 0xff],
                    &[0xc6, 0xff, 0xff, 0xff, 0xff],
                    &[0xc9, 0xff, 0xff, 0xff, 0xff, 1],
                ][number % 5];
                // {"type": 2, "nsp": "/", "data": lie}
                let head = b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data";
                binary(&mut peer, &[&head[..], lie].concat()).await;
                peer.listen().await;
            })
        },
        told_by: &["turnpike_signals_total{signal=\"malformed\""],
        audited_by: &["detection.signal malformed"],
    },
    Attack {
        name: "deep JSON",
        swarm: 16,
        life: |target, number| {
            Box::pin(async move {
                let Some(mut peer) = target.inside(number).await else { return };
                let deep = ["[".repeat(200_000), r#"{"a":"#.repeat(100_000), "[[[{\"a\":".repeat(20_000)];
                peer.text(&format!(r#"42["message:send",{}"#, deep[number % 3])).await;
                peer.listen().await;
            })
        },
        told_by: &[
            "turnpike_gateway_connections_closed_total{reason=\"protocol",
            "turnpike_signals_total{signal=\"malformed\"",
        ],
        audited_by: &["connection.closed protocol_error", "detection.signal malformed"],
    },
    Attack {
        name: "unknown events",
        swarm: 8,
        life: |target, number| {
            Box::pin(async move {
                let Some(mut peer) = target.inside(number).await else { return };
                let mut event = 0_u64;
                loop {
                    event += 1;
                    // Some are the server's own.
                    let name = ["message", "presence", "session", "no:such"][event as usize % 4];
                    if !peer.text(&format!(r#"42{event}["{name}",{{"room":"a"}}]"#)).await || !peer.drain() {
                        return;
                    }
                }
            })
        },
        told_by: &[
            "turnpike_gateway_events_total{event=\"unknown\"",
            "turnpike_limit_refused_total{limit=\"events\"",
        ],
        audited_by: &["limit.tripped events", "detection.signal flood"],
    },
    Attack {
        name: "ack flood",
        swarm: 8,
        life: |target, number| {
            Box::pin(async move {
                let Some(mut peer) = target.inside(number).await else { return };
                let mut ack = 0_u64;
                // Answers to what was never asked, with numbers from all over the place.
                while peer.text(&format!("43{}[1]", ack.wrapping_mul(0x9e37_79b9) % (1 << 53))).await
                    && peer.drain()
                {
                    ack += 1;
                }
            })
        },
        told_by: &[
            "turnpike_gateway_connections_closed_total{reason=\"protocol",
            "turnpike_signals_total{signal=\"malformed\"",
        ],
        audited_by: &["connection.closed protocol_error", "detection.signal malformed"],
    },
];
