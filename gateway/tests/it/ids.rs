//! There is one form of an id, and no way around it: bad ones through every event that takes any, on both kinds of sockets,
//! and through every path of the HTTP API. And what only the server says, no client says.

use std::fmt::Write as _;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use turnpike_guard::Role;
use turnpike_wire::event::{ClientEvent, media, server};

use crate::client::Client;
use crate::house::{House, claims, grant, signed};
use crate::raw::Raw;

/// Not one of these is the name of anything.
fn bad() -> Vec<Value> {
    let mut bad: Vec<Value> = [
        "",
        " ",
        "a b",
        "a/b",
        "a\\b",
        "a\"b",
        "a'b",
        "a<b>",
        "a%62",
        "a\u{0}",
        "a\n",
        "\ta",
        "a\r\nSET x",
        "{a}",
        "[a]",
        "a*",
        "*",
        "a?",
        "a,b",
        "a;b",
        "a#b",
        "a+b",
        "a=b",
        "a|b",
        "a~",
        "a^",
        "a$",
        "a!",
        "a(b)",
        "é",
        "chat:ä",
        "\u{202e}a",
        "\u{feff}a",
        "ａ",
        "a\u{200b}",
        "😀",
        "\u{7f}",
        "../../etc",
        "__proto__ ",
        "${a}",
        "{{a}}",
    ]
    .map(Value::from)
    .into();
    bad.push("x".repeat(129).into());
    bad.push("x".repeat(100_000).into());
    bad.extend([
        json!(null),
        json!(5),
        json!(true),
        json!([]),
        json!(["a"]),
        json!({}),
        json!({ "a": 1 }),
        json!(1e300),
    ]);
    bad
}

/// Every event that names something, and with what besides it would be sound.
fn asked(id: &Value) -> Vec<(ClientEvent, Value)> {
    let all = vec![
        (ClientEvent::RoomJoin, json!({ "room": id })),
        (ClientEvent::RoomLeave, json!({ "room": id })),
        (ClientEvent::MessageSend, json!({ "room": id, "body": 1 })),
        (ClientEvent::MessageSend, json!({ "room": "chat:a", "id": id, "body": 1 })),
        (ClientEvent::MessageHistory, json!({ "room": id })),
        (ClientEvent::MessageReceived, json!({ "room": id, "seq": 1 })),
        (ClientEvent::MessageRead, json!({ "room": id, "seq": 1 })),
        (ClientEvent::TypingStart, json!({ "room": id })),
        (ClientEvent::TypingStop, json!({ "room": id })),
        (ClientEvent::PresenceList, json!({ "room": id })),
        (ClientEvent::PresenceList, json!({ "room": "chat:a", "cursor": id })),
        (ClientEvent::PresenceUpdate, json!({ "status": "online", "device": id })),
        (ClientEvent::MediaPublish, json!({ "stream": id, "sdp": "v=0\r\n" })),
        (ClientEvent::MediaSubscribe, json!({ "stream": id })),
        (ClientEvent::MediaRecord, json!({ "stream": id, "on": true })),
        (ClientEvent::MediaRestart, json!({ "session": id, "sdp": "v=0\r\n" })),
        (ClientEvent::MediaResume, json!({ "session": id })),
        (ClientEvent::MediaAnswer, json!({ "session": id, "sdp": "v=0\r\n" })),
        (ClientEvent::MediaCandidate, json!({ "session": id, "candidate": null })),
        (ClientEvent::MediaLayer, json!({ "session": id, "quality": "low" })),
        (ClientEvent::MediaMute, json!({ "session": id, "kind": "audio", "muted": true })),
        (ClientEvent::MediaStop, json!({ "session": id })),
    ];
    // What may be left out is as good as not there.
    let optional = |data: &Value| {
        id.is_null() && ["id", "cursor", "device"].iter().any(|field| data.get(field).is_some())
    };
    all.into_iter().filter(|(_, data)| !optional(data)).collect()
}

#[test]
fn no_event_is_forgotten() {
    let tried: Vec<ClientEvent> = asked(&json!("a b")).into_iter().map(|(event, _)| event).collect();
    for event in ClientEvent::ALL {
        let names_nothing = matches!(event, ClientEvent::AuthRefresh | ClientEvent::Ping);
        assert!(tried.contains(event) != names_nothing, "{}", event.name());
    }
}

fn everything() -> Value {
    let mut claims = claims("alice");
    claims.rooms = Some(vec![grant("*=join,send,history,presence,typing")]);
    claims.media = Some(vec!["*=publish,subscribe,record".parse().unwrap()]);
    json!({ "token": signed(&claims) })
}

