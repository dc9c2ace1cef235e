//! The endpoint of publishers.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use reqwest::Method;
use turnpike_media_relay::{Place, Places};
use turnpike_sdp::{Description, Direction};
use turnpike_wire::{Failure, RoomId, UserId};

use super::house::{
    CHROMIUM, House, OBS, SDP, Settings, expired, header, links, token, token_with, watch_only,
};

const PATH: &str = "/whip/live:a";

#[tokio::test]
async fn s01_an_offer_is_answered_with_201() {
    let house = House::build().await;
    let response = house.post(PATH, OBS).await;
    assert_eq!(response.status(), 201);
    assert_eq!(header(&response, "content-type"), SDP);
    assert!(header(&response, "location").starts_with("/whip/live:a/"));
    Description::parse(&response.text().await.unwrap()).unwrap();
    house.settles_at((1, 0)).await;
}

#[tokio::test]
async fn s02_another_type_is_refused() {
    let house = House::build().await;
    for kind in ["text/plain", "application/json", "application/sdpx", ""] {
        let request = house.ask(Method::POST, PATH).header("content-type", kind).body(OBS);
        assert_eq!(request.send().await.unwrap().status(), 415, "{kind}");
    }
    assert_eq!(house.ask(Method::POST, PATH).body(OBS).send().await.unwrap().status(), 415);
    let request =
        house.ask(Method::POST, PATH).header("content-type", "Application/SDP; charset=utf-8").body(OBS);
    assert_eq!(request.send().await.unwrap().status(), 201);
}

#[tokio::test]
async fn s03_malformed_is_refused_and_leaves_nothing() {
    let house = House::build().await;
    for bad in ["", "hello", "v=0\r\n", &OBS.replace("a=fingerprint:", "a=fingerprinz:"), &OBS[..900]] {
        let response = house.post(PATH, bad).await;
        assert_eq!(response.status(), 400, "{bad}");
        assert_eq!(header(&response, "content-type"), "application/problem+json");
    }
    let long = format!("{OBS}{}", "a=x\n".repeat(20_000));
    assert_eq!(house.post(PATH, &long).await.status(), 413);
    assert_eq!(house.streams().await, (0, 0));
}

#[tokio::test]
async fn s04_every_section_of_the_answer_is_recvonly() {
    let house = House::build().await;
    let answer = Description::parse(&house.post(PATH, OBS).await.text().await.unwrap()).unwrap();
    assert!(answer.media.iter().all(|media| media.direction == Direction::RecvOnly));
}

#[tokio::test]
async fn s05_sendonly_and_sendrecv_are_taken() {
    let house = House::build().await;
    assert_eq!(house.post(PATH, &OBS.replace("sendonly", "sendrecv")).await.status(), 201);
}

#[tokio::test]
async fn s06_recvonly_and_inactive_are_refused() {
    let house = House::build().await;
    for direction in ["recvonly", "inactive"] {
        assert_eq!(house.post(PATH, &OBS.replace("sendonly", direction)).await.status(), 400);
    }
}

#[tokio::test]
async fn s07_get_is_empty() {
    let house = House::build().await;
    let (session, _) = house.publish("live:a").await;
    for path in [PATH, &session] {
        let response = house.ask(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.text().await.unwrap(), "");
    }
}

#[tokio::test]
async fn s08_s09_options_says_what_is_taken() {
    let house = House::build().await;
    let response = house.bare(Method::OPTIONS, PATH).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "accept-post"), SDP);
}

