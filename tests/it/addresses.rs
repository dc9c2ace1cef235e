//! Where clients come from, as a real node sees it: behind proxies that are believed, by the PROXY header, by lists of networks
//! and by countries. Whoever is denied shows whom a request was taken for.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use turnpike_lab::{Directory, Node, country_file};

/// Reaching it means that something is broken.
const BROKEN: Duration = Duration::from_secs(30);

/// Machines of this one.
const PROXY: u8 = 2;
const STRANGER: u8 = 3;

const POLLING: &str = "GET /socket.io/?EIO=4&transport=polling";
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

async fn connect(from: u8, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, from)), 0)).unwrap();
    socket.connect(to).await.unwrap()
}

/// The status of the answer. None: the connection was closed without one.
async fn status(stream: &mut TcpStream) -> Option<u16> {
    let mut start = [0; 12];
    let read =
        tokio::time::timeout(BROKEN, stream.read_exact(&mut start)).await.expect("an answer or an end");
    read.ok()?;
    assert!(start.starts_with(b"HTTP/1.1 "), "{}", start.escape_ascii());
    Some(std::str::from_utf8(&start[9..]).unwrap().parse().unwrap())
}

/// Says something, and asks behind it.
async fn say_and_ask(node: &Node, from: u8, first: &[u8], line: &str, headers: &str) -> Option<u16> {
    let mut stream = connect(from, node.gateway).await;
    let request = format!("{line} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", node.gateway);
    // It may have been closed already.
    let _ = stream.write_all(&[first, request.as_bytes()].concat()).await;
    status(&mut stream).await
}

async fn ask(node: &Node, from: u8, line: &str, headers: &str) -> Option<u16> {
    say_and_ask(node, from, b"", line, headers).await
}

async fn text(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(BROKEN, stream.read_to_string(&mut answer))
        .await
        .expect("an answer in time")
        .unwrap();
    answer
}

