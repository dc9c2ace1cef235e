//! At the door: tokens that are none, addresses that are somebody else's, pages of another house.

use super::Attack;
use super::peer::Target;
use crate::harness::frames::HANDSHAKE;

async fn knock(target: &Target, number: usize, headers: &str, token: &str) {
    let Some(mut peer) = target.websocket(number, headers).await else { return };
    peer.text(&format!(r#"40{{"token":"{token}"}}"#)).await;
    peer.until("44").await;
}

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "bad tokens at rate",
        swarm: 24,
        life: |target, number| {
            Box::pin(async move {
                let sound = target.token(number).to_owned();
                let (head, _) = sound.rsplit_once('.').unwrap_or_default();
                for forged in [
                    "x".to_owned(),
                    format!("{head}."),
                    format!("{head}.{}", "A".repeat(43)),
                    "x".repeat(9_000),
                ] {
                    knock(&target, number, "", &forged).await;
                }
            })
        },
        told_by: &[
            "turnpike_gateway_tokens_refused_total",
            "turnpike_signals_total{signal=\"bad_token\"",
            "turnpike_detections_total",
        ],
        audited_by: &["authentication.login_failed", "detection.signal bad_token", "detection.found"],
    },
    Attack {
        name: "forged forwarded headers",
        swarm: 24,
        life: |target, number| {
            Box::pin(async move {
                for last in 0..50 {
                    let headers = format!(
                        "X-Forwarded-For: 10.0.{number}.{last}, 127.0.0.1\r\nForwarded: for=10.1.{number}.{last}\r\nX-Real-IP: 127.0.0.1\r\n"
                    );
                    knock(&target, number, &headers, "forged").await;
                }
            })
        },
        told_by: &["turnpike_signals_total{signal=\"forged_header\""],
        audited_by: &["detection.signal forged_header"],
    },
    Attack {
        name: "origin tricks",
        swarm: 16,
        life: |target, number| {
            Box::pin(async move {
                for origin in [
                    "null",
                    "https://app.example.com.evil.example",
                    "https://evil.example/https://app.example.com",
                    "http://app.example.com",
                    "https://app.example.com:8443",
                    "https://app-example.com",
                    "https://app.example.com@evil.example",
                    "https://APP.example.com.",
                    "file://",
                ] {
                    for path in ["transport=websocket", "transport=polling"] {
                        let upgrade =
                            if path.ends_with("websocket") { HANDSHAKE } else { "Connection: close\r\n" };
                        let request = format!(
                            "GET /socket.io/?EIO=4&{path} HTTP/1.1\r\nHost: a\r\nOrigin: {origin}\r\n{upgrade}\r\n"
                        );
                        let answer = target.answer(number, &request).await.unwrap_or_default();
                        let is_in =
                            ["HTTP/1.1 101", "HTTP/1.1 200"].iter().any(|fine| answer.starts_with(fine));
                        assert!(!is_in, "{origin} was let in: {answer}");
                    }
                }
            })
        },
        told_by: &["turnpike_signals_total{signal=\"origin_refused\""],
        audited_by: &["connection.origin_refused origin", "detection.signal origin_refused"],
    },
];
