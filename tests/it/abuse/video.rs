//! Live video: descriptions that are none, large ones, and sessions that nobody will ever use.

use super::Attack;

/// As a browser would offer it, with one part less than it needs and whatever else is wanted.
fn offer(more: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\n\
         a=mid:0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=setup:actpass\r\na=rtcp-mux\r\na=sendonly\r\n\
         a=fingerprint:sha-256 {}00\r\na=rtpmap:111 opus/48000/2\r\n{more}",
        "00:".repeat(31)
    )
}

pub(super) const ATTACKS: &[Attack] = &[Attack {
    name: "WHIP and SDP flood",
    swarm: 12,
    life: |target, number| {
        Box::pin(async move {
            let candidates = "a=candidate:1 1 udp 1 10.0.0.1 9 typ host\r\n".repeat(60);
            for (index, body) in [
                "v=0\r\n".to_owned(),
                offer(""),
                offer(&candidates),
                offer(&"a=x:y\r\n".repeat(9_000)),
                "m=".repeat(30_000),
            ]
            .iter()
            .enumerate()
            {
                // Every other time without a token.
                let token = if number.is_multiple_of(2) { target.token(number) } else { "forged" };
                let request = format!(
                    "POST /whip/flood:{number}:{index} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
                     Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                target.answer(number, &request).await;
            }
        })
    },
    told_by: &[
        "turnpike_signals_total{signal=\"bad_token\"",
        "turnpike_signals_total{signal=\"bad_description\"",
        "turnpike_signals_total{signal=\"flood\"",
    ],
    audited_by: &[
        "authentication.login_failed",
        "detection.signal bad_token",
        "detection.signal bad_description",
        "limit.tripped whip_posts",
        "detection.signal flood",
    ],
}];
