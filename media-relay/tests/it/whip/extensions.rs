//! Events and layers of viewers.

use std::time::{Duration, Instant};

use reqwest::{Method, Response};
use serde_json::json;
use turnpike_media_relay::Notice;
use turnpike_wire::media::MediaSession;

use super::house::{CHROMIUM, House, PATIENCE, header, token};

const JSON: &str = "application/json";

/// Events as they come in, without comments.
struct Stream {
    response: Response,
    text: String,
}

impl Stream {
    /// None: the stream is over.
    async fn next(&mut self) -> Option<(String, serde_json::Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field =
                    |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                let found = field("event:").map(|name| {
                    assert_eq!(event.lines().filter(|line| line.starts_with("data:")).count(), 1, "one line");
                    (name.to_owned(), serde_json::from_str(field("data:").unwrap()).unwrap())
                });
                let rest = rest.to_owned();
                self.text = rest;
                if found.is_some() {
                    return found;
                }
                continue;
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.unwrap().unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    async fn until(&mut self, wanted: &str) -> serde_json::Value {
        loop {
            let (name, data) = self.next().await.expect("the stream goes on");
            if name == wanted {
                return data;
            }
        }
    }
}

async fn subscribe(house: &House, session: &str, events: &str) -> Response {
    let request = house.ask(Method::POST, &format!("{session}/events")).header("content-type", JSON);
    request.body(events.to_owned()).send().await.unwrap()
}

async fn listen(house: &House, session: &str, events: &str) -> (String, Stream) {
    let response = subscribe(house, session, events).await;
    assert_eq!(response.status(), 201);
    let path = header(&response, "location");
    let response = house.ask(Method::GET, &path).send().await.unwrap();
    assert_eq!(header(&response, "content-type"), "text/event-stream");
    (path, Stream { response, text: String::new() })
}

#[tokio::test]
async fn s82_events_are_asked_for_by_name() {
    let house = House::build().await;
    house.publish("live:a").await;
    let (session, _) = house.watch("live:a").await;
    let response = subscribe(&house, &session, r#"["active","inactive"]"#).await;
    assert_eq!(response.status(), 201);
    assert!(header(&response, "location").starts_with(&format!("{session}/events/")));
    for bad in [r#"["active","weather"]"#, r#"["scte35"]"#, "[]", "{}", "active", "[1]", ""] {
        assert_eq!(subscribe(&house, &session, bad).await.status(), 400, "{bad}");
    }
    let request = house.ask(Method::POST, &format!("{session}/events")).body(r#"["active"]"#);
    assert_eq!(request.send().await.unwrap().status(), 415);
    // Three more fit.
    for status in [201, 201, 201, 409] {
        assert_eq!(subscribe(&house, &session, r#"["active"]"#).await.status(), status);
    }
}

#[tokio::test]
async fn s83_s84_s89_s90_how_the_stream_is() {
    let house = House::build().await;
    let (publisher, _) = house.publish("live:a").await;
    let (session, _) = house.watch("live:a").await;
    let (_, mut events) = listen(&house, &session, r#"["active","inactive","viewercount"]"#).await;
    assert_eq!(events.until("viewercount").await["viewercount"], 1);
    house.watch("live:a").await;
    assert_eq!(events.until("viewercount").await["viewercount"], 2);
    let start = tokio::time::Instant::now();
    assert_eq!(house.ask(Method::DELETE, &publisher).send().await.unwrap().status(), 200);
    events.until("inactive").await;
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[tokio::test]
async fn s86_a_deleted_stream_is_gone() {
    let house = House::build().await;
    house.publish("live:a").await;
    let (session, _) = house.watch("live:a").await;
    let (path, mut events) = listen(&house, &session, r#"["reconnect"]"#).await;
    assert_eq!(house.ask(Method::DELETE, &path).send().await.unwrap().status(), 200);
    assert_eq!(events.next().await, None);
    assert_eq!(house.ask(Method::GET, &path).send().await.unwrap().status(), 404);
    assert_eq!(house.ask(Method::DELETE, &path).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn s86_anothers_events_are_not_there() {
    let house = House::build().await;
    house.publish("live:a").await;
    let (session, _) = house.watch("live:a").await;
    let (path, _events) = listen(&house, &session, r#"["reconnect"]"#).await;
    for (method, path) in [
        (Method::GET, path),
        (Method::POST, format!("{session}/events")),
        (Method::POST, format!("{session}/layer")),
    ] {
        let request = house.bare(method.clone(), &path);
        assert_eq!(request.send().await.unwrap().status(), 401);
        let request = house.bare(method, &path).bearer_auth(token("mallory"));
        assert_eq!(request.send().await.unwrap().status(), 404);
    }
}

#[tokio::test]
async fn s87_with_the_session_end_its_streams() {
    let house = House::build().await;
    house.publish("live:a").await;
    let (session, _) = house.watch("live:a").await;
    let (path, mut events) = listen(&house, &session, r#"["active","reconnect"]"#).await;
    assert_eq!(house.ask(Method::DELETE, &session).send().await.unwrap().status(), 200);
    while events.next().await.is_some() {}
    assert_eq!(house.ask(Method::GET, &path).send().await.unwrap().status(), 404);
    assert_eq!(subscribe(&house, &session, r#"["active"]"#).await.status(), 404);
}

#[tokio::test]
async fn s92_viewers_are_asked_to_come_back() {
    let house = House::build().await;
    house.publish("live:a").await;
    let (session, _) = house.watch("live:a").await;
    let (_, mut events) = listen(&house, &session, r#"["reconnect"]"#).await;
    let moves = json!({ "url": "/whep/live:a" });
    let session: MediaSession = session.rsplit('/').next().unwrap().parse().unwrap();
    house.relay.tell(session, Notice::Moving { until: Instant::now() + Duration::from_secs(8) });
    assert_eq!(events.until("reconnect").await, moves);
    house.settles_at((1, 1)).await;
    house.relay.dismiss(session).await;
    assert_eq!(events.until("reconnect").await, moves);
    assert_eq!(events.next().await, None);
    house.settles_at((1, 0)).await;
}

#[tokio::test]
async fn s91_s93_s94_s95_layers_are_chosen() {
    let house = House::build().await;
    let offer =
        CHROMIUM.replace("SAVPF 96 97 102", "SAVPF 106 107 102").replace(" 106 107 108", " 96 97 108");
    assert_eq!(house.post("/whip/live:a", &offer).await.status(), 201);
    let (session, _) = house.watch("live:a").await;
    let (_, mut events) = listen(&house, &session, r#"["layers"]"#).await;
    let layers = events.until("layers").await;
    let rids: Vec<_> = layers["1"].as_array().unwrap().iter().map(|layer| layer["rid"].clone()).collect();
    assert_eq!(rids.len(), 3, "{layers}");
    assert!(layers["1"].as_array().unwrap().iter().all(|layer| layer["bitrate"] == 0), "nothing comes yet");
    let choose = async |body: &str| {
        let request = house.ask(Method::POST, &format!("{session}/layer")).header("content-type", JSON);
        request.body(body.to_owned()).send().await.unwrap().status()
    };
    assert_eq!(choose(r#"{"mediaId":"1","rid":"q"}"#).await, 200);
    assert_eq!(choose(r#"{"mediaId":"1","maxTemporalLayerId":0,"maxHeight":360}"#).await, 200);
    assert_eq!(choose(r#"{"mediaId":"1"}"#).await, 200);
    for bad in [r#"{"mediaId":"9"}"#, r#"{"mediaId":"1","rid":"none"}"#, r#"{"rid":"q"}"#, "[]", ""] {
        assert_eq!(choose(bad).await, 400, "{bad}");
    }
}
