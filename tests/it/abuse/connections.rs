//! Connections as such: many that say nothing, sessions that begin and end at once, and coming back after being sent away.

use std::time::Duration;

use super::Attack;

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "connection flood",
        swarm: 100,
        life: |target, number| {
            Box::pin(async move {
                let mut held = Vec::new();
                // Each of these holds twenty that say nothing.
                for _ in 0..20 {
                    held.extend(target.connect(number).await);
                }
                tokio::time::sleep(Duration::from_millis(300)).await;
            })
        },
        told_by: &["turnpike_turned_away_total{reason=\"too_many\""],
        audited_by: &["connection.address_refused too_many"],
    },
    Attack {
        name: "handshake churn",
        swarm: 24,
        life: |target, number| {
            Box::pin(async move {
                drop(target.inside(number).await);
            })
        },
        told_by: &["turnpike_signals_total{signal=\"churn\""],
        audited_by: &["authentication.login", "detection.signal churn"],
    },
    Attack {
        name: "ban evasion by reconnect",
        swarm: 8,
        life: |target, number| {
            Box::pin(async move {
                // First it earns what it then wants to evade, always from the same address.
                let Some(mut peer) = target.websocket(0, "").await else { return };
                peer.text(r#"40{"token":"forged"}"#).await;
                peer.until("44").await;
                drop(target.entered(0, target.token(number)).await);
            })
        },
        told_by: &["turnpike_gateway_tokens_refused_total", "turnpike_detections_total"],
        audited_by: &["authentication.login_failed", "detection.signal bad_token", "detection.found"],
    },
];
