//! One check of tokens at every entrance: a sample of bad ones over Socket.IO, the plain websocket, the HTTP API, WHIP and
//! WHEP of the running system. All there are and why each is refused is tried where tokens are checked.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::polling::Client;
use crate::process::{Directory, PATIENCE, System, get};

const SECRET: &str = "c3f1a97be0d2465890fe17ab34cd62b8";
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn signed(header: &str, payload: &str, secret: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn payload(more: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    format!(r#"{{"sub":"alice","exp":{},"role":"admin"{more}}}"#, now + 600)
}

fn bad() -> Vec<(&'static str, String)> {
    let sound = signed(HEADER, &payload(""), SECRET);
    let (message, _) = sound.rsplit_once('.').unwrap();
    let with_header = |header: &str| signed(header, &payload(""), SECRET);
    let with_payload = |more: &str| signed(HEADER, &payload(more), SECRET);
    vec![
        ("form", "x".to_owned()),
        ("form", message.to_owned()),
        ("encoding", format!("{sound}=")),
        ("signature", format!("{message}.")),
        ("signature", signed(HEADER, &payload(""), "another secret of thirty-two bytes")),
        ("algorithm", with_header(r#"{"alg":"none"}"#)),
        ("algorithm", with_header(r#"{"alg":"RS256"}"#)),
        ("header", with_header(r#"{"alg":"HS256","jku":"https://evil.example/"}"#)),
        ("type", with_header(r#"{"alg":"HS256","typ":"dpop+jwt"}"#)),
        ("duplicate", with_payload(r#","sub":"bob""#)),
        ("claim", with_payload(r#","rooms":"*""#)),
        ("claim", signed(HEADER, r#"{"sub":"alice"}"#, SECRET)),
        ("expired", signed(HEADER, r#"{"sub":"alice","exp":1700000000}"#, SECRET)),
        ("not_yet", with_payload(r#","nbf":4102444800"#)),
        ("issued_in_future", with_payload(r#","iat":4102444800"#)),
        ("audience", with_payload(r#","aud":"elsewhere""#)),
        ("depth", with_payload(&format!(r#","x":{}{}"#, "[".repeat(16), "]".repeat(16)))),
        ("too_large", with_payload(&format!(r#","x":"{}""#, "x".repeat(8_192)))),
    ]
}

/// All that comes back to a request with this in front of its body.
fn answer(address: &str, method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

fn refused_so_often(system: &System, reason: &str) -> u64 {
    let (_, metrics) = get(&system.admin, "/metrics");
    let line = format!("turnpike_gateway_tokens_refused_total{{reason=\"{reason}\"}} ");
    metrics.lines().find_map(|known| known.strip_prefix(&line)).map_or(0, |count| count.parse().unwrap())
}

#[test]
fn a_bad_token_is_one_everywhere() {
    let directory = Directory::new();
    let system = System::start_with(&directory, &[], &[("JWT_SECRET", SECRET)]);
    let status = |path: &str, method: &str, token: &str| {
        let kind = if path.starts_with("/wh") { "application/sdp" } else { "application/json" };
        let headers =
            format!("Connection: close\r\nContent-Type: {kind}\r\nAuthorization: Bearer {token}\r\n");
        let answer = String::from_utf8(answer(&system.gateway, method, path, &headers, "v=0\r\n")).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    let http = [
        ("/api/v1/users/alice", "GET"),
        ("/api/v1/streams/live:a/recording", "DELETE"),
        ("/whip/live:a", "POST"),
        ("/whep/live:a", "POST"),
    ];
    let sound = signed(HEADER, &payload(""), SECRET);
    for (path, method) in http {
        assert_ne!(status(path, method, &sound), "401", "{path}: the sound one is no stranger");
    }
    assert!(Client::enter(&system.gateway, &sound).receive("4").starts_with("40"));
    for (reason, token) in bad() {
        let before = refused_so_often(&system, reason);
        let told = Client::enter(&system.gateway, &token).receive("4");
        let code = if reason == "expired" { "\"code\":105" } else { "\"code\":104" };
        assert!(told.starts_with("44") && told.contains(code), "{reason}: {told}");
        // What of it was wrong is not for clients to know.
        assert!(reason == "expired" || !told.contains(reason), "{reason}: {told}");
        let plain = answer(
            &system.gateway,
            "GET",
            "/ws",
            &format!(
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                 Sec-WebSocket-Version: 13\r\nAuthorization: Bearer {token}\r\n"
            ),
            "",
        );
        let close: u16 = if reason == "expired" { 3501 } else { 1008 };
        let [first, second] = close.to_be_bytes();
        let is_closed = plain.windows(4).any(|frame| frame[0] == 0x88 && frame[2..] == [first, second]);
        assert!(is_closed, "{reason}: {}", String::from_utf8_lossy(&plain));
        assert!(!String::from_utf8_lossy(&plain).contains("\"session\""), "{reason}");
        for (path, method) in http {
            assert_eq!(status(path, method, &token), "401", "{reason} at {method} {path}");
        }
        let counted = refused_so_often(&system, reason) - before;
        assert!(counted >= 3, "{reason}: counted {counted} times");
    }
}
