//! Who is banned: their sessions end within a second, and they begin no others.

use std::time::{Duration, Instant};

use reqwest::Method;
use turnpike_guard::{Ban, Signal, Whom};

use super::house::{House, OBS, SDP, Settings, now, token};
use crate::peer::plain_watch;

/// The promise is a second; a machine that is busy gets half of one more.
const SOON: Duration = Duration::from_millis(1_500);

async fn ends_for(whom: &str) {
    let settings = Settings::default();
    let watch = settings.watch.clone();
    let house = House::with(settings).await;
    let (_publisher, _) = house.begins("/whip/live:a", OBS).await;
    let (_viewer, _) = house.begins("/whep/live:a", &plain_watch()).await;
    let whom = Whom::parse(whom).unwrap();
    let until_ms = (now() + 600) * 1_000;
    watch.warden.ban(Ban { whom: whom.clone(), until_ms, reason: "a test".into(), by: "me".into() });
    let begun = Instant::now();
    while house.streams().await != (0, 0) {
        assert!(begun.elapsed() < SOON, "media went on for {:?}", begun.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let is_user = matches!(whom, Whom::User(_));
    if is_user {
        let refused = house.post("/whip/live:b", OBS).await;
        assert_eq!(refused.status(), 403);
        assert!(refused.text().await.unwrap().contains("banned"));
        let other = house.bare(Method::POST, "/whip/live:b").bearer_auth(token("bob"));
        assert_eq!(other.header("content-type", SDP).body(OBS).send().await.unwrap().status(), 201);
    }
    watch.warden.lift(&whom);
    assert_eq!(house.post("/whip/live:c", OBS).await.status(), 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alone_sessions_of_a_banned_user_end() {
    ends_for("user:alice").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alone_sessions_from_a_banned_address_end() {
    ends_for("network:127.0.0.0/8").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_token_is_seen() {
    let settings = Settings::default();
    let watch = settings.watch.clone();
    let house = House::with(settings).await;
    let seen = || {
        let signals = watch.warden.levels(watch.now()).signals;
        signals.into_iter().find(|(signal, _)| *signal == Signal::BadToken).unwrap().1
    };
    assert_eq!(house.post("/whip/live:a", OBS).await.status(), 201);
    assert_eq!(seen(), 0);
    let response = house.bare(Method::POST, "/whip/live:a").bearer_auth("e30.e30.AAAA").send().await.unwrap();
    assert_eq!((response.status().as_u16(), seen()), (401, 1));
}
