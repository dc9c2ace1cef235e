//! Slowness: headers, bodies and messages that never end, and readers that do not read.

use std::time::Duration;

use tokio::net::TcpSocket;

use super::Attack;
use super::peer::{Peer, Target};
use crate::harness::frames::{BINARY, FIN, MASKED};

/// Slow, and often enough to be many within the time that there is.
const TRICKLE: Duration = Duration::from_millis(50);

async fn trickle(peer: &mut Peer, bytes: impl Iterator<Item = u8>) {
    for byte in bytes {
        if !peer.say(&[byte]).await || !peer.drain() {
            return;
        }
        tokio::time::sleep(TRICKLE).await;
    }
}

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "slow headers",
        swarm: 200,
        life: |target, number| {
            Box::pin(async move {
                let Some(mut peer) = target.asks(number, "GET / HTTP/1.1\r\nHost: a\r\nX-A: ").await else {
                    return;
                };
                trickle(&mut peer, std::iter::repeat_n(b'a', 1_000)).await;
            })
        },
        told_by: &[
            "turnpike_signals_total{signal=\"slow_reader\"",
            "turnpike_gateway_requests_timed_out_total",
        ],
        audited_by: &["detection.signal slow_reader"],
    },
    Attack {
        name: "slow bodies",
        swarm: 200,
        life: |target, number| {
            Box::pin(async move {
                let request = "POST /api/v1/rooms/a/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n";
                let mut request = request.to_owned();
                if number.is_multiple_of(2) {
                    let Some(sid) = target.session(number).await else { return };
                    request = format!(
                        "POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n"
                    );
                }
                let Some(mut peer) = target.asks(number, &(request + "\r\n")).await else { return };
                trickle(&mut peer, std::iter::repeat_n(b'4', 1_000)).await;
            })
        },
        told_by: &[
            "turnpike_signals_total{signal=\"slow_reader\"",
            "turnpike_gateway_requests_timed_out_total",
        ],
        audited_by: &["detection.signal slow_reader"],
    },
    Attack {
        name: "one byte at a time",
        swarm: 100,
        life: |target, number| {
            Box::pin(async move {
                let Some(mut peer) = target.inside(number).await else { return };
                // A message of a megabyte less one is announced, with a mask of zeros.
                let mut head = vec![FIN | BINARY, MASKED | 127];
                head.extend_from_slice(&999_999_u64.to_be_bytes());
                head.extend_from_slice(&[0; 4]);
                trickle(&mut peer, head.into_iter().chain(std::iter::repeat(4))).await;
            })
        },
        told_by: &[
            "turnpike_gateway_connections_closed_total{reason=\"protocol",
            "turnpike_signals_total{signal=\"slow_reader\"",
        ],
        audited_by: &["connection.closed protocol_error", "detection.signal slow_reader"],
    },
    Attack {
        name: "slow reader",
        swarm: 100,
        life: |target, number| {
            Box::pin(async move {
                if number == 0 {
                    return shout(&target).await;
                }
                let Ok(socket) = TcpSocket::new_v4() else { return };
                let from = std::net::Ipv4Addr::new(127, 0, target.network, 2);
                let (_, _) = (socket.set_recv_buffer_size(4 * 1024), socket.bind((from, 0).into()));
                let Ok(stream) = socket.connect(target.gateway).await else { return };
                let mut peer = Peer { stream };
                let head = format!(
                    "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: a\r\n{}\r\n",
                    crate::harness::frames::HANDSHAKE
                );
                peer.say(head.as_bytes()).await;
                peer.text(&format!(r#"40{{"token":"{}"}}"#, target.token(number))).await;
                peer.text(r#"421["room:join",{"room":"slow:a"}]"#).await;
                // And not one byte is read.
                tokio::time::sleep(Duration::from_secs(1)).await;
            })
        },
        told_by: &[
            "turnpike_gateway_connections_closed_total{reason=\"slow",
            "turnpike_signals_total{signal=\"slow_reader\"",
        ],
        audited_by: &["connection.closed slow_reader", "detection.signal slow_reader"],
    },
];

async fn shout(target: &Target) {
    let Some(mut peer) = target.inside(0).await else { return };
    peer.text(r#"421["room:join",{"room":"slow:a"}]"#).await;
    let text = format!(r#"42["message:send",{{"room":"slow:a","body":"{}"}}]"#, "x".repeat(4_000));
    while peer.text(&text).await && peer.drain() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
