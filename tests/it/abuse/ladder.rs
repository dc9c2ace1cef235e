//! From the report that was one too many to what the attacker's own socket sees of it: refused, sent away, shut out. Each kind
//! of attack that can be told from honest use climbs until then, and when it should have been refused is reckoned from the
//! weights of docs/abuse.md and from when the outcome of each deed was seen.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::arena::Arena;
use super::peer::{OPEN, Peer, Target};
use super::runtime;

/// From the signal that was one too many to the refusal, as whoever is refused sees it.
const AT_ONCE: Duration = Duration::from_millis(100);
/// Somebody else's work on this machine can take as long once. What is slow is slow each time.
const TRIES: usize = 3;
/// Past it nobody minds.
const BROKEN: Duration = Duration::from_secs(30);
const HALF_LIFE: Duration = Duration::from_mins(1);
/// The rungs, by the scores from which on they are taken.
const MUTE: f64 = 25.0;
const DISCONNECT: f64 = 50.0;
const BAN: f64 = 100.0;

const FORGED: &str = "GET /api/v1/info/monitoring HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer e30.e30.AAAA\r\nConnection: close\r\n\r\n";

const MORE: &[(&str, &str)] = &[
    // Sessions are begun here to see whether they may be, and not entered.
    ("TURNPIKE_CONNECT_TIMEOUT", "1m"),
    ("TURNPIKE_TRUSTED_PROXIES", "198.51.100.0/24"),
    ("TURNPIKE_RATE_PRESENCE", "1/1"),
    // What is tried is what follows from it, not how often it may be tried.
    ("TURNPIKE_RATE_MESSAGES", "100000/100000"),
    ("TURNPIKE_RATE_EVENTS", "100000/100000"),
];

/// When the outcome of each deed was seen.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Instant>>>);

impl Seen {
    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn now(&self) {
        self.0.lock().unwrap().push(Instant::now());
    }

    /// When deeds of this weight came to so much. None: they did not.
    fn reached(&self, score: f64, weight: f64) -> Option<Instant> {
        let (mut sum, mut last) = (0.0, None::<Instant>);
        for seen in self.0.lock().unwrap().iter().copied() {
            let past = last.map_or(Duration::ZERO, |last| seen.saturating_duration_since(last));
            sum = sum * (-past.as_secs_f64() / HALF_LIFE.as_secs_f64()).exp2() + weight;
            last = Some(seen);
            if sum >= score {
                return last;
            }
        }
        None
    }
}

type Deeds = fn(Target, Seen) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// By whom it is counted.
#[derive(Clone, Copy, PartialEq)]
enum Whom {
    Address,
    User,
}

struct Kind {
    signal: &'static str,
    whom: Whom,
    weight: f64,
    /// On and on, all from the first address or by the first account.
    deeds: Deeds,
}

