//! Somebody with an account: looking for rooms and for what was said in them, and saying too much in too many.

use super::Attack;
use super::peer::Target;

/// Events of one after the other, their answers read away.
async fn events(
    target: &Target,
    number: usize,
    token: &str,
    first: &[String],
    event: impl Fn(u64) -> String,
) {
    let Some(mut peer) = target.entered(number, token).await else { return };
    for text in first {
        peer.text(text).await;
    }
    let mut count = 0;
    while peer.text(&event(count)).await && peer.drain() {
        count += 1;
        if count.is_multiple_of(200) {
            tokio::task::yield_now().await;
        }
    }
}

fn joins(count: usize, prefix: &str, more: &str) -> Vec<String> {
    (0..count).map(|room| format!(r#"42["room:join",{{"room":"{prefix}{room}"{more}}}]"#)).collect()
}

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "room scanning",
        swarm: 8,
        life: |target, number| {
            Box::pin(async move {
                let join = |count| format!(r#"42{count}["room:join",{{"room":"secret:{count}"}}]"#);
                events(&target, number, &target.narrow, &[], join).await;
            })
        },
        told_by: &[
            "turnpike_gateway_events_total{event=\"room:join\",outcome=\"forbidden\"}",
            "turnpike_signals_total{signal=\"room_scan\"",
            "turnpike_detections_total",
        ],
        audited_by: &["authorization.denied", "detection.signal room_scan", "detection.found"],
    },
    Attack {
        name: "history scanning",
        swarm: 8,
        life: |target, number| {
            Box::pin(async move {
                let read = |count| format!(r#"42{count}["message:history",{{"room":"secret:{count}"}}]"#);
                events(&target, number, &target.narrow, &[], read).await;
            })
        },
        told_by: &[
            "turnpike_gateway_events_total{event=\"message:history\",outcome=\"forbidden\"}",
            "turnpike_signals_total{signal=\"history_scan\"",
            "turnpike_detections_total",
        ],
        audited_by: &["authorization.denied", "detection.signal history_scan", "detection.found"],
    },
    Attack {
        name: "publish flood through many rooms",
        swarm: 8,
        life: |target, number| {
            Box::pin(async move {
                let prefix = format!("flood:{number}:");
                let body = "x".repeat(2_000);
                let send = |count| {
                    format!(
                        r#"42{count}["message:send",{{"room":"{prefix}{}","body":"{body}"}}]"#,
                        count % 90
                    )
                };
                events(&target, number, target.token(number), &joins(90, &prefix, ""), send).await;
            })
        },
        told_by: &[
            "turnpike_limit_refused_total{limit=\"messages\"",
            "turnpike_signals_total{signal=\"flood\"",
        ],
        audited_by: &["limit.tripped messages", "detection.signal flood"],
    },
    Attack {
        name: "typing flood",
        swarm: 8,
        life: |target, number| {
            Box::pin(async move {
                let typing = |count: u64| {
                    let what = if count.is_multiple_of(2) { "start" } else { "stop" };
                    format!(r#"42["typing:{what}",{{"room":"typing:{}"}}]"#, count % 50)
                };
                events(&target, number, target.token(number), &joins(50, "typing:", ""), typing).await;
            })
        },
        told_by: &[
            "turnpike_gateway_events_total{event=\"typing:start\"",
            "turnpike_limit_refused_total{limit=\"events\"",
        ],
        audited_by: &["limit.tripped events", "detection.signal flood"],
    },
    Attack {
        name: "presence flood",
        swarm: 8,
        life: |target, number| {
            Box::pin(async move {
                let update = |count: u64| {
                    let status = ["online", "away", "busy", "invisible"][count as usize % 4];
                    format!(r#"42["presence:update",{{"status":"{status}","activity":{{"n":{count}}}}}]"#)
                };
                let joins = joins(50, "presence:", r#","presence":true"#);
                events(&target, number, target.token(number), &joins, update).await;
            })
        },
        told_by: &[
            "turnpike_gateway_events_total{event=\"presence:update\"",
            "turnpike_limit_refused_total{limit=\"presence\"",
        ],
        audited_by: &["limit.tripped presence", "detection.signal flood"],
    },
];
