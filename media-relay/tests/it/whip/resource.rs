//! The resource of a session: candidates, ICE anew, the end.

use reqwest::Method;
use turnpike_media_relay::Ask;
use turnpike_sdp::{Description, Fragment};
use turnpike_wire::RoomId;

use super::house::{
    CANDIDATE, FRAGMENT, House, OBS, OBS_UFRAG, SAFARI, expired, fragment, header, token, watch_only,
};

#[tokio::test]
async fn s11_delete_frees_all_of_it() {
    let house = House::build().await;
    let (session, _) = house.publish("live:a").await;
    house.settles_at((1, 0)).await;
    let response = house.ask(Method::DELETE, &session).send().await.unwrap();
    assert_eq!(response.status(), 200);
    house.settles_at((0, 0)).await;
}

#[tokio::test]
async fn s12_delete_again_is_404() {
    let house = House::build().await;
    let (session, _) = house.publish("live:a").await;
    for status in [200, 404, 404] {
        assert_eq!(house.ask(Method::DELETE, &session).send().await.unwrap().status(), status);
    }
    for unknown in ["x", "0000000000000007-00000000000000000000000000000000"] {
        let path = format!("/whip/live:a/{unknown}");
        assert_eq!(house.ask(Method::DELETE, &path).send().await.unwrap().status(), 404);
        assert_eq!(house.ask(Method::GET, &path).send().await.unwrap().status(), 404);
        assert_eq!(house.patch(&path, "*", &fragment(OBS_UFRAG, CANDIDATE)).await.status(), 404);
    }
}

#[tokio::test]
async fn s12_what_is_anothers_is_not_there() {
    let house = House::build().await;
    let (session, etag) = house.publish("live:a").await;
    for method in [Method::GET, Method::PATCH, Method::DELETE] {
        let request = house.bare(method.clone(), &session).bearer_auth(token("mallory"));
        let request = request.header("if-match", &etag).header("content-type", FRAGMENT);
        let response = request.body(fragment(OBS_UFRAG, CANDIDATE)).send().await.unwrap();
        assert_eq!(response.status(), 404, "{method}");
    }
    // At another address than its own either.
    for path in [session.replace("/whip/", "/whep/"), session.replace("live:a", "live:b")] {
        assert_eq!(house.ask(Method::DELETE, &path).send().await.unwrap().status(), 404);
    }
    assert_eq!(house.streams().await.0, 1);
}

