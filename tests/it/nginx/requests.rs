//! What nginx itself does with requests: protocols, headers, sizes, paths, the log.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::edge::{BROKEN, Edge, House, Kind, Processes, said};

#[test]
fn both_configurations_are_sound() {
    for kind in [Kind::WithRouters, Kind::Alone] {
        let sound = Edge::check(kind);
        assert!(sound.status.success(), "{kind:?}: {}", said(&sound));
        assert!(!said(&sound).contains("[warn]"), "{kind:?}: {}", said(&sound));
    }
}

fn is_an_edge(kind: Kind) {
    let house = House::start(kind);
    let edge = &house.edge;
    let page = edge.curl(&["--http2", &edge.url("/api/v1/info/health")]).to_ascii_lowercase();
    assert!(page.starts_with("http/2 200"), "{page}");
    for header in
        ["strict-transport-security: max-age=", "x-content-type-options: nosniff", "x-frame-options: deny"]
    {
        assert_eq!(page.matches(header).count(), 1, "{header}: {page}");
    }
    assert!(!page.contains("server: nginx/"), "it does not say its version: {page}");
    assert!(edge.curl(&["--http1.1", &edge.url("/api/v1/info/health")]).starts_with("HTTP/1.1 200"));

    let plain =
        edge.curl(&["--header", "host: localhost", &format!("http://127.0.0.1:{}/x?y=1", edge.plain)]);
    assert!(plain.starts_with("HTTP/1.1 301") && plain.contains("https://localhost/x?y=1"), "{plain}");
    for version in ["1.0", "1.1"] {
        let old = edge.curl_output(&["--tls-max", version, &edge.url("/")]);
        assert!(!old.status.success(), "TLS {version} is refused: {}", said(&old));
    }
    for version in ["1.2", "1.3"] {
        let new =
            edge.curl(&[&format!("--tlsv{version}"), "--tls-max", version, &edge.url("/api/v1/info/health")]);
        assert!(new.starts_with("HTTP/2 200"), "TLS {version}: {new}");
    }

    // Who asks for nobody's name has no certificate, and no answer.
    let nobody = edge.curl_output(&["--insecure", &format!("https://127.0.0.1:{}/", edge.tls)]);
    assert!(!nobody.status.success(), "{}", said(&nobody));

    // Operators come another way.
    for path in [
        "/admin",
        "/admin/v1/users",
        "/metrics",
        "/live",
        "/ready",
        "/health",
        "//metrics",
        "/%6detrics",
        "/x/../metrics",
        "/v1/route?room=a",
    ] {
        let answer = edge.curl(&["--path-as-is", &edge.url(path)]);
        assert!(answer.starts_with("HTTP/2 404"), "{path}: {answer}");
        assert!(!answer.contains("turnpike_"), "{path}: {answer}");
    }
    // Somebody without a token is refused by a relay, not by nginx.
    for path in ["/whip/live:1", "/whep/live:1"] {
        let asked = ["--data", "v=0", "--header", "content-type: application/sdp", &edge.url(path)];
        assert!(edge.curl(&asked).starts_with("HTTP/2 401"), "{path}");
    }
    is_logged(edge);
}

#[test]
fn requests_through_nginx_and_routers() {
    is_an_edge(Kind::WithRouters);
}

#[test]
fn requests_through_nginx_alone() {
    is_an_edge(Kind::Alone);
}

/// One object a line, and no secret in it.
fn is_logged(edge: &Edge) {
    edge.get("/socket.io/?EIO=4&transport=polling&sid=n1.0.verysecretverysecretvs");
    edge.get("/api/v1/rooms?token=verysecret");
    edge.curl(&["--header", "user-agent: \"}{\\", &edge.url("/the-last%22%0d%0a%7b?token=verysecret")]);
    let lines = || fs::read_to_string(edge.root().join("turnpike.json")).unwrap();
    // They are written when the buffer's time is over.
    let begun = Instant::now();
    while !lines().contains("the-last") {
        assert!(begun.elapsed() < BROKEN, "{}", edge.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    for line in lines().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["status"].is_u64() && line["seconds"].is_f64(), "{line}");
        assert_eq!(line["address"], "127.0.0.1", "{line}");
    }
    assert!(!edge.log().contains("verysecret"), "{}", edge.log());
}

#[test]
fn bodies_have_a_limit_each_at_its_place() {
    let house = House::start(Kind::Alone);
    let edge = &house.edge;
    let file = edge.root().join("large");
    let data = format!("@{}", file.display());
    for (path, taken, refused) in [
        ("/socket.io/?EIO=4&transport=polling&sid=n1.0.x", 1_100_000, 1_300_000),
        ("/api/v1/rooms/a/messages", 1_000_000, 1_200_000),
        ("/whip/live:1", 60_000, 70_000),
        ("/other", 60_000, 70_000),
    ] {
        for (bytes, is_refused) in [(taken, false), (refused, true)] {
            fs::write(&file, vec![b'x'; bytes]).unwrap();
            // As long as it says, and without a word of it.
            for header in ["content-type: text/plain", "transfer-encoding: chunked"] {
                let answer =
                    edge.curl(&["--http1.1", "--header", header, "--data-binary", &data, &edge.url(path)]);
                assert_eq!(answer.contains("HTTP/1.1 413"), is_refused, "{path} {bytes} {header}: {answer}");
                if is_refused {
                    assert!(answer.contains("\"reason\":\"too_large\""), "{answer}");
                }
            }
        }
    }
}

#[test]
fn handshakes_of_one_address_have_a_limit() {
    let slower = [
        ("rate=50r/s", "rate=1r/s"),
        ("zone=turnpike_handshakes burst=200", "zone=turnpike_handshakes burst=20"),
    ];
    let house = House::with(Kind::Alone, Processes::One, &slower, &[]);
    let edge = &house.edge;
    let handshake = "/socket.io/?EIO=4&transport=polling";
    let opened = edge.get(handshake);
    let sid = opened.split("\"sid\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    // Nothing that a node takes for a handshake is taken for anything else here.
    for query in [
        "/?EIO=4&transport=polling",
        "?EIO=4&transport=polling",
        "/?EIO=4&transport=polling&SID=x",
        "/?EIO=4&transport=polling&sId=x&xsid=y",
        "/?EIO=4&transport=polling&%73id=x",
        "/?EIO=4&transport=polling#&sid=x",
        "/?EIO=4&transport=polling&x=?sid=1",
        "/?EIO=4&transport=polling&sid",
    ] {
        let answers = flood(edge, &format!("/socket.io{query}"), 40);
        let refused = answers.matches(" 429 ").count();
        assert!(refused >= 10, "{query}: {refused} of 40 were refused: {answers}");
        assert!(answers.to_ascii_lowercase().contains("retry-after: "), "{answers}");
        assert!(answers.contains("\"reason\":\"rate_limited\""), "{answers}");
    }
    // Who is in goes on.
    let session = format!("{handshake}&sid={sid}");
    assert!(edge.curl(&["--data-binary", "40", &edge.url(&session)]).starts_with("HTTP/2 200"));
    assert!(flood(edge, "/api/v1/info/health", 40).matches(" 200 ").count() >= 40);
    // So does somebody else.
    let other = edge.curl(&["--interface", "127.0.0.9", &edge.url(handshake)]);
    assert!(other.starts_with("HTTP/2 200"), "{other}");
}

/// The same again and again on one connection.
fn flood(edge: &Edge, path: &str, count: usize) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let last = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    edge.raw(request.repeat(count - 1) + &last)
}
