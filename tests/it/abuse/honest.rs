//! Clients that ask for much and mean no harm. Nothing follows for any of them.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use super::arena::Arena;
use super::peer::{Peer, Target};
use super::runtime;

type Life = fn(Target, Instant) -> Pin<Box<dyn Future<Output = ()> + Send>>;

const DURATION: Duration = Duration::from_secs(3);

/// A machine that has other things to do makes nobody slow.
const PATIENT: &[(&str, &str)] = &[
    ("TURNPIKE_HTTP_HEADER_TIMEOUT", "5s"),
    ("TURNPIKE_HTTP_BODY_TIMEOUT", "5s"),
    ("TURNPIKE_MESSAGE_TIMEOUT", "5s"),
    ("TURNPIKE_WRITE_DEADLINE", "5s"),
    ("TURNPIKE_CONNECT_TIMEOUT", "5s"),
];

/// One event again and again, every so often, its answers read.
async fn steadily(
    target: &Target,
    until: Instant,
    every_ms: u64,
    first: &[String],
    event: impl Fn(u64) -> String,
) {
    let mut peer = target.inside(0).await.expect("let in");
    for text in first {
        assert!(peer.text(text).await && peer.drain(), "stays connected");
    }
    let mut clock = tokio::time::interval(Duration::from_millis(every_ms));
    // Whoever could say nothing for a while does not say it all at once then.
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut count = 0;
    while Instant::now() < until {
        clock.tick().await;
        count += 1;
        assert!(peer.text(&event(count)).await && peer.drain(), "stays connected");
    }
    is_answered(&mut peer).await;
}

async fn is_answered(peer: &mut Peer) {
    peer.text(r#"42999999["ping",1]"#).await;
    assert!(peer.until(r#"43999999[{"ok":true"#).await, "is answered as before");
}

fn join(room: &str) -> String {
    format!(r#"42["room:join",{{"room":"{room}","presence":true}}]"#)
}

const HONEST: &[(&str, Life)] = &[
    ("a bot that says 200 things a second", |target, until| {
        Box::pin(async move {
            let say = |count| format!(r#"42{count}["message:send",{{"room":"bot:a","body":{count}}}]"#);
            steadily(&target, until, 5, &[join("bot:a")], say).await;
        })
    }),
    ("a client in ninety rooms", |target, until| {
        Box::pin(async move {
            let joins: Vec<String> = (0..90).map(|room| join(&format!("many:{room}"))).collect();
            let say = |count: u64| {
                format!(r#"42{count}["message:send",{{"room":"many:{}","body":1}}]"#, count % 90)
            };
            steadily(&target, until, 20, &joins, say).await;
        })
    }),
    ("a phone in and out of tunnels", |target, until| {
        Box::pin(async move {
            while Instant::now() < until {
                let mut peer = target.inside(0).await.expect("let in");
                is_answered(&mut peer).await;
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        })
    }),
    ("somebody who scrolls back", |target, until| {
        Box::pin(async move {
            let page = |count| format!(r#"42{count}["message:history",{{"room":"bot:a","limit":100}}]"#);
            steadily(&target, until, 50, &[join("bot:a")], page).await;
        })
    }),
    ("an office behind one address", |target, _| {
        Box::pin(async move {
            let desks = (0..150).map(|desk| {
                let target = target.clone();
                async move {
                    // All of them from the one.
                    let mut peer = target.entered(0, target.token(desk)).await.expect("let in");
                    is_answered(&mut peer).await;
                    peer
                }
            });
            drop(futures_util::future::join_all(desks).await);
        })
    }),
    ("a fast typist", |target, until| {
        Box::pin(async move {
            let typing = |_| r#"42["typing:start",{"room":"type:a"}]"#.to_owned();
            steadily(&target, until, 50, &[join("type:a")], typing).await;
        })
    }),
    ("a game that shows where it is", |target, until| {
        Box::pin(async move {
            let update = |count| {
                format!(r#"42["presence:update",{{"status":"online","activity":{{"level":{count}}}}}]"#)
            };
            steadily(&target, until, 100, &[join("game:a"), join("game:b")], update).await;
        })
    }),
    ("somebody who shares pictures", |target, until| {
        Box::pin(async move {
            let picture = "x".repeat(200_000);
            let send =
                move |count| format!(r#"42{count}["message:send",{{"room":"album:a","body":"{picture}"}}]"#);
            steadily(
                &target,
                until,
                250,
                &[],
                |count| if count == 1 { join("album:a") } else { send(count) },
            )
            .await;
        })
    }),
    ("a page of yesterday", |target, until| {
        Box::pin(async move {
            // The session that it knows is no more; it begins another, as the stock client does.
            const OLD: &str = "GET /socket.io/?EIO=4&transport=polling&sid=b2xkLXNlc3Npb24tMTIzNDU2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            let gone = target.answer(0, OLD).await.expect("an answer");
            assert!(gone.starts_with("HTTP/1.1 400"), "{gone}");
            while Instant::now() < until {
                let sid = target.session(0).await.expect("a session");
                let connect = format!(r#"40{{"token":"{}"}}"#, target.token(0));
                let post = format!(
                    "POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{connect}",
                    connect.len()
                );
                let posted = target.answer(0, &post).await.expect("an answer");
                assert!(posted.starts_with("HTTP/1.1 200"), "{posted}");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        })
    }),
    ("a user with thirty tabs", |target, until| {
        Box::pin(async move {
            let mut tabs = Vec::new();
            for _ in 0..30 {
                tabs.push(target.inside(0).await.expect("let in"));
            }
            while Instant::now() < until {
                for tab in &mut tabs {
                    is_answered(tab).await;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        })
    }),
];

#[test]
fn nothing_follows_for_those_who_mean_no_harm() {
    let arena = Arena::open(None, HONEST.len(), PATIENT);
    let runtime = runtime();
    runtime.block_on(async {
        let until = Instant::now() + DURATION;
        let lives: Vec<_> = HONEST
            .iter()
            .enumerate()
            .map(|(number, (who, live))| (*who, tokio::spawn(live(arena.target(number), until))))
            .collect();
        for (who, life) in lives {
            life.await.unwrap_or_else(|error| panic!("{who}: {error}"));
        }
        for (number, (who, _)) in HONEST.iter().enumerate() {
            let target = arena.target(number);
            assert!(target.inside(0).await.is_some(), "{who} comes again");
        }
    });
    let metrics = arena.metrics();
    for none in ["turnpike_bans", "turnpike_mutes", "turnpike_detections_total", "turnpike_turned_away_total"]
    {
        assert!(metrics.sum(none) == 0.0, "{none}: {}", metrics.all());
    }
}