#[tokio::test]
async fn s13_delete_minds_no_entity_tag() {
    let house = House::build().await;
    let (session, _) = house.publish("live:a").await;
    let request = house.ask(Method::DELETE, &session).header("if-match", "\"something else\"");
    assert_eq!(request.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn s14_a_session_that_the_server_ended_is_gone() {
    let house = House::build().await;
    let (session, _) = house.publish("live:a").await;
    house.relay.ask(Ask::End { stream: RoomId::parse("live:a").unwrap() }).await.unwrap();
    let end = tokio::time::Instant::now() + super::house::PATIENCE;
    while house.ask(Method::GET, &session).send().await.unwrap().status() != 404 {
        assert!(tokio::time::Instant::now() < end);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(house.streams().await, (0, 0));
}

#[tokio::test]
async fn s17_another_type_is_refused() {
    let house = House::build().await;
    let (session, etag) = house.publish("live:a").await;
    for kind in ["application/sdp", "text/plain", "application/json"] {
        let request =
            house.ask(Method::PATCH, &session).header("content-type", kind).header("if-match", &etag);
        let response = request.body(fragment(OBS_UFRAG, CANDIDATE)).send().await.unwrap();
        assert_eq!(response.status(), 415, "{kind}");
    }
}

#[tokio::test]
async fn s18_a_malformed_fragment_is_refused() {
    let house = House::build().await;
    let (session, etag) = house.publish("live:a").await;
    for bad in
        ["", "hello", "a=ice-ufrag:x\r\n", &fragment(OBS_UFRAG, "1 1 udp"), &fragment("x y", CANDIDATE)]
    {
        assert_eq!(house.patch(&session, &etag, bad).await.status(), 400, "{bad}");
    }
    assert_eq!(house.patch(&session, &etag, &fragment(OBS_UFRAG, CANDIDATE)).await.status(), 204);
}

#[tokio::test]
async fn s21_without_if_match_it_is_428() {
    let house = House::build().await;
    let (session, _) = house.publish("live:a").await;
    let request = house.ask(Method::PATCH, &session).header("content-type", FRAGMENT);
    assert_eq!(request.body(fragment(OBS_UFRAG, CANDIDATE)).send().await.unwrap().status(), 428);
}

#[tokio::test]
async fn s22_a_stale_if_match_is_412() {
    let house = House::build().await;
    let (session, etag) = house.publish("live:a").await;
    for stale in ["\"0\"".to_owned(), format!("W/{etag}"), etag.trim_matches('"').to_owned()] {
        assert_eq!(
            house.patch(&session, &stale, &fragment(OBS_UFRAG, CANDIDATE)).await.status(),
            412,
            "{stale}"
        );
    }
    let either = format!("\"0\", {etag}");
    assert_eq!(house.patch(&session, &either, &fragment(OBS_UFRAG, CANDIDATE)).await.status(), 204);
}

#[tokio::test]
async fn s23_candidates_are_taken_without_a_word() {
    let house = House::build().await;
    let (session, etag) = house.publish("live:a").await;
    let response = house.patch(&session, &etag, &fragment(OBS_UFRAG, CANDIDATE)).await;
    assert_eq!(response.status(), 204);
    assert!(!response.headers().contains_key("etag"));
    assert_eq!(response.text().await.unwrap(), "");
}

#[tokio::test]
async fn s24_what_cannot_be_used_is_passed_over() {
    let house = House::build().await;
    let (session, etag) = house.publish("live:a").await;
    for candidate in [
        "1 1 sctp 1 192.0.2.1 5 typ host",
        "1 1 tcp 1 192.0.2.1 9 typ host tcptype active",
        "1 1 udp 1 4f6d1b2c-0000-4000-8000-2f7d5c1b0a99.local 5 typ host",
        "1 1 udp 1 192.0.2.1 5 typ wormhole",
    ] {
        assert_eq!(house.patch(&session, &etag, &fragment(OBS_UFRAG, candidate)).await.status(), 204);
    }
}

#[tokio::test]
async fn s19_s26_s28_ice_begins_anew() {
    let house = House::build().await;
    let response = house.post("/whip/live:a", OBS).await;
    let (session, etag) = (header(&response, "location"), header(&response, "etag"));
    let answer = Description::parse(&response.text().await.unwrap()).unwrap();
    let response = house.patch(&session, "\"*\"", &fragment("anew", CANDIDATE)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "content-type"), FRAGMENT);
    let second = header(&response, "etag");
    assert_ne!(second, etag);
    let ours = Fragment::parse(&response.text().await.unwrap()).unwrap();
    let before = answer.media[0].credentials.clone().unwrap();
    assert_ne!(ours.credentials.ufrag(), before.ufrag());
    assert_ne!(ours.credentials.pwd(), before.pwd());
    assert_eq!(ours.candidates().count(), answer.media[0].candidates.len());
    assert_eq!((ours.ice_options, ours.ice_lite), (answer.ice_options, answer.ice_lite));
    // The old tag, and the old session, are over.
    assert_eq!(house.patch(&session, &etag, &fragment("anew", CANDIDATE)).await.status(), 412);
    assert_eq!(house.patch(&session, &second, &fragment(OBS_UFRAG, CANDIDATE)).await.status(), 412);
    assert_eq!(house.patch(&session, &second, &fragment("anew", CANDIDATE)).await.status(), 204);
    // Without quotes, as HTTP itself writes it.
    assert_eq!(house.patch(&session, "*", &fragment("again", CANDIDATE)).await.status(), 200);
}

#[tokio::test]
async fn s29_a_restart_that_fails_ends_nothing() {
    let house = House::build().await;
    let (session, etag) = house.publish("live:a").await;
    let bad = "a=ice-ufrag:anew\r\na=ice-pwd:short\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n";
    assert_eq!(house.patch(&session, "*", bad).await.status(), 400);
    assert_eq!(house.patch(&session, &etag, &fragment(OBS_UFRAG, CANDIDATE)).await.status(), 204);
    assert_eq!(house.streams().await.0, 1);
}

/// Each answer of many at once belongs to one ICE session, and in the end one of them is the session's.
#[tokio::test]
async fn s30_two_ice_sessions_are_never_mixed() {
    let house = std::sync::Arc::new(House::build().await);
    let (session, _) = house.publish("live:a").await;
    let mut asked = tokio::task::JoinSet::new();
    for number in 0..20 {
        let (house, session) = (std::sync::Arc::clone(&house), session.clone());
        asked.spawn(async move {
            let ufrag = format!("anew{number}");
            let response = house.patch(&session, "*", &fragment(&ufrag, CANDIDATE)).await;
            assert_eq!(response.status(), 200);
            (ufrag, header(&response, "etag"))
        });
    }
    let answered = asked.join_all().await;
    let mut current = 0;
    for (ufrag, etag) in &answered {
        current +=
            usize::from(house.patch(&session, etag, &fragment(ufrag, CANDIDATE)).await.status() == 204);
    }
    assert_eq!(current, 1);
    for pair in answered.windows(2) {
        let status = house.patch(&session, &pair[0].1, &fragment(&pair[1].0, CANDIDATE)).await.status();
        assert_eq!(status, 412, "a tag of one and the name of another");
    }
}

#[tokio::test]
async fn s43_an_expired_token_or_a_lost_right_extends_nothing() {
    let house = House::build().await;
    let (session, etag) = house.publish("live:a").await;
    for (token, status) in [(expired("alice"), 401), (watch_only(), 404)] {
        let request = house.bare(Method::PATCH, &session).bearer_auth(token).header("if-match", &etag);
        let request = request.header("content-type", FRAGMENT).body(fragment("anew", CANDIDATE));
        assert_eq!(request.send().await.unwrap().status(), status);
    }
    let lost = super::house::token_with("alice", u64::from(u32::MAX), &["live:*=subscribe"]);
    let request = house.bare(Method::PATCH, &session).bearer_auth(lost.clone()).header("if-match", &etag);
    let request = request.header("content-type", FRAGMENT).body(fragment("anew", CANDIDATE));
    assert_eq!(request.send().await.unwrap().status(), 403);
    // To end it is always allowed.
    let request = house.bare(Method::DELETE, &session).bearer_auth(lost);
    assert_eq!(request.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn s73_the_same_holds_for_viewers() {
    let house = House::build().await;
    house.publish("live:a").await;
    let (session, etag) = house.watch("live:a").await;
    let ufrag = Description::parse(SAFARI).unwrap().media[0].credentials.clone().unwrap();
    let theirs = fragment(ufrag.ufrag(), CANDIDATE);
    assert_eq!(house.patch(&session, &etag, &theirs).await.status(), 204);
    assert_eq!(house.patch(&session, "\"0\"", &theirs).await.status(), 412);
    let request = house.ask(Method::PATCH, &session).header("content-type", FRAGMENT).body(theirs);
    assert_eq!(request.send().await.unwrap().status(), 428);
    let response = house.patch(&session, "*", &fragment("anew", CANDIDATE)).await;
    assert_eq!(response.status(), 200);
    assert_ne!(header(&response, "etag"), etag);
    assert_eq!(house.ask(Method::DELETE, &session).send().await.unwrap().status(), 200);
    assert_eq!(house.ask(Method::DELETE, &session).send().await.unwrap().status(), 404);
    house.settles_at((1, 0)).await;
}