#[tokio::test]
async fn s10_pages_may_ask_and_read_what_they_need() {
    let house = House::build().await;
    let preflight = house.bare(Method::OPTIONS, PATH).header("origin", "https://studio.example");
    let response = preflight.header("access-control-request-method", "POST").send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "access-control-allow-origin"), "*");
    for name in ["authorization", "content-type", "if-match"] {
        assert!(header(&response, "access-control-allow-headers").contains(name));
    }
    for method in ["POST", "PATCH", "DELETE"] {
        assert!(header(&response, "access-control-allow-methods").contains(method));
    }
    let request = house.ask(Method::POST, PATH).header("origin", "https://studio.example");
    let response = request.header("content-type", SDP).body(OBS).send().await.unwrap();
    for name in ["location", "link", "etag"] {
        assert!(header(&response, "access-control-expose-headers").contains(name));
    }
    assert!(!response.headers().contains_key("access-control-allow-credentials"));
}

#[tokio::test]
async fn s10_only_listed_pages_if_there_is_a_list() {
    let origins = Some(vec!["https://studio.example".to_owned()]);
    let house = House::with(Settings { origins, ..Settings::default() }).await;
    for (origin, may) in
        [("https://studio.example", true), ("https://studio.example.evil", false), ("null", false)]
    {
        let response = house.bare(Method::OPTIONS, PATH).header("origin", origin).send().await.unwrap();
        assert_eq!(response.headers().contains_key("access-control-allow-origin"), may, "{origin}");
        assert_eq!(header(&response, "vary"), "Origin");
    }
}

#[tokio::test]
async fn s20_the_etag_is_strong_and_of_one_session() {
    let house = House::build().await;
    let (_, first) = house.publish("live:a").await;
    let (_, second) = house.publish("live:b").await;
    assert!(first.starts_with('"') && first.ends_with('"'));
    assert_ne!(first, second);
}

#[tokio::test]
async fn s25_the_answer_has_all_candidates() {
    let house = House::build().await;
    let answer = Description::parse(&house.post(PATH, OBS).await.text().await.unwrap()).unwrap();
    let candidates: Vec<_> =
        answer.media[0].candidates.iter().filter_map(turnpike_sdp::Candidate::socket_address).collect();
    assert_eq!(candidates, house.relay.local_addrs());
    assert!(answer.media[0].end_of_candidates);
}

#[tokio::test]
async fn s31_everything_on_one_transport() {
    let house = House::build().await;
    let answer = Description::parse(&house.post(PATH, OBS).await.text().await.unwrap()).unwrap();
    assert_eq!(answer.bundle.len(), answer.media.len());
    assert!(answer.media.iter().all(|media| media.rtcp_mux && media.rtcp_mux_only));
    let apart = OBS.replace("a=group:BUNDLE 0 1\n", "");
    assert_eq!(house.post(PATH, &apart).await.status(), 400);
}

#[tokio::test]
async fn s32_s33_more_than_one_of_a_kind_or_stream_is_refused() {
    let house = House::build().await;
    let second = OBS.split("m=video").nth(1).unwrap().replace("a=mid:1", "a=mid:2");
    let two = format!("{OBS}m=video{second}").replace("BUNDLE 0 1", "BUNDLE 0 1 2");
    assert_eq!(house.post(PATH, &two).await.status(), 400);
    let streams = OBS.replace("a=msid:cWqAqXlRhx5gBxcX cWqAqXlRhx5gBxcX-video", "a=msid:other x");
    assert_eq!(house.post(PATH, &streams).await.status(), 400);
}

#[tokio::test]
async fn s34_all_or_nothing() {
    let house = House::build().await;
    let response = house.post(PATH, &OBS.replace("H264/90000", "H265/90000")).await;
    assert_eq!(response.status(), 422);
    let problem: serde_json::Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(problem["code"], 124);
    assert!(problem["detail"].as_str().unwrap().contains("H265"), "{problem}");
    let data = OBS.replace("BUNDLE 0 1", "BUNDLE 0 1 2");
    let data = format!("{data}m=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=mid:2\n");
    assert_eq!(house.post(PATH, &data).await.status(), 400);
    assert_eq!(house.streams().await, (0, 0));
}