#[tokio::test]
async fn bad_ids_through_every_event() {
    let house = House::start();
    let (mut alice, _) = Client::enter_with(&house, &everything()).await;
    alice.join("chat:a").await;
    let mut raw = Raw::open(&house, None).await;
    raw.send(&json!({ "id": 0, "event": "connect", "data": everything() })).await;
    assert_eq!(raw.next().await.unwrap()["ok"], true);
    assert_eq!(raw.next().await.unwrap()["event"], "session");
    raw.send(&json!({ "id": 0, "event": "room:join", "data": { "room": "chat:a" } })).await;
    assert_eq!(raw.next().await.unwrap()["ok"], true);
    let mut tried = 0;
    for id in bad() {
        for (event, data) in asked(&id) {
            let answer = alice.ask(event.name(), &data).await;
            assert_eq!(answer["error"]["reason"], "bad_request", "{} {data}", event.name());
            raw.send(&json!({ "id": 1, "event": event.name(), "data": data })).await;
            let answer = raw.next().await.unwrap();
            assert_eq!(answer["error"]["reason"], "bad_request", "/ws {} {data}", event.name());
            tried += 1;
        }
    }
    assert!(tried > 1_000, "{tried}");
    alice.has_nothing_more().await;
}

/// Names of devices and users come with the connect.
#[tokio::test]
async fn bad_ids_at_the_door() {
    let house = House::start();
    for id in bad().into_iter().filter(|id| !id.is_null()) {
        let mut auth = everything();
        auth["device"] = id.clone();
        let refused = Client::open(house.address()).await.connect(&auth).await.unwrap_err();
        assert_eq!(refused["data"]["reason"], "bad_request", "{id}: {refused}");
    }
}

#[tokio::test]
async fn bad_ids_through_every_path_of_the_api() {
    let house = House::start();
    let mut service = claims("backend");
    service.role = Role::Admin;
    let token = signed(&service);
    let document = request(&house, &token, "GET", "/api/v1/openapi.json", "").await.1;
    let document: Value = serde_json::from_str(&document).unwrap();
    let mut tried = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for name in ["room", "user", "stream"] {
            let parameter = format!("{{{name}}}");
            if !path.contains(&parameter) {
                continue;
            }
            for method in methods.as_object().unwrap().keys() {
                for id in bad() {
                    let Some(id) = id.as_str().filter(|id| !id.is_empty() && id.len() < 1_000) else {
                        continue;
                    };
                    let written = path
                        .replace(&parameter, &escaped(id))
                        .replace("{room}", "chat:a")
                        .replace("{user}", "bob");
                    let body = r#"{"from":"backend","body":1}"#;
                    let (status, answer) =
                        request(&house, &token, &method.to_uppercase(), &written, body).await;
                    assert_eq!(status, 400, "{method} {written}: {answer}");
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 200, "{tried}");
}

fn escaped(id: &str) -> String {
    id.bytes().fold(String::new(), |mut text, byte| {
        write!(text, "%{byte:02X}").unwrap();
        text
    })
}

async fn request(house: &House, token: &str, method: &str, path: &str, body: &str) -> (u16, String) {
    let address = house.address();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Sent by a client they are events that do not exist, and nobody hears of them.
#[tokio::test]
async fn what_the_server_says_no_client_says() {
    let house = House::start();
    let (mut alice, _) = Client::enter_with(&house, &everything()).await;
    let (mut bob, _) = Client::enter_with(&house, &everything()).await;
    alice.join("chat:a").await;
    bob.join("chat:a").await;
    for name in SERVER_EVENTS {
        assert_eq!(ClientEvent::parse(name), None, "{name}");
        for data in
            [json!({ "room": "chat:a", "body": 1, "seq": 1, "from": "bob" }), json!(null), json!("chat:a")]
        {
            let answer = alice.ask(name, &data).await;
            assert_eq!(answer["error"]["reason"], "unknown_event", "{name}: {answer}");
        }
    }
    alice.has_nothing_more().await;
    bob.has_nothing_more().await;
}

const SERVER_EVENTS: &[&str] = &[
    server::SESSION,
    server::MESSAGE,
    server::RESYNC,
    server::CLOSING,
    server::ERROR,
    server::EXPIRING,
    server::RECEIPT,
    server::TYPING,
    server::PRESENCE,
    media::MEDIA_OFFER,
    media::MEDIA_STATE,
];

/// The list above against the code: every name that the server has for what it says.
#[test]
fn no_event_of_the_server_is_forgotten() {
    let code = [
        include_str!("../../../crates/wire/src/event/server.rs"),
        include_str!("../../../crates/wire/src/event/media.rs"),
    ];
    let mut names = 0;
    for line in code.iter().flat_map(|code| code.lines()) {
        let Some((_, name)) = line.strip_prefix("pub const ").and_then(|rest| rest.split_once(": &str = \""))
        else {
            continue;
        };
        let name = name.trim_end_matches("\";");
        // Both sides have candidates, each of their own.
        if name != media::MEDIA_CANDIDATE {
            assert!(SERVER_EVENTS.contains(&name), "{name}");
            names += 1;
        }
    }
    assert_eq!(names, SERVER_EVENTS.len());
}
