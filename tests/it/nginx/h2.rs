//! HTTP/2 by hand: what no library would send, and what becomes of it when nginx says it again in HTTP/1.1.

use super::edge::{House, Kind, Processes};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// On stream 1.
fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags, 0, 0, 0, 1]);
    bytes.extend_from_slice(payload);
    bytes
}

/// RFC 7541 6.2.2: literal, under a new name, not indexed, no Huffman code.
fn literals(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in headers {
        bytes.push(0);
        for text in [name, value] {
            bytes.push(u8::try_from(text.len()).unwrap());
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    bytes
}

fn request(headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let head = frame(HEADERS, END_HEADERS, &literals(headers));
    [PREFACE, &head, &frame(DATA, END_STREAM, body)].concat()
}

#[test]
fn no_request_is_hidden_in_one_of_http_2() {
    let inner = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let chunked = format!("0\r\n\r\n{inner}");
    let path = "/socket.io/?EIO=4&transport=polling&sid=n1.0.x";
    let usual = [(":method", "POST"), (":scheme", "https"), (":authority", "localhost"), (":path", path)];
    let with = |more: &[(&'static str, &'static str)]| [&usual[..], more].concat();
    let cases = [
        ("nothing", with(&[]), inner),
        ("a length of nought", with(&[("content-length", "0")]), inner),
        ("a length that is too large", with(&[("content-length", "9999")]), inner),
        ("two lengths", with(&[("content-length", "0"), ("content-length", "80")]), inner),
        ("a coding", with(&[("transfer-encoding", "chunked")]), &chunked),
        (
            "a coding and a length",
            with(&[("transfer-encoding", "chunked"), ("content-length", "0")]),
            &chunked,
        ),
        ("a connection", with(&[("connection", "upgrade"), ("upgrade", "websocket")]), inner),
        ("lines in a value", with(&[("x", "x\r\ntransfer-encoding: chunked")]), &chunked),
        ("a line feed in a value", with(&[("x", "x\n\nGET / HTTP/1.1")]), inner),
        ("lines in a name", with(&[("x: x\r\ny", "y")]), inner),
        ("a capital name", with(&[("Transfer-Encoding", "chunked")]), &chunked),
        ("a name with a colon", with(&[("transfer-encoding:x", "chunked")]), &chunked),
        ("two hosts", with(&[("host", "evil.example.com")]), inner),
        ("two paths", with(&[(":path", "/socket.io/?EIO=4&transport=polling")]), inner),
        ("a path behind headers", with(&[("x", "y"), (":path", "/x")]), inner),
    ];
    for kind in [Kind::Alone, Kind::WithRouters] {
        // Nothing more is to come: nginx closes soon behind its answer.
        let soon = [("keepalive_timeout 65s", "keepalive_timeout 100ms")];
        let house = House::with(kind, Processes::One, &soon, &[]);
        for (what, headers, body) in &cases {
            let answer = house.edge.raw_h2(&request(headers, body.as_bytes()));
            assert!(!answer.contains("0{\"sid\":"), "{what}: {answer:?}");
        }
        for path in [
            "/x HTTP/1.1\r\nHost: evil\r\n\r\n",
            "/socket.io/?EIO=4&transport=polling HTTP/1.1\r\nX: ",
            "x",
            "*",
            "",
        ] {
            let headers =
                [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", path)];
            let answer = house.edge.raw_h2(&request(&headers, b""));
            assert!(!answer.contains("0{\"sid\":"), "{path:?}: {answer:?}");
        }
        for method in ["GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nX:", "G ET", "get"] {
            let headers =
                [(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", "/")];
            let answer = house.edge.raw_h2(&request(&headers, b""));
            assert!(!answer.contains("0{\"sid\":"), "{method:?}: {answer:?}");
        }
        // Behind all of it each of nginx's connections to nodes gives answers to its own requests.
        for _ in 0..20 {
            assert!(house.edge.get("/api/v1/info/health").contains("\"status\":\"ok\""));
        }
        // So that it is no surprise that nothing came of them: the form is right.
        let plain = [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", "/socket.io/?EIO=4&transport=polling"),
        ];
        let answer = house.edge.raw_h2(&request(&plain, b""));
        assert!(answer.contains("0{\"sid\":"), "{answer:?}\n{}", house.edge.log());
    }
}