#[tokio::test]
async fn s35_every_setup_is_handled() {
    let house = House::build().await;
    for (offered, answered) in [("actpass", "passive"), ("active", "passive"), ("passive", "active")] {
        let offer = OBS.replace("a=setup:actpass", &format!("a=setup:{offered}"));
        let answer = house.post(&format!("{PATH}-{offered}"), &offer).await.text().await.unwrap();
        assert!(answer.contains(&format!("a=setup:{answered}\r\n")), "{offered}");
    }
}

#[tokio::test]
async fn s36_ice_is_full_where_it_is_not_said_otherwise() {
    let house = House::build().await;
    assert!(!house.post(PATH, OBS).await.text().await.unwrap().contains("ice-lite"));
}

struct There;

impl Places for There {
    fn to_publish<'a>(&'a self, _: &'a RoomId) -> BoxFuture<'a, Result<Place, Failure>> {
        Box::pin(async { Ok(Place::At("https://media-2.example.org/".to_owned())) })
    }

    fn to_watch<'a>(&'a self, stream: &'a RoomId) -> BoxFuture<'a, Result<Place, Failure>> {
        self.to_publish(stream)
    }

    fn published(&self, _: &RoomId, _: &UserId) {}

    fn another(&self, _: &RoomId) -> Option<String> {
        None
    }
}

#[tokio::test]
async fn s37_s73_to_another_relay_by_307() {
    let house = House::with(Settings { places: Arc::new(There), ..Settings::default() }).await;
    for path in [PATH, "/whep/live:a"] {
        let response = house.post(path, OBS).await;
        assert_eq!(response.status(), 307);
        assert_eq!(header(&response, "location"), format!("https://media-2.example.org{path}"));
    }
    assert_eq!(
        house.bare(Method::POST, PATH).body(OBS).send().await.unwrap().status(),
        401,
        "not to strangers"
    );
}

#[tokio::test]
async fn s38_s73_no_room_is_503_with_a_time() {
    let house = House::with(Settings { peers_max: 1, ..Settings::default() }).await;
    house.publish("live:a").await;
    for response in
        [house.post("/whip/live:b", OBS).await, house.post("/whep/live:a", super::house::SAFARI).await]
    {
        assert_eq!(response.status(), 503);
        assert!(header(&response, "retry-after").parse::<u32>().unwrap() >= 1);
    }
}

#[tokio::test]
async fn s39_s73_servers_for_ice() {
    let house = House::build().await;
    let response = house.post(PATH, OBS).await;
    assert_eq!(
        links(&response),
        [
            "<stun:stun.example.org>; rel=\"ice-server\"",
            "<turn:turn.example.org?transport=udp>; rel=\"ice-server\"; username=\"1:alice\"; credential=\"secret\\\"\"; credential-type=\"password\"",
        ]
    );
    let response = house.post("/whep/live:a", super::house::SAFARI).await;
    assert!(links(&response).iter().any(|link| link.starts_with("<turn:")));
}

#[tokio::test]
async fn s40_none_for_a_preflight() {
    let house = House::build().await;
    for path in [PATH, "/whep/live:a"] {
        let response =
            house.bare(Method::OPTIONS, path).header("origin", "https://a.example").send().await.unwrap();
        assert!(links(&response).is_empty());
    }
}

