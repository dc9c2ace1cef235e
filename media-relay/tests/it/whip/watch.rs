//! The endpoint of viewers.

use reqwest::Method;
use turnpike_sdp::{Description, Direction, Setup};

use super::house::{House, OBS, SAFARI, SDP, header, links, token_with};

const PATH: &str = "/whep/live:a";

#[tokio::test]
async fn s59_every_section_of_the_answer_is_sendonly() {
    let house = House::build().await;
    house.publish("live:a").await;
    let response = house.post(PATH, SAFARI).await;
    assert_eq!(response.status(), 201);
    assert_eq!(header(&response, "content-type"), SDP);
    assert!(header(&response, "location").starts_with("/whep/live:a/"));
    let answer = Description::parse(&response.text().await.unwrap()).unwrap();
    assert!(answer.media.iter().all(|media| media.direction == Direction::SendOnly));
    house.settles_at((1, 1)).await;
}

#[tokio::test]
async fn s60_who_watches_receives() {
    let house = House::build().await;
    house.publish("live:a").await;
    for (direction, status) in [("recvonly", 201), ("sendrecv", 201), ("sendonly", 400), ("inactive", 400)] {
        let offer = SAFARI.replace("a=recvonly", &format!("a={direction}"));
        assert_eq!(house.post(PATH, &offer).await.status(), status, "{direction}");
    }
}

/// What a browser makes of our offer.
fn answer(offer: &str) -> String {
    let mut answer = Description::parse(offer).unwrap();
    for media in &mut answer.media {
        (media.direction, media.setup) = (Direction::RecvOnly, Some(Setup::Active));
        media.msids.clear();
        media.sources.clear();
        media.groups.clear();
    }
    answer.to_string()
}

#[tokio::test]
async fn s61_s64_s65_s66_who_has_no_offer_gets_one() {
    let house = House::build().await;
    house.publish("live:a").await;
    let response = house.ask(Method::POST, PATH).header("content-type", SDP).send().await.unwrap();
    assert_eq!(response.status(), 406);
    assert_eq!(header(&response, "content-type"), SDP);
    let session = header(&response, "location");
    let offer = response.text().await.unwrap();
    let read = Description::parse(&offer).unwrap();
    assert!(read.media.iter().all(|media| media.direction == Direction::SendOnly));
    assert!(read.media.iter().all(|media| media.setup == Some(Setup::ActPass)));
    let patch = async |body: String| {
        let request = house.ask(Method::PATCH, &session).header("content-type", SDP).body(body);
        request.send().await.unwrap().status()
    };
    assert_eq!(patch("nonsense".to_owned()).await, 400);
    assert_eq!(patch(offer.clone()).await, 400, "an offer is no answer");
    assert_eq!(patch(answer(&offer)).await, 204);
    assert_eq!(patch(answer(&offer)).await, 415, "nothing waits for an answer any more");
    // Without a type either.
    assert_eq!(house.ask(Method::POST, PATH).send().await.unwrap().status(), 406);
}

#[tokio::test]
async fn s61_candidates_before_the_answer_are_too_early() {
    let house = House::build().await;
    house.publish("live:a").await;
    let response = house.ask(Method::POST, PATH).send().await.unwrap();
    let (session, etag) = (header(&response, "location"), header(&response, "etag"));
    let early = super::house::fragment("abcd", super::house::CANDIDATE);
    assert_eq!(house.patch(&session, &etag, &early).await.status(), 409);
}

#[tokio::test]
async fn s67_s68_head_is_get_without_more() {
    let house = House::build().await;
    house.publish("live:a").await;
    let (session, _) = house.watch("live:a").await;
    for path in [PATH, &session] {
        let [head, get] = [Method::HEAD, Method::GET].map(|method| house.ask(method, path).send());
        let (head, get) = (head.await.unwrap(), get.await.unwrap());
        assert_eq!((head.status().as_u16(), get.status().as_u16()), (200, 200));
        assert_eq!(header(&head, "content-type"), SDP);
        let names = |response: &reqwest::Response| {
            let mut names: Vec<String> = response
                .headers()
                .iter()
                .filter(|(name, _)| *name != "date")
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(&head), names(&get));
        assert_eq!(get.text().await.unwrap(), "");
    }
}

