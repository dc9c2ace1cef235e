//! A session and its token: media ends within a second of the token's end, and of its being revoked.

use std::time::{Duration, Instant};

use reqwest::Method;
use turnpike_guard::Revoked;
use turnpike_wire::UserId;

use super::house::{House, OBS, PATIENCE, SDP, header, now, token_with};
use crate::peer::plain_watch;

/// The promise is a second; a machine that is busy gets half of one more.
const SOON: Duration = Duration::from_millis(1_500);

const GRANTS: &[&str] = &["live:*=publish,subscribe"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alone_with_its_token_a_session_ends() {
    let house = House::build().await;
    let expires = now() + 3;
    let begin = async |path: &str| {
        let request = house.bare(Method::POST, path).bearer_auth(token_with("alice", expires, GRANTS));
        let response = request.header("content-type", SDP).body(OBS).send().await.unwrap();
        assert_eq!(response.status(), 201);
        header(&response, "location")
    };
    begin("/whip/live:a").await;
    let going_on = begin("/whip/live:b").await;
    // A later token of the same user is shown for it; one that may not publish says nothing.
    let ends = begin("/whip/live:c").await;
    let watch_only = token_with("alice", now() + 600, &["live:*=subscribe"]);
    assert_eq!(house.bare(Method::GET, &ends).bearer_auth(watch_only).send().await.unwrap().status(), 200);
    assert_eq!(house.ask(Method::GET, &going_on).send().await.unwrap().status(), 200);
    assert_eq!(house.streams().await.0, 3);
    let begun = Instant::now();
    while house.streams().await.0 > 1 {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let ended = now();
    assert!((expires..=expires + 2).contains(&ended), "{ended} for {expires}");
    tokio::time::sleep(SOON).await;
    assert_eq!(house.streams().await.0, 1);
    assert_eq!(house.ask(Method::GET, &going_on).send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alone_what_is_revoked_stops_within_a_second() {
    let house = House::build().await;
    let (_publisher, _) = house.begins("/whip/live:a", OBS).await;
    let (_viewer, _) = house.begins("/whep/live:a", &plain_watch()).await;
    assert_eq!(house.streams().await, (1, 1));
    house.revocations.set(&Revoked::User(UserId::parse("alice").unwrap(), now()), u64::MAX);
    let begun = Instant::now();
    while house.streams().await != (0, 0) {
        assert!(begun.elapsed() < SOON, "media went on for {:?}", begun.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("media stopped {:?} after the revocation", begun.elapsed());
    assert_eq!(house.post("/whip/live:c", OBS).await.status(), 401);
}
