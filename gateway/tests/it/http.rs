//! What a browser or a probe gets.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use turnpike_engine::Origins;

use crate::client::Client;
use crate::house::House;

/// Status, headers in lower case, body.
pub(crate) async fn get(house: &House, path: &str, headers: &str) -> (u16, String, String) {
    request(house, "GET", path, headers, "").await
}

pub(crate) async fn request(
    house: &House,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> (u16, String, String) {
    let mut stream = TcpStream::connect(house.address()).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: gateway.test\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), head.to_lowercase(), body.to_owned())
}

#[tokio::test]
async fn health_and_what_is_not_there() {
    let house = House::start();
    let (status, head, body) = get(&house, "/api/v1/info/health", "").await;
    assert_eq!((status, &*body), (200, r#"{"status":"ok"}"#));
    assert!(
        head.contains("content-type: application/json") && head.contains("x-content-type-options: nosniff")
    );
    for path in ["/nothing", "/api/v1/nothing", "/socket.io", "/ws/more", "/%2e%2e/etc/passwd"] {
        let (status, head, body) = get(&house, path, "").await;
        let body: Value = serde_json::from_str(&body).unwrap_or_default();
        if status == 404 {
            assert_eq!(
                body,
                json!({ "ok": false, "error": {
                    "code": 101, "reason": "bad_request", "message": "there is nothing at this path", "retryable": false
                } }),
                "{path}"
            );
            assert!(head.contains("default-src 'none'"));
        } else {
            // The engine's own path without its slash.
            assert_eq!((path, status), ("/socket.io", 400));
        }
    }
    let (status, _, body) = request(&house, "DELETE", "/api/v1/info/health", "", "").await;
    assert_eq!(status, 405, "{body}");
    assert!(body.starts_with(r#"{"ok":false"#), "{body}");
}

#[tokio::test]
async fn the_page_brings_everything_itself() {
    let house = House::start();
    let (status, head, page) = get(&house, "/", "").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-security-policy: default-src 'none'; script-src 'self'"));
    assert!(head.contains("frame-ancestors 'none'"));
    assert!(
        !page.contains("http://")
            && !page.contains("https://")
            && !page.contains("<style")
            && !page.contains(" style=")
    );
    // Whatever the page and its scripts refer to is served, and what those refer to.
    let mut asked: Vec<String> = vec!["/".to_owned()];
    let mut next = 0;
    while let Some(path) = asked.get(next).cloned() {
        next += 1;
        let (status, head, content) = get(&house, &path, "").await;
        assert_eq!(status, 200, "{path}");
        let folder = &path[..=path.rfind('/').unwrap()];
        let marks: &[&str] = match (path.as_str(), head.contains("text/javascript")) {
            ("/", _) => &["href=\"", "src=\""],
            (_, true) => &["from \"./"],
            _ => &[],
        };
        for mark in marks {
            for rest in content.split(mark).skip(1) {
                let name = rest.split('"').next().unwrap();
                let referred =
                    if name.starts_with('/') { name.to_owned() } else { format!("{folder}{name}") };
                if !asked.contains(&referred) {
                    asked.push(referred);
                }
            }
        }
        // Known content is not sent again.
        let etag = head.lines().find_map(|line| line.strip_prefix("etag: w/")).unwrap();
        let (status, head, nothing) = get(&house, &path, &format!("if-none-match: {etag}\r\n")).await;
        assert_eq!((status, nothing.as_str()), (304, ""), "{head}");
        let (status, ..) = get(&house, &path, "if-none-match: \"another\"\r\n").await;
        assert_eq!(status, 200);
    }
    assert!(asked.iter().any(|path| path == "/lib/outbox.js") && asked.len() >= 12, "{asked:?}");
}

#[tokio::test]
async fn a_development_token_opens_the_door_and_only_in_development() {
    let house = House::start();
    let json_type = "content-type: application/json\r\n";
    let (status, head, body) = request(&house, "POST", "/dev/token", json_type, r#"{"user":"alice"}"#).await;
    assert_eq!(status, 200, "{body}");
    assert!(!head.contains("access-control"), "no other page may read it");
    let body: Value = serde_json::from_str(&body).unwrap();
    let (mut client, session) = Client::enter_with(&house, &json!({ "token": body["token"] })).await;
    assert_eq!(session["user"], "alice");
    client.join("any:room").await;
    for (kind, body) in [
        (json_type, r#"{"user":"a b"}"#),
        (json_type, "{}"),
        (json_type, r#"{"user":"alice","name":"a\u0007"}"#),
        ("content-type: text/plain\r\n", r#"{"user":"alice"}"#),
        ("", r#"{"user":"alice"}"#),
    ] {
        let (status, _, answer) = request(&house, "POST", "/dev/token", kind, body).await;
        assert_eq!(status, 400, "{body}: {answer}");
        assert!(answer.starts_with(r#"{"ok":false"#));
    }
    let production = House::with(|config| config.development = None);
    assert_eq!(request(&production, "POST", "/dev/token", json_type, r#"{"user":"alice"}"#).await.0, 404);
    assert_eq!(get(&production, "/", "").await.0, 404);
}

#[tokio::test]
async fn other_pages_read_the_api_as_configured() {
    let any = House::start();
    let (_, head, _) = get(&any, "/api/v1/info/health", "origin: https://app.example\r\n").await;
    assert!(head.contains("access-control-allow-origin: *") && !head.contains("credentials"));
    let listed = House::with(|config| {
        config.engine.origins = Origins::Listed(vec!["https://app.example".to_owned()]);
    });
    let (_, head, _) = get(&listed, "/api/v1/info/health", "origin: https://app.example\r\n").await;
    assert!(
        head.contains("access-control-allow-origin: https://app.example") && head.contains("vary: origin")
    );
    for origin in ["https://app.example.evil", "http://app.example", "null", "https://APP.example"] {
        let (status, head, _) = get(&listed, "/api/v1/info/health", &format!("origin: {origin}\r\n")).await;
        assert!(status == 403 && !head.contains("access-control"), "{origin}");
        let ask = format!("origin: {origin}\r\naccess-control-request-method: POST\r\n");
        let (status, head, _) = request(&listed, "OPTIONS", "/api/v1/anything", &ask, "").await;
        assert!(status == 403 && !head.contains("access-control"), "{origin}");
    }
    assert_eq!(get(&listed, "/api/v1/info/health", "").await.0, 200, "what is no page says no origin");
    let ask = "origin: https://app.example\r\naccess-control-request-method: POST\r\n";
    let (status, head, _) = request(&listed, "OPTIONS", "/api/v1/anything", ask, "").await;
    assert!(status == 204 && head.contains("access-control-allow-methods"), "{status} {head}");
}

#[tokio::test]
async fn metrics_bear_the_names_of_the_house() {
    let house = House::start();
    let _alice = Client::enter(&house, "alice").await;
    let names: Vec<String> = house.registry.gather().iter().map(|family| family.name().to_owned()).collect();
    assert!(names.iter().all(|name| name.starts_with("turnpike_")), "{names:?}");
    for name in ["turnpike_gateway_connections", "turnpike_gateway_sockets", "turnpike_gateway_websockets"] {
        assert_eq!(house.metric(name, &[]), 1, "{name}");
    }
}
