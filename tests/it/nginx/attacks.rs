//! What no honest client sends, through nginx to a node and, where it matters, to a router without nginx.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::edge::{BROKEN, Edge, House, Kind, Processes};

const HANDSHAKE: &str = "/socket.io/?EIO=4&transport=polling";
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Whoever is honest is served all the time.
fn serves(edge: &Edge) {
    let answer = edge.get(HANDSHAKE);
    assert!(answer.starts_with("HTTP/2 200") && answer.contains("\"sid\":\"n"), "{answer}\n{}", edge.log());
}

fn statuses(answer: &str) -> Vec<u16> {
    let after = answer.split("HTTP/1.1 ").skip(1);
    after.filter_map(|rest| rest.get(..3)?.parse().ok()).collect()
}

fn new_sessions(answer: &str) -> usize {
    answer.matches("0{\"sid\":").count()
}

#[test]
fn who_sends_slowly_is_closed() {
    let sooner = [
        ("client_header_timeout 10s", "client_header_timeout 1s"),
        ("client_body_timeout 10s", "client_body_timeout 1s"),
        ("keepalive_timeout 65s", "keepalive_timeout 1s"),
    ];
    let house = House::with(Kind::Alone, Processes::One, &sooner, &[]);
    let edge = &house.edge;
    let post =
        format!("POST {HANDSHAKE}&sid=n1.0.x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n4");
    let drips =
        ["", "G", "GET / HTTP/1.1\r\nHost: localhost\r\nX: ", &post, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"];
    let mut lines: Vec<_> = drips
        .iter()
        .cycle()
        .take(60)
        .map(|begin| {
            let mut line = edge.connect();
            line.send(begin);
            line
        })
        .collect();
    let begun = Instant::now();
    while lines.iter_mut().any(super::edge::Line::is_open) {
        assert!(begun.elapsed() < BROKEN, "some are still there");
        // A letter of a header now and then puts nothing off.
        for line in lines.iter_mut().skip(2).step_by(drips.len()) {
            line.send("x");
        }
        serves(edge);
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn headers_have_a_limit() {
    let house = House::start(Kind::Alone);
    let edge = &house.edge;
    let long = "x".repeat(20_000);
    for (request, expected) in [
        (format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"), 414),
        (format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\nConnection: close\r\n\r\n"), 400),
        (
            format!(
                "GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
                format!("X: {}\r\n", &long[..9_000]).repeat(9)
            ),
            400,
        ),
        (format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: x\r\n".repeat(20_000)), 400),
    ] {
        assert_eq!(statuses(&edge.raw(&request)), [expected], "{}", &request[..60]);
        serves(edge);
    }
    // A token of the largest size fits.
    let token = format!("authorization: Bearer {}", "x".repeat(8_192));
    assert!(edge.curl(&["--header", &token, &edge.url("/api/v1/info/health")]).starts_with("HTTP/2 200"));
    serves(edge);
}

/// A second request within the body of the first is never one.
fn smuggled() -> Vec<(&'static str, String)> {
    let inner = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let post = "POST /socket.io/?EIO=4&transport=polling&sid=n1.0.x HTTP/1.1\r\nHost: localhost\r\n";
    let length = inner.len();
    let chunked = format!("0\r\n\r\n{inner}");
    let all = chunked.len();
    vec![
        (
            "both, length first",
            format!("{post}Content-Length: {all}\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}"),
        ),
        (
            "both, coding first",
            format!("{post}Transfer-Encoding: chunked\r\nContent-Length: {all}\r\n\r\n{chunked}"),
        ),
        ("two lengths", format!("{post}Content-Length: 0\r\nContent-Length: {length}\r\n\r\n{inner}")),
        ("a list of lengths", format!("{post}Content-Length: 0, {length}\r\n\r\n{inner}")),
        ("a length with a sign", format!("{post}Content-Length: +{length}\r\n\r\n{inner}")),
        (
            "a space before the colon",
            format!("{post}Transfer-Encoding : chunked\r\nContent-Length: {all}\r\n\r\n{chunked}"),
        ),
        (
            "an unknown coding",
            format!("{post}Transfer-Encoding: xchunked\r\nContent-Length: {all}\r\n\r\n{chunked}"),
        ),
        (
            "codings in the wrong order",
            format!("{post}Transfer-Encoding: chunked, identity\r\nContent-Length: {all}\r\n\r\n{chunked}"),
        ),
        (
            "two codings",
            format!(
                "{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: {all}\r\n\r\n{chunked}"
            ),
        ),
        (
            "a vertical tab",
            format!("{post}Transfer-Encoding: \x0bchunked\r\nContent-Length: {all}\r\n\r\n{chunked}"),
        ),
        (
            "a folded line",
            format!("{post}X: x\r\n Transfer-Encoding: chunked\r\nContent-Length: {all}\r\n\r\n{chunked}"),
        ),
        (
            "a bare line feed",
            format!("{post}X: x\nTransfer-Encoding: chunked\r\nContent-Length: {all}\r\n\r\n{chunked}"),
        ),
        (
            "a bare carriage return",
            format!("{post}X: x\rTransfer-Encoding: chunked\r\nContent-Length: {all}\r\n\r\n{chunked}"),
        ),
        (
            "a coding in HTTP/1.0",
            format!("{post}Transfer-Encoding: chunked\r\nContent-Length: {all}\r\n\r\n{chunked}")
                .replace("HTTP/1.1\r\nHost", "HTTP/1.0\r\nHost"),
        ),
        (
            "a length named by Connection",
            format!("{post}Connection: content-length\r\nContent-Length: {length}\r\n\r\n{inner}"),
        ),
        (
            "a chunk that is too large for a number",
            format!("{post}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff0\r\n{inner}"),
        ),
    ]
}

/// Either it is refused and the connection ends, or all of it is one request and its body. The inner one would begin a session.
fn begins_nothing(what: &str, answer: &str) {
    assert_eq!(new_sessions(answer), 0, "{what}: {answer}");
    assert!(statuses(answer).len() <= 1, "{what}: {answer}");
}

#[test]
fn no_request_is_hidden_in_another() {
    for kind in [Kind::Alone, Kind::WithRouters] {
        let house = House::start(kind);
        for (what, request) in smuggled() {
            let request = request.replacen("\r\nHost", "\r\nConnection: close\r\nHost", 1);
            let answer = house.edge.raw(&request);
            // A folded or broken line is nginx's to drop: then the length counts, and the rest is a body.
            begins_nothing(what, &answer);
            serves(&house.edge);
        }
        // Somebody else's next request on nginx's connections to nodes has its own answer, not that of a hidden one.
        for _ in 0..20 {
            assert!(house.edge.get("/api/v1/info/health").contains("\"status\":\"ok\""));
        }
        for router in &house.routers {
            for (what, request) in smuggled() {
                let request = request.replacen("\r\nHost", "\r\nConnection: close\r\nHost", 1);
                let mut stream = TcpStream::connect(router.gateway).unwrap();
                stream.set_read_timeout(Some(BROKEN)).unwrap();
                stream.write_all(request.as_bytes()).unwrap();
                let mut answer = Vec::new();
                // It may end in a reset: not all of it was read.
                let _ = stream.read_to_end(&mut answer);
                begins_nothing(&format!("{what}, at a router"), &String::from_utf8_lossy(&answer));
            }
        }
    }
}

#[test]
fn a_session_id_chooses_among_nodes_and_nothing_else() {
    let house = House::start(Kind::Alone);
    let edge = &house.edge;
    let admin = house.pair.nodes[0].admin;
    for sid in [
        "",
        ".",
        "..",
        "n1",
        "n1.",
        "n1.0",
        "n1.0.",
        "n9.0.AAAAAAAAAAAAAAAAAAAAAA",
        "N1.0.x",
        "n1.x.y",
        "xn1.0.y",
        &format!("http://{admin}/"),
        &admin.to_string(),
        "127.0.0.1:1",
        "gateways",
        "n1.0.x@127.0.0.1:1",
        "unix:/x",
        "n1.0.x%0d%0aHost:%20evil",
        "n1.0.x%00",
        "%6e1.0.x",
        "n1.0.x/../../metrics",
        "$host",
        "${turnpike_node}",
        "n1.0.x;n2.0.y",
        "n1.0.x&sid=n2.0.y",
        "n2.0.y&sid=n1.0.x",
        "n1.0.%F0%9F%98%80",
        &"n1.0.".repeat(1_000),
    ] {
        let url = edge.url(&format!("{HANDSHAKE}&sid={sid}"));
        for method in ["GET", "POST"] {
            let answer = edge.curl(&["--globoff", "--path-as-is", "--request", method, &url]);
            assert!(answer.starts_with("HTTP/2 400"), "{sid}: {answer}");
            assert!(answer.contains("Session ID unknown"), "{sid}: {answer}");
        }
    }
    // Letters that have no place in a request.
    for sid in ["n1.0.x\0", "n1.0.\x01", "n1 .0.x", "n1.0.x\n", "\u{ff}"] {
        let answer = edge.raw(format!(
            "GET {HANDSHAKE}&sid={sid} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        ));
        assert!(
            statuses(&answer).iter().all(|status| *status == 400) && new_sessions(&answer) == 0,
            "{sid:?}: {answer}"
        );
    }
    for stream in ["..", "%2e%2e", "a%2fb", "live:1/../../metrics", &format!("@{admin}"), "$host"] {
        let answer =
            edge.curl(&["--globoff", "--path-as-is", "--data", "v=0", &edge.url(&format!("/whip/{stream}"))]);
        let status: u16 = answer.split(' ').nth(1).unwrap().parse().unwrap();
        assert!([400, 401, 404, 415].contains(&status), "{stream}: {answer}");
    }
    serves(edge);
}

#[test]
fn only_a_websocket_is_an_upgrade() {
    let house = House::start(Kind::Alone);
    let edge = &house.edge;
    let ask = |path: &str, headers: &str, version: &str| {
        edge.raw(format!("GET {path} {version}\r\nHost: localhost\r\n{headers}\r\n"))
    };
    let close = "Connection: close\r\n";
    let websocket = "/socket.io/?EIO=4&transport=websocket";
    for headers in [
        String::from(close),
        UPGRADE.replace("websocket", "h2c").replace("Upgrade\r", "Upgrade, HTTP2-Settings\r")
            + "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
        UPGRADE.replace("websocket", "websocketx"),
        UPGRADE.replace("websocket", "tls/1.0, websocket"),
        UPGRADE.replace("Version: 13", "Version: 8"),
        UPGRADE.replace("Version: 13", "Version: 13, 8"),
        UPGRADE.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"),
        UPGRADE.replace("Sec-WebSocket-Key", "X"),
        UPGRADE.replace("Sec-WebSocket-Version", "X"),
    ] {
        for path in [websocket, "/ws"] {
            let mut line = edge.connect();
            line.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"));
            // Whatever it was, it is HTTP still: the next request on it is read as one.
            line.send(format!("GET /api/v1/info/health HTTP/1.1\r\nHost: localhost\r\n{close}\r\n"));
            let answer = line.rest();
            assert!(!statuses(&answer).contains(&101), "{path} {headers}: {answer}");
            assert!([400, 426].contains(&statuses(&answer)[0]), "{path} {headers}: {answer}");
        }
    }
    // Where no websocket is, none comes about, and no tunnel to a node.
    for path in ["/", "/api/v1/info/health", "/whep/live:1", "/socket.io/x/../../api/v1/info/health"] {
        let answer = ask(path, &(UPGRADE.to_owned() + close), "HTTP/1.1");
        assert!(!statuses(&answer).contains(&101), "{path}: {answer}");
    }
    let agreed = edge.upgrade(&["--header", "upgrade: WebSocket", &edge.url(websocket)]);
    assert!(agreed.starts_with("HTTP/1.1 101"), "{agreed}");
    serves(edge);
}

#[test]
fn old_and_odd_forms_of_requests_do_no_harm() {
    let house = House::start(Kind::Alone);
    let edge = &house.edge;
    let admin = house.pair.nodes[0].admin;
    // A whole address: its path counts, its host is nobody to go to.
    for (host, expected) in [("localhost", 200), ("evil.example.com", 421), (&*admin.to_string(), 421)] {
        let answer = edge.raw(format!(
            "GET http://{host}/api/v1/info/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        ));
        assert_eq!(statuses(&answer), [expected], "{host}: {answer}");
    }
    for (request, expected) in [
        ("GET /api/v1/info/health HTTP/1.1\r\nHost: evil.example.com\r\nConnection: close\r\n\r\n", 421),
        ("GET /api/v1/info/health HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        (
            "GET /api/v1/info/health HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\nConnection: close\r\n\r\n",
            400,
        ),
        ("GET /api/v1/info/health HTTP/1.1\r\nHost: local host\r\nConnection: close\r\n\r\n", 400),
        ("GET /api/v1/info/health HTTP/1.0\r\nHost: localhost\r\n\r\n", 200),
        ("GET /api/v1/info/health HTTP/3.0\r\nHost: localhost\r\n\r\n", 505),
        ("TRACE / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 405),
        ("\x16\x03\x01\r\n\r\n", 400),
    ] {
        assert_eq!(statuses(&edge.raw(request)), [expected], "{request:?}");
    }
    let tunnel = edge.raw("CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!([400, 405].contains(&statuses(&tunnel)[0]), "{tunnel}");
    // HTTP/0.9 names nobody whom it asks.
    let bare = edge.raw(format!("GET {HANDSHAKE}\r\n"));
    assert!(new_sessions(&bare) == 0 && bare.contains("421"), "{bare}");
    // Nor is HTTP/1.0 followed by a websocket.
    let websocket = HANDSHAKE.replace("polling", "websocket");
    let answer = edge.raw(format!("GET {websocket} HTTP/1.0\r\nHost: localhost\r\n{UPGRADE}\r\n"));
    assert_eq!(statuses(&answer), [400], "{answer}");
    serves(edge);
}
