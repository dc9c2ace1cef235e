//! Sessions and who they are of: their ids cannot be guessed, nothing public stands for them, and a foreign one is no session.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

use turnpike_engine::{EngineConfig, Noticed};

use super::http::{Answer, Http};
use super::lab::Lab;

const POLLING: &str = "/socket.io/?EIO=4&transport=polling";
const UNKNOWN: &str = r#"{"code":1,"message":"Session ID unknown"}"#;
const UPGRADE: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

async fn ask(lab: &Lab, line: &str, headers: &str, body: &str) -> Answer {
    let mut http: Http = lab.http().await;
    let length = body.len();
    let request = format!("{line} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {length}\r\n\r\n{body}");
    http.write(request.as_bytes()).await;
    http.answer().await.expect("an answer")
}

fn sid_of(open: &Answer) -> String {
    open.body.split('"').nth(3).expect("a session id").to_owned()
}

/// All three ways to use a session of this id.
async fn is_refused(lab: &Lab, sid: &str, headers: &str) {
    for (line, more, body) in [
        (format!("GET {POLLING}&sid={sid}"), "", ""),
        (format!("POST {POLLING}&sid={sid}"), "", "40"),
        (format!("GET /socket.io/?EIO=4&transport=websocket&sid={sid}"), UPGRADE, ""),
    ] {
        let answer = ask(lab, &line, &format!("{headers}{more}"), body).await;
        assert_eq!((answer.status, &*answer.body), (400, UNKNOWN), "{line}");
    }
}

#[tokio::test]
async fn whatever_is_close_to_the_id_of_a_session_is_none() {
    let lab = Lab::start(EngineConfig { shards: 2, ..Lab::config() });
    let session = lab.polling().await;
    let socket = session.enter().await;
    let (front, secret) = session.sid.rsplit_once('.').expect("it has parts");
    let (node, shard) = front.rsplit_once('.').expect("it has parts");
    assert_eq!(secret.len(), 22, "128 bits");
    let other_shard = if shard == "0" { "1" } else { "0" };
    let other = |letter: char| if letter == 'A' { 'B' } else { 'A' };
    let first: String = secret.chars().take(1).map(other).chain(secret.chars().skip(1)).collect();
    let last_but_one: String = secret
        .chars()
        .take(20)
        .chain(secret.chars().skip(20).take(1).map(other))
        .chain(secret.chars().skip(21))
        .collect();
    for sid in [
        format!("{node}.{other_shard}.{secret}"),
        format!("{node}.{shard}.{first}"),
        format!("{node}.{shard}.{last_but_one}"),
        format!("{node}.{shard}.{}", secret.to_lowercase()),
        format!("{node}.{shard}.{}", &secret[..21]),
        format!("{node}.{shard}.{secret}A"),
        format!("{node}.{shard}.{secret}="),
        format!("{node}.{shard}.{secret}%00"),
        format!("{node}.{shard}.{socket}"),
        format!("{node}.{shard}.{socket}AA"),
        format!("other.{shard}.{secret}"),
        format!("{shard}.{secret}"),
        secret.to_owned(),
        socket,
        String::new(),
        "..".to_owned(),
    ] {
        is_refused(&lab, &sid, "").await;
    }
    assert_eq!(session.post("42[\"echo\"]").await.body, "ok", "it is none the worse for it");
    let noticed = lab.app.door.noticed.lock().expect("no panics").clone();
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    assert_eq!(noticed, vec![(here, Noticed::SessionUnknown); 16 * 3]);
}

#[tokio::test]
async fn ids_do_not_repeat_and_have_nothing_in_common() {
    let lab = Lab::start(Lab::config());
    let mut seen = HashSet::new();
    let mut letters = vec![HashSet::new(); 21];
    for _ in 0..300 {
        let sid = lab.polling().await.sid;
        let secret = sid.rsplit('.').next().expect("it has parts").to_owned();
        for (at, letter) in secret.chars().take(21).enumerate() {
            letters[at].insert(letter);
        }
        assert!(seen.insert(secret));
    }
    // 300 draws of 64 letters miss no more than a few of them; the last letter has but two bits.
    assert!(letters.iter().all(|letters| letters.len() > 48), "{letters:?}");
}

#[tokio::test]
async fn a_session_that_began_with_a_bearer_is_of_that_bearer() {
    let lab = Lab::start(EngineConfig { shards: 2, ..Lab::config() });
    let (alice, bob) = ("authorization: Bearer alice\r\n", "authorization: Bearer bob\r\n");
    let sid = sid_of(&ask(&lab, &format!("GET {POLLING}"), alice, "").await);
    is_refused(&lab, &sid, bob).await;
    let poll = format!("{POLLING}&sid={sid}");
    for (method, body) in [("GET", ""), ("POST", "40")] {
        assert_eq!(ask(&lab, &format!("{method} {poll}"), "", body).await.body, UNKNOWN, "without it");
    }
    assert_eq!(ask(&lab, &format!("POST {poll}"), alice, "40").await.body, "ok");
    assert!(ask(&lab, &format!("GET {poll}"), alice, "").await.body.starts_with("40{"));
    // A browser's websocket cannot bear it.
    let upgrade = format!("GET /socket.io/?EIO=4&transport=websocket&sid={sid}");
    assert_eq!(ask(&lab, &upgrade, UPGRADE, "").await.status, 101);
    // One that began without is of whoever knows it.
    let open = lab.polling().await;
    assert_eq!(ask(&lab, &format!("POST {POLLING}&sid={}", open.sid), bob, "40").await.body, "ok");
}

#[tokio::test]
async fn a_session_that_began_on_a_websocket_has_no_other_way_in() {
    let lab = Lab::start(Lab::config());
    let address = lab.server.local_addr();
    let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
    let stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
    let (socket, _) = tokio_tungstenite::client_async(url, stream).await.expect("it upgrades");
    let mut client = super::lab::Client { socket, sid: String::new(), pid: None };
    let open = client.text().await;
    let sid = open.split('"').nth(3).expect("a session id").to_owned();
    is_refused(&lab, &sid, "").await;
    client.enter("40").await;
}