async fn metric(node: &Node, name: &str) -> u64 {
    let metrics = text(node.admin, "/metrics").await;
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

/// Every way in.
fn entrances() -> [(&'static str, &'static str, u16); 5] {
    [
        (POLLING, "", 200),
        ("GET /socket.io/?EIO=4&transport=websocket", UPGRADE, 101),
        ("GET /ws", UPGRADE, 101),
        ("GET /api/v1/info/health", "", 200),
        ("GET /live", "", 200),
    ]
}

#[tokio::test]
async fn a_client_behind_a_proxy_is_the_one_that_the_proxy_saw() {
    let node = Node::start(&[
        ("TURNPIKE_TRUSTED_PROXIES", "127.0.0.2,10.0.0.0/8,fd00::/8"),
        ("TURNPIKE_ADDRESS_DENY", "203.0.113.66,2001:db8:bad::/48"),
    ])
    .unwrap();
    for (headers, denied) in [
        ("", false),
        ("X-Forwarded-For: 203.0.113.66", true),
        ("X-Forwarded-For: 203.0.113.66:4711", true),
        ("X-Forwarded-For: ::ffff:203.0.113.66", true),
        ("X-Forwarded-For: [2001:db8:bad::1]:80", true),
        ("X-Forwarded-For: 203.0.113.66, 10.1.2.3", true),
        ("X-Forwarded-For: 203.0.113.66\r\nX-Forwarded-For: fd00::1, 10.1.2.3", true),
        ("x-forwarded-for: 198.51.100.1,203.0.113.66", true),
        ("Forwarded: for=203.0.113.66", true),
        ("Forwarded: for=\"[2001:db8:bad::1]:80\";proto=https, for=10.0.0.1", true),
        ("X-Forwarded-For: 203.0.113.67", false),
        // Whatever the denied client sends before it, what the proxy adds is what counts.
        ("X-Forwarded-For: 198.51.100.1, 203.0.113.66", true),
        ("X-Forwarded-For: 127.0.0.1, 203.0.113.66", true),
        ("X-Forwarded-For: 10.0.0.1, 203.0.113.66", true),
        ("X-Forwarded-For: unknown, garbage, \"\r\nX-Forwarded-For: 203.0.113.66", true),
        ("Forwarded: for=198.51.100.1\r\nX-Forwarded-For: 203.0.113.66", true),
        ("Forwarded: for=\"198.51.100.1, for=203.0.113.66", true),
        ("Forwarded: for=\"a\\\r\nForwarded: for=203.0.113.66", true),
        ("X-Real-IP: 198.51.100.1\r\nTrue-Client-IP: 198.51.100.1\r\nX-Forwarded-For: 203.0.113.66", true),
        // And it is denied nobody else's place.
        ("X-Forwarded-For: 203.0.113.66, 203.0.113.67", false),
        ("X-Forwarded-For: 203.0.113.66, unknown", false),
        ("X-Forwarded-For: 203.0.113.66\r\nX-Forwarded-For: 203.0.113.67, 10.0.0.1", false),
        ("Forwarded: for=203.0.113.66\r\nX-Forwarded-For: 203.0.113.67", false),
        ("X-Real-IP: 203.0.113.66", false),
    ] {
        let headers = if headers.is_empty() { String::new() } else { format!("{headers}\r\n") };
        for (line, more, allowed) in entrances() {
            let expected = if denied { 403 } else { allowed };
            let found = ask(&node, PROXY, line, &format!("{headers}{more}")).await;
            assert_eq!(found, Some(expected), "{line} {headers}");
        }
    }
    assert_eq!(metric(&node, "turnpike_gateway_forwarded_headers_ignored_total").await, 0);
}

#[tokio::test]
async fn the_word_of_a_stranger_counts_for_nothing() {
    let node = Node::start(&[
        ("TURNPIKE_TRUSTED_PROXIES", "127.0.0.2"),
        ("TURNPIKE_ADDRESS_DENY", "203.0.113.66,127.0.0.66"),
    ])
    .unwrap();
    for headers in ["X-Forwarded-For: 203.0.113.66\r\n", "Forwarded: for=203.0.113.66\r\n"] {
        for (line, more, allowed) in entrances() {
            assert_eq!(
                ask(&node, STRANGER, line, &format!("{headers}{more}")).await,
                Some(allowed),
                "{line}"
            );
        }
    }
    // Nor does it help somebody who is denied, who is not even read.
    for headers in ["", "X-Forwarded-For: 127.0.0.1\r\n", "Forwarded: for=127.0.0.2\r\n"] {
        for (line, more, _) in entrances() {
            assert_eq!(ask(&node, 66, line, &format!("{headers}{more}")).await, None, "{line}");
        }
    }
    assert_eq!(metric(&node, "turnpike_gateway_forwarded_headers_ignored_total").await, 10);
    assert_eq!(metric(&node, "turnpike_gateway_connections_turned_away_total").await, 15);
    // An operator who has forgotten a proxy is told.
    assert!(node.logs("TURNPIKE_TRUSTED_PROXIES"), "{}", node.log());
}

#[tokio::test]
async fn a_session_is_refused_as_soon_as_its_client_is() {
    let node =
        Node::start(&[("TURNPIKE_TRUSTED_PROXIES", "127.0.0.2"), ("TURNPIKE_ADDRESS_DENY", "203.0.113.66")])
            .unwrap();
    let mut stream = connect(STRANGER, node.gateway).await;
    let request = format!("{POLLING} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (_, rest) = answer.split_once("\"sid\":\"").unwrap();
    let line = format!("{POLLING}&sid={}", rest.split('"').next().unwrap());
    let denied = ask(&node, PROXY, &line, "X-Forwarded-For: 203.0.113.66\r\n").await;
    assert_eq!(denied, Some(403), "though it knows the session");
    assert_eq!(
        ask(&node, PROXY, &format!("{line}x"), "").await,
        Some(400),
        "which is nobody's by another name"
    );
}

/// By PROXY version 2.
fn introduction(command: u8, client: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend_from_slice(&[0x20 | command, 0x11, 0, 12]);
    header.extend_from_slice(&client);
    header.extend_from_slice(&[10, 0, 0, 1, 0x12, 0x34, 0, 80]);
    header
}

#[tokio::test]
async fn a_balancer_introduces_its_clients() {
    let node = Node::start(&[
        ("TURNPIKE_PROXY_PROTOCOL", "127.0.0.2"),
        ("TURNPIKE_TRUSTED_PROXIES", "198.51.100.0/24"),
        ("TURNPIKE_ADDRESS_DENY", "203.0.113.66"),
        ("TURNPIKE_HTTP_HEADER_TIMEOUT", "3s"),
    ])
    .unwrap();
    let (denied, other) = ([203, 0, 113, 66], [203, 0, 113, 67]);
    for (line, more, allowed) in entrances() {
        let ask = async |first: &[u8], headers: &str| {
            say_and_ask(&node, PROXY, first, line, &format!("{headers}{more}")).await
        };
        assert_eq!(ask(&introduction(1, other), "").await, Some(allowed), "{line}");
        assert_eq!(ask(&introduction(1, denied), "").await, None, "{line}: its connection is not read on");
        assert_eq!(ask(&introduction(0, denied), "").await, Some(allowed), "{line}: the balancer itself");
        // Behind the balancer there is a proxy, or somebody who says so.
        let header = "X-Forwarded-For: 203.0.113.66\r\n";
        assert_eq!(ask(&introduction(1, [198, 51, 100, 7]), header).await, Some(403), "{line}");
        assert_eq!(ask(&introduction(1, other), header).await, Some(allowed), "{line}");
        // What is no such header, whatever it is.
        assert_eq!(ask(b"", "").await, None, "{line}");
        assert_eq!(ask(b"PROXY TCP4 203.0.113.67 10.0.0.1 4660 80\r\n", "").await, None, "{line}");
        assert_eq!(ask(&introduction(1, other)[..14], "").await, None, "{line}");
        assert_eq!(ask(&introduction(2, other), "").await, None, "{line}");
        // From anywhere else it is no header.
        let found = say_and_ask(&node, STRANGER, &introduction(1, denied), line, more).await;
        assert_eq!(found, Some(400), "{line}");
        assert_eq!(say_and_ask(&node, STRANGER, b"", line, more).await, Some(allowed), "{line}");
    }
    // Half a header is not waited for.
    let mut half = connect(PROXY, node.gateway).await;
    half.write_all(&introduction(1, other)[..7]).await.unwrap();
    assert_eq!(status(&mut half).await, None);
    assert_eq!(metric(&node, "turnpike_gateway_introductions_refused_total").await, 5 * 4 + 1);
}

/// A balancer on the same machine: the node's own question whether it answers comes from there as well.
#[tokio::test]
async fn a_node_that_wants_to_be_introduced_to_is_ready_all_the_same() {
    let node = Node::start(&[("TURNPIKE_PROXY_PROTOCOL", "127.0.0.0/8")]).unwrap();
    let ready = async {
        while !text(node.admin, "/ready").await.starts_with("HTTP/1.1 200") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(BROKEN, ready).await.expect("it becomes ready");
    assert_eq!(ask(&node, STRANGER, POLLING, "").await, None);
}

#[tokio::test]
async fn only_those_on_the_list_may_come_in() {
    let node = Node::start(&[
        ("TURNPIKE_TRUSTED_PROXIES", "127.0.0.2"),
        ("TURNPIKE_ADDRESS_ALLOW", "127.0.0.4,203.0.113.0/24"),
        ("TURNPIKE_ADDRESS_DENY", "203.0.113.66"),
        ("TURNPIKE_ADDRESS_EXEMPT", "127.0.0.1"),
    ])
    .unwrap();
    for (line, more, allowed) in entrances() {
        for (from, headers, expected) in [
            (4, "", Some(allowed)),
            (STRANGER, "", None),
            (1, "", Some(allowed)),
            (PROXY, "X-Forwarded-For: 203.0.113.7\r\n", Some(allowed)),
            (PROXY, "X-Forwarded-For: 203.0.113.66\r\n", Some(403)),
            (PROXY, "X-Forwarded-For: 198.51.100.1\r\n", Some(403)),
            // The proxy itself may knock, and is no client.
            (PROXY, "", Some(403)),
        ] {
            let found = ask(&node, from, line, &format!("{headers}{more}")).await;
            assert_eq!(found, expected, "{line} from {from} {headers}");
        }
    }
}

#[tokio::test]
async fn countries_are_asked_for_and_the_file_may_come_later() {
    let directory = Directory::new("countries").unwrap();
    let path = directory.path().join("countries.mmdb");
    let log = directory.path().join("audit");
    let node = Node::start(&[
        ("AUDIT_DIR", log.to_str().unwrap()),
        ("TURNPIKE_TRUSTED_PROXIES", "127.0.0.2"),
        ("TURNPIKE_COUNTRY_FILE", path.to_str().unwrap()),
        ("TURNPIKE_COUNTRY_ALLOW", "DE,FR"),
        ("TURNPIKE_COUNTRY_UNKNOWN", "deny"),
    ])
    .unwrap();
    let of = async |client: &str| ask(&node, PROXY, POLLING, &format!("X-Forwarded-For: {client}\r\n")).await;
    assert!(node.logs("there is no database of countries"), "{}", node.log());
    assert_eq!(of("203.0.113.1").await, Some(403), "the policy holds for everybody");
    assert_eq!(ask(&node, STRANGER, POLLING, "").await, Some(200), "but for those who are exempt");
    let until = async |client: &str, expected: u16| {
        let comes = async {
            while of(client).await != Some(expected) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(BROKEN, comes).await.expect("the file is read again");
    };
    let first = country_file(&[("203.0.113.0/24", "DE"), ("198.51.100.0/24", "US"), ("2001:db8::/32", "FR")]);
    std::fs::write(&path, first).unwrap();
    until("203.0.113.1", 200).await;
    for (client, expected) in [
        ("198.51.100.1", 403),
        ("2001:db8::1", 200),
        ("::ffff:203.0.113.9", 200),
        ("2001:db9::1", 403),
        ("192.0.2.1", 403),
        ("2002:cb00:7109::1", 403),
    ] {
        assert_eq!(of(client).await, Some(expected), "{client}");
    }
    // A file that is broken changes nothing, and another one does.
    std::fs::write(&path, b"half of a file").unwrap();
    std::fs::write(&path, country_file(&[("198.51.100.0/24", "DE"), ("203.0.113.0/24", "US")])).unwrap();
    until("198.51.100.1", 200).await;
    assert_eq!(of("203.0.113.1").await, Some(403));
    assert_eq!(metric(&node, "turnpike_country_file_built_timestamp_seconds").await, 1_700_000_000);
    // On record with the country, if it is known.
    let refused_of = |country: &str| {
        let files = std::fs::read_dir(&log).unwrap().flatten();
        let text: String =
            files.map(|file| std::fs::read_to_string(file.path()).unwrap_or_default()).collect();
        let mut records = text.lines().filter(|line| line.contains("\"country_refused\""));
        records.any(|record| record.contains(country))
    };
    let written = async {
        while !(refused_of("\"country\":\"US\"") && refused_of("\"203.0.113.1\"")) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(BROKEN, written).await.expect("the records are there");
    assert!(!refused_of("\"country\":\"DE\""));
}