async fn requests(target: Target, seen: Seen, request: &str) {
    loop {
        if target.answer(0, request).await.is_some() {
            seen.now();
        } else {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }
}

/// Events that are refused, one after the other, as long as there are fewer than so many outcomes.
async fn events(target: Target, seen: Seen, most: usize, event: impl Fn(u64) -> String) {
    let mut number = 0;
    while seen.count() < most {
        if let Some(mut peer) = target.inside(0).await {
            while seen.count() < most {
                number += 1;
                if !peer.text(&format!("42{number}{}", event(number))).await {
                    break;
                }
                if !peer.until(&format!("43{number}[")).await {
                    break;
                }
                seen.now();
            }
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

fn scan(number: u64) -> String {
    format!(r#"["room:join",{{"room":"secret:{number}"}}]"#)
}

const KINDS: &[Kind] = &[
    Kind {
        signal: "bad_token",
        whom: Whom::Address,
        weight: 2.0,
        deeds: |target, seen| {
            Box::pin(async move {
                loop {
                    let Some(mut peer) = target.websocket(0, "").await else { return };
                    peer.text(r#"40{"token":"forged"}"#).await;
                    assert!(peer.until("44").await, "refused, and told so");
                    seen.now();
                }
            })
        },
    },
    Kind {
        signal: "malformed",
        whom: Whom::Address,
        weight: 5.0,
        deeds: |target, seen| Box::pin(requests(target, seen, "\u{16}\u{3}\u{1}\r\n\r\n")),
    },
    Kind {
        signal: "origin_refused",
        whom: Whom::Address,
        weight: 0.1,
        deeds: |target, seen| {
            let request = OPEN.replace("Host: a\r\n", "Host: a\r\nOrigin: https://evil.example\r\n");
            Box::pin(async move { requests(target, seen, &request).await })
        },
    },
    Kind {
        signal: "flood",
        whom: Whom::Address,
        weight: 0.2,
        deeds: |target, seen| {
            Box::pin(async move {
                let sid = target.session(0).await.expect("a session");
                let request = format!(
                    "POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 100000000\r\n\r\n"
                );
                requests(target, seen, &request).await;
            })
        },
    },
    Kind {
        signal: "forged_header",
        whom: Whom::Address,
        weight: 0.05,
        deeds: |target, seen| {
            let request = "GET /nothing HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\nConnection: close\r\n\r\n";
            Box::pin(requests(target, seen, request))
        },
    },
    Kind {
        signal: "slow_reader",
        whom: Whom::Address,
        weight: 2.0,
        deeds: |target, seen| {
            Box::pin(async move {
                let mut begun = tokio::task::JoinSet::new();
                for _ in 0..20 {
                    let (target, seen) = (target.clone(), seen.clone());
                    begun.spawn(async move {
                        let Some(mut peer) = target.asks(0, "GET / HTTP/1.1\r\nHost: a\r\nX-A: ").await
                        else {
                            return;
                        };
                        peer.listen().await;
                        seen.now();
                    });
                }
                begun.join_all().await;
                std::future::pending::<()>().await;
            })
        },
    },
    Kind {
        signal: "room_scan",
        whom: Whom::User,
        weight: 0.5,
        deeds: |target, seen| Box::pin(events(narrow(target), seen, usize::MAX, scan)),
    },
    Kind {
        signal: "history_scan",
        whom: Whom::User,
        weight: 0.5,
        deeds: |target, seen| {
            let read = |number| format!(r#"["message:history",{{"room":"secret:{number}"}}]"#);
            Box::pin(events(narrow(target), seen, usize::MAX, read))
        },
    },
    Kind {
        signal: "flood",
        whom: Whom::User,
        weight: 0.2,
        deeds: |target, seen| {
            let update = |_| r#"["presence:update",{"status":"away"}]"#.to_owned();
            Box::pin(events(target, seen, usize::MAX, update))
        },
    },
    Kind {
        signal: "churn",
        whom: Whom::User,
        weight: 0.3,
        deeds: |target, seen| {
            Box::pin(async move {
                loop {
                    drop(target.inside(0).await);
                    seen.now();
                }
            })
        },
    },
    Kind {
        signal: "malformed",
        whom: Whom::User,
        weight: 5.0,
        deeds: |target, seen| {
            Box::pin(async move {
                loop {
                    let Some(mut peer) = target.inside(0).await else { return };
                    peer.text("4nonsense").await;
                    peer.listen().await;
                    seen.now();
                }
            })
        },
    },
];

/// All accounts of it are the one that may do hardly anything.
fn narrow(target: Target) -> Target {
    Target { tokens: Arc::new(vec![target.narrow.to_string()]), ..target }
}

/// When nobody new is let in there any more.
async fn address_refused(target: Target) -> Instant {
    while target.answer(0, OPEN).await.is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Instant::now()
}

/// When the user may say nothing any more, from wherever.
async fn user_muted(target: Target) -> Instant {
    let mut peer = target.entered(1, target.token(0)).await.expect("let in");
    peer.text(r#"421["room:join",{"room":"lobby:a"}]"#).await;
    assert!(peer.until("431[").await, "an answer");
    for number in 2_u64.. {
        // In that room nobody may say anything to begin with. Who is muted is told so, and not that.
        peer.text(&format!(r#"42{number}["typing:start",{{"room":"lobby:a"}}]"#)).await;
        if peer.answered(number).await.is_some_and(|answer| answer.contains("\"code\":108")) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Instant::now()
}

/// How long it took until it was seen, from when it was due.
async fn climb(kind: &Kind, target: &Target) -> Duration {
    let seen = Seen::default();
    let probe = match kind.whom {
        Whom::Address => tokio::spawn(address_refused(target.clone())),
        Whom::User if ["room_scan", "history_scan"].contains(&kind.signal) => {
            tokio::spawn(user_muted(narrow(target.clone())))
        }
        Whom::User => tokio::spawn(user_muted(target.clone())),
    };
    let deeds = tokio::spawn((kind.deeds)(target.clone(), seen.clone()));
    let refused = tokio::time::timeout(BROKEN, probe).await;
    let refused = refused.unwrap_or_else(|_| panic!("{} and nobody minds", kind.signal)).unwrap();
    // Of deeds that end at the same moment the refusal may be seen before the last of them.
    let enough = |seen: &Seen| (seen.0.lock().unwrap().len() + 1) as f64 * kind.weight >= MUTE * 0.8;
    while !enough(&seen) && refused.elapsed() < Duration::from_secs(1) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    deeds.abort();
    assert!(enough(&seen), "{} is refused for {} deeds", kind.signal, seen.0.lock().unwrap().len());
    // None: the outcome of the last one was not seen before the refusal.
    seen.reached(MUTE, kind.weight).map_or(Duration::ZERO, |due| refused.saturating_duration_since(due))
}

#[test]
fn alone_who_misbehaves_is_refused_at_once() {
    let arena = Arena::open(None, KINDS.len() * TRIES, MORE);
    let runtime = runtime();
    let mut late = Vec::new();
    for (number, kind) in KINDS.iter().enumerate() {
        let whom = if kind.whom == Whom::User { "a user" } else { "an address" };
        let took: Vec<Duration> = (0..TRIES)
            .map(|again| runtime.block_on(climb(kind, &arena.target(number * TRIES + again))))
            .scan(false, |done, took| {
                let goes_on = !*done;
                *done = took <= AT_ONCE;
                goes_on.then_some(took)
            })
            .collect();
        println!("{} of {whom}: refused after {took:?}", kind.signal);
        if took.last().is_none_or(|took| *took > AT_ONCE) {
            late.push((kind.signal, whom, took));
        }
    }
    assert!(late.is_empty(), "{late:?}");
}

/// The end of a connection, whoever ended it.
async fn end(mut peer: Peer) -> Instant {
    while !peer.is_closed() {
        peer.listen().await;
    }
    Instant::now()
}

/// Somebody connected from the address: sent away, and later on nobody is heard at all.
async fn up_to_the_ban_of_an_address(target: Target) -> [Duration; 2] {
    let (seen, inside) = (Seen::default(), target.inside(0).await.expect("let in"));
    let sent_away = tokio::spawn(end(inside));
    let deeds = tokio::spawn({
        let (target, seen) = (target.clone(), seen.clone());
        async move {
            while target.answer(0, FORGED).await.is_some_and(|answer| answer.starts_with("HTTP/1.1 401")) {
                seen.now();
            }
            Instant::now()
        }
    });
    let unheard = tokio::time::timeout(BROKEN, deeds).await.expect("it is banned in the end").unwrap();
    let sent_away = tokio::time::timeout(BROKEN, sent_away).await.expect("sent away").unwrap();
    [(sent_away, DISCONNECT), (unheard, BAN)].map(|(at, score)| late(&seen, at, score, 2.0))
}

/// Somebody connected as the user from elsewhere: sent away, back again, and sent away for good.
async fn up_to_the_ban_of_a_user(target: Target) -> [Duration; 2] {
    let (seen, target) = (Seen::default(), narrow(target));
    let inside = target.entered(1, target.token(0)).await.expect("let in");
    // Enough for the one and not for the other: the ban is not to be there before anybody is back to see it.
    tokio::spawn(events(target.clone(), seen.clone(), 150, scan));
    let sent_away = tokio::time::timeout(BROKEN, end(inside)).await.expect("sent away");
    let back = target.entered(1, target.token(0)).await.expect("who is disconnected may come back");
    let deeds = tokio::spawn(events(target.clone(), seen.clone(), usize::MAX, scan));
    let shut_out = tokio::time::timeout(BROKEN, end(back)).await.expect("sent away again");
    assert!(target.entered(2, target.token(0)).await.is_none(), "banned, and in again");
    deeds.abort();
    [(sent_away, DISCONNECT), (shut_out, BAN)].map(|(at, score)| late(&seen, at, score, 0.5))
}

fn late(seen: &Seen, at: Instant, score: f64, weight: f64) -> Duration {
    seen.reached(score, weight).map_or(Duration::ZERO, |due| at.saturating_duration_since(due))
}

#[test]
fn alone_who_goes_on_is_sent_away_and_shut_out_at_once() {
    let arena = Arena::open(None, 2 * TRIES, MORE);
    let runtime = runtime();
    for whom in [Whom::Address, Whom::User] {
        let mut fastest = [Duration::MAX; 2];
        for again in 0..TRIES {
            let target = arena.target(again + if whom == Whom::User { TRIES } else { 0 });
            let took = runtime.block_on(async {
                match whom {
                    Whom::Address => up_to_the_ban_of_an_address(target).await,
                    Whom::User => up_to_the_ban_of_a_user(target).await,
                }
            });
            println!("sent away after {:?}, shut out after {:?}", took[0], took[1]);
            fastest = [0, 1].map(|rung| fastest[rung].min(took[rung]));
            if fastest.iter().all(|took| *took <= AT_ONCE) {
                break;
            }
        }
        assert!(fastest.iter().all(|took| *took <= AT_ONCE), "{fastest:?}");
    }
}

#[test]
fn alone_who_guesses_tokens_is_kept_out_and_nobody_else() {
    let arena = Arena::open(None, 1, MORE);
    let target = arena.target(0);
    let runtime = runtime();
    runtime.block_on(async {
        let kind = KINDS.iter().find(|kind| kind.signal == "bad_token").unwrap();
        climb(kind, &target).await;
        assert!(target.entered(1, target.token(0)).await.is_some(), "who is next door is not meant");
        assert!(target.inside(0).await.is_none(), "nor does a good token help there");
    });
    assert!(arena.metrics().sum("turnpike_detections_total") > 0.0);
    let begun = Instant::now();
    while arena.records().of(0).sum("detection.found") == 0.0 {
        let audited = arena.records().of(0).all();
        assert!(begun.elapsed() < Duration::from_secs(10), "it is not in the audit log: {audited}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