#[tokio::test]
async fn s69_s70_who_comes_too_early_is_told_when_to_come_back() {
    let house = House::build().await;
    let response = house.post(PATH, SAFARI).await;
    assert_eq!(response.status(), 409);
    assert!(header(&response, "retry-after").parse::<u32>().unwrap() >= 1);
    house.publish("live:a").await;
    assert_eq!(house.post(PATH, SAFARI).await.status(), 201);
}

#[tokio::test]
async fn s71_at_most_one_of_each_and_at_least_one() {
    let house = House::build().await;
    house.publish("live:a").await;
    let second = SAFARI.split("m=video").nth(1).unwrap().replace("a=mid:1", "a=mid:2");
    let two = format!("{SAFARI}m=video{second}").replace("BUNDLE 0 1", "BUNDLE 0 1 2");
    assert_eq!(house.post(PATH, &two).await.status(), 400);
    let none = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";
    assert_eq!(house.post(PATH, none).await.status(), 400);
    let video = SAFARI.split("m=audio").next().unwrap().replace("BUNDLE 0 1", "BUNDLE 1")
        + "m=video"
        + SAFARI.split("m=video").nth(1).unwrap();
    let answer = house.post(PATH, &video).await.text().await.unwrap();
    assert_eq!(answer.matches("a=msid:turnpike ").count(), 1);
}

#[tokio::test]
async fn s72_what_else_could_be_sent_is_agreed_beforehand() {
    let house = House::build().await;
    house.publish("live:a").await;
    let answer = house.post(PATH, SAFARI).await.text().await.unwrap();
    let video = answer.lines().find(|line| line.starts_with("m=video")).unwrap();
    assert_eq!(video, "m=video 9 UDP/TLS/RTP/SAVPF 98 99 96 97 100 101", "H.264 as it is sent, and VP8");
}

#[tokio::test]
async fn s73_options_says_what_is_taken() {
    let house = House::build().await;
    let response = house.bare(Method::OPTIONS, PATH).send().await.unwrap();
    assert_eq!((response.status().as_u16(), &*header(&response, "accept-post")), (200, SDP));
}

#[tokio::test]
async fn s34_no_codec_in_common_names_both() {
    let house = House::build().await;
    house.publish("live:a").await;
    let offer = SAFARI.replace("H264/90000", "H265/90000");
    let response = house.post(PATH, &offer).await;
    assert_eq!(response.status(), 422);
    let problem: serde_json::Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(problem["code"], 124);
    assert!(problem["detail"].as_str().unwrap().contains("taken H264 (42e01f, mode 1)"), "{problem}");
    assert_eq!(house.streams().await, (1, 0));
}

#[tokio::test]
async fn s41_who_may_publish_may_not_therefore_watch() {
    let house = House::build().await;
    house.publish("live:a").await;
    let token = token_with("carol", u64::from(u32::MAX), &["live:*=publish"]);
    let request = house.bare(Method::POST, PATH).bearer_auth(token).header("content-type", SDP);
    assert_eq!(request.body(SAFARI).send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn s75_s81_extensions_have_links_of_their_own() {
    let house = House::build().await;
    house.publish("live:a").await;
    let response = house.post(PATH, SAFARI).await;
    let session = header(&response, "location");
    let extensions: Vec<_> =
        links(&response).into_iter().filter(|link| link.contains("urn:ietf:params")).collect();
    assert_eq!(
        extensions,
        [
            format!(
                "<{session}/events>; rel=\"urn:ietf:params:whep:ext:core:server-sent-events\"; events=\"active,inactive,layers,viewercount,reconnect\""
            ),
            format!("<{session}/layer>; rel=\"urn:ietf:params:whep:ext:core:layer\""),
        ]
    );
    assert!(links(&house.post("/whip/live:b", OBS).await).iter().all(|link| !link.contains("whep")));
}