#[tokio::test]
async fn s41_the_bearer_is_needed_on_every_method_but_options() {
    let house = House::build().await;
    let (session, etag) = house.publish("live:a").await;
    let tokens = [(None, 401), (Some("nonsense".to_owned()), 401), (Some(expired("alice")), 401)];
    for (token, status) in tokens {
        for (method, path) in [
            (Method::POST, PATH),
            (Method::GET, PATH),
            (Method::GET, &session),
            (Method::PATCH, &session),
            (Method::DELETE, &session),
        ] {
            let mut request =
                house.bare(method.clone(), path).header("content-type", SDP).header("if-match", &etag);
            if let Some(token) = &token {
                request = request.bearer_auth(token);
            }
            let response = request.body(OBS).send().await.unwrap();
            assert_eq!(response.status(), status, "{method} {path}");
            assert_eq!(header(&response, "www-authenticate"), "Bearer");
        }
    }
    for path in [PATH, &session] {
        assert_eq!(house.bare(Method::OPTIONS, path).send().await.unwrap().status(), 200);
    }
    // A token, and not the right.
    let request = house.bare(Method::POST, PATH).bearer_auth(watch_only()).header("content-type", SDP);
    let response = request.body(OBS).send().await.unwrap();
    assert_eq!(response.status(), 403);
    let problem: serde_json::Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!((problem["code"].as_u64(), problem["reason"].as_str()), (Some(106), Some("forbidden")));
    let elsewhere = token_with("alice", u64::from(u32::MAX), &["other:*=publish"]);
    let request = house.bare(Method::POST, PATH).bearer_auth(elsewhere).header("content-type", SDP);
    assert_eq!(request.body(OBS).send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn s42_the_token_may_stand_in_the_url() {
    let house = House::build().await;
    let path = format!("{PATH}?token={}", token("alice"));
    let response =
        house.bare(Method::POST, &path).header("content-type", SDP).body(OBS).send().await.unwrap();
    assert_eq!(response.status(), 201);
    let twice = format!("{path}&token={}", token("bob"));
    let response =
        house.bare(Method::POST, &twice).header("content-type", SDP).body(OBS).send().await.unwrap();
    assert_eq!(response.status(), 401);
}

#[tokio::test]
async fn s44_layers_are_wanted() {
    let house = House::build().await;
    let answer = house.post(PATH, CHROMIUM).await.text().await.unwrap();
    assert!(answer.contains("a=simulcast:recv q;h;f\r\n"), "{answer}");
}

#[tokio::test]
async fn s46_no_extension_is_advertised_that_is_not_there() {
    let house = House::build().await;
    assert!(links(&house.post(PATH, OBS).await).iter().all(|link| !link.contains("urn:ietf:params:whip")));
}

#[tokio::test]
async fn s47_s74_who_asks_too_often_is_told_to_wait() {
    let house = House::with(Settings { posts: 3, changes: 3, ..Settings::default() }).await;
    for (method, path) in
        [(Method::POST, PATH), (Method::DELETE, "/whip/live:a/x"), (Method::PATCH, "/whep/live:a/x")]
    {
        let mut refused = None;
        for _ in 0..4 {
            let response = house.ask(method.clone(), path).send().await.unwrap();
            refused = Some(response).filter(|response| response.status() == 429);
        }
        let refused = refused.expect("there is a limit");
        assert!(header(&refused, "retry-after").parse::<u32>().unwrap() >= 1);
    }
    assert_eq!(house.bare(Method::OPTIONS, PATH).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn s48_s74_nobody_guesses_a_session() {
    let house = House::build().await;
    let mut seen = HashSet::new();
    for stream in 0..8 {
        let (session, _) = house.publish(&format!("live:{stream}")).await;
        let key = session.rsplit('-').next().unwrap().to_owned();
        assert_eq!(key.len(), 32, "128 bits");
        // By chance alone all of the first bits are hardly the same twice.
        assert!(seen.insert(key[..12].to_owned()));
    }
}

#[tokio::test]
async fn s49_refusals_are_problems() {
    let house = House::build().await;
    let response = house.post(PATH, "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\nm=video").await;
    assert_eq!(header(&response, "content-type"), "application/problem+json");
    let problem: serde_json::Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(
        (problem["status"].as_u64(), problem["code"].as_u64(), problem["reason"].as_str()),
        (Some(400), Some(122), Some("bad_sdp"))
    );
    assert!(problem["detail"].as_str().unwrap().starts_with("line 3: "), "{problem}");
    let response = house.post("/whip/no%20room", OBS).await;
    assert_eq!(response.status(), 400);
    assert_eq!(house.ask(Method::PUT, PATH).send().await.unwrap().status(), 405);
}
