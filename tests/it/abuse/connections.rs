//! Connections as such: many that say nothing, sessions that begin and end at once, and coming back after being sent away.

use std::time::Duration;

use super::Attack;

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "connection flood",
        run: |target, until| {
            Box::pin(async move {
                let hold = |target: super::Target, number: usize| async move {
                    let mut held = Vec::new();
                    // Each of these holds twenty that say nothing.
                    for _ in 0..20 {
                        held.extend(target.connect(number).await);
                    }
                    tokio::time::sleep(Duration::from_millis(300)).await;
                };
                target.swarm(100, until, hold).await;
            })
        },
        told_by: &["turnpike_turned_away_total{reason=\"too_many\""],
        audited_by: &["connection.address_refused too_many"],
    },
    Attack {
        name: "handshake churn",
        run: |target, until| {
            Box::pin(async move {
                let life = |target: super::Target, number: usize| async move {
                    drop(target.entered(number, target.token(number)).await);
                };
                target.swarm(24, until, life).await;
            })
        },
        told_by: &["turnpike_signals_total{signal=\"churn\""],
        audited_by: &["authentication.login", "detection.signal churn"],
    },
    Attack {
        name: "ban evasion by reconnect",
        run: |target, until| {
            Box::pin(async move {
                let life = |target: super::Target, number: usize| async move {
                    // First it earns what it then wants to evade, always from the same address.
                    let Some(mut peer) = target.websocket(0, "").await else { return };
                    peer.text(r#"40{"token":"forged"}"#).await;
                    peer.until("44").await;
                    drop(target.entered(0, target.token(number)).await);
                };
                target.swarm(8, until, life).await;
            })
        },
        told_by: &["turnpike_gateway_tokens_refused_total", "turnpike_detections_total"],
        audited_by: &["authentication.login_failed", "detection.signal bad_token", "detection.found"],
    },
];
