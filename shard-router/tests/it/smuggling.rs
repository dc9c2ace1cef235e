//! Requests that two servers could read differently: what reaches a node is one request, the one that was meant, or none.

use crate::node::Mode;
use crate::stand::Stand;

/// What somebody wants to slip in.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nhost: evil\r\n\r\n";

async fn refused(request: &str) {
    let stand = Stand::start(1);
    let answer = stand.exchange(request).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{request:?}: {answer:?}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{request:?}: {answer}");
    assert_eq!(stand.nodes[0].seen(), [""; 0], "{request:?}");
}

#[tokio::test]
async fn a_body_of_two_lengths_is_refused() {
    for head in [
        "content-length: 5\r\ncontent-length: 6",
        "content-length: 5, 6",
        "content-length: +5",
        "content-length: 5x",
        "content-length: -1",
        "content-length: 99999999999999999999999",
        "transfer-encoding: identity",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: xchunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
    ] {
        refused(&format!("POST /api HTTP/1.1\r\nhost: r\r\n{head}\r\n\r\n0\r\n\r\n{HIDDEN}")).await;
    }
    refused(&format!("POST /api HTTP/1.0\r\nhost: r\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"))
        .await;
}

/// Chunks count (RFC 9112 6.3), the other length goes no further, and the connection ends behind the answer.
#[tokio::test]
async fn chunks_with_a_length_are_one_request_and_the_last() {
    for head in [
        "content-length: 5\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 44",
        "Transfer-Encoding: Chunked\r\nCONTENT-LENGTH: 0",
    ] {
        let stand = Stand::start(1);
        let answer = stand
            .exchange(format!(
                "POST /api HTTP/1.1\r\nhost: r\r\n{head}\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n{HIDDEN}"
            ))
            .await;
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{head:?}: {answer}");
        let seen = stand.nodes[0].seen();
        assert!(seen.len() <= 1, "{head:?}: {seen:?}");
        for request in seen {
            assert!(
                !request.contains("content-length") && !request.contains("hidden"),
                "{head:?}: {request}"
            );
            // The node answers before it has all, and then nobody needs the rest.
            let (_, body) = request.split_once("transfer-encoding: chunked\r\n\r\n").unwrap();
            assert!("2\r\n{}\r\n0\r\n\r\n".starts_with(body), "{head:?}: {request}");
        }
    }
}

#[tokio::test]
async fn a_head_that_can_be_read_in_two_ways_is_refused() {
    for head in [
        "x-folded: a\r\n\tcontent-length: 44",
        "x-folded: a\r\n content-length: 44",
        "transfer-encoding : chunked",
        "content-length : 44",
        " content-length: 44",
        "x\0y: 1",
        "x-null: a\0b",
        "x-cr: a\rcontent-length: 44",
        "no colon",
    ] {
        refused(&format!("POST /api HTTP/1.1\r\nhost: r\r\n{head}\r\n\r\n{HIDDEN}")).await;
    }
    for line in [
        "GET  /a HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /a HTTP/1.1 ",
        "GET /a\tHTTP/1.1",
        "\0GET /a HTTP/1.1",
        "GET /a HTTP/9.9",
    ] {
        let stand = Stand::start(1);
        let answer = stand.exchange(format!("{line}\r\nhost: r\r\n\r\n")).await;
        assert!(!answer.starts_with("HTTP/1.1 2"), "{line:?}: {answer}");
        assert_eq!(stand.nodes[0].seen(), [""; 0], "{line:?}");
    }
}

/// Lines that end in a bare line feed are read as any server reads them, and written anew.
#[tokio::test]
async fn bare_line_feeds_do_not_reach_a_node() {
    let stand = Stand::start(1);
    stand.exchange("GET /a HTTP/1.1\nhost: r\nx-a: 1\n\n").await;
    let seen = stand.nodes[0].seen();
    assert!(seen.len() <= 1, "{seen:?}");
    for request in seen {
        assert_eq!(request.matches('\n').count(), request.matches("\r\n").count(), "{request:?}");
        assert_eq!(request.matches("HTTP/1.1").count(), 1, "{request:?}");
    }
}

#[tokio::test]
async fn chunks_that_are_none_end_the_request() {
    for body in [
        format!("5;\r\nhello\r\n0\r\n\r\n{HIDDEN}").as_str(),
        "-1\r\nx\r\n0\r\n\r\n",
        "10000000000000000\r\nx\r\n",
        "5\r\nhelloworld\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
    ] {
        let stand = Stand::start(1);
        stand
            .exchange(format!("POST /api HTTP/1.1\r\nhost: r\r\ntransfer-encoding: chunked\r\n\r\n{body}"))
            .await;
        let hidden = stand.nodes[0]
            .seen()
            .iter()
            .filter(|seen| seen.contains("/api") && seen.contains("/hidden"))
            .count();
        assert_eq!(hidden, 0, "{body:?}: {:?}", stand.nodes[0].seen());
    }
}

/// What comes behind a request is a request of its own, with a way of its own.
#[tokio::test]
async fn requests_one_behind_the_other_are_answered_in_order() {
    let stand = Stand::start(2);
    let to = |node: &str| {
        format!("GET /socket.io/?EIO=4&transport=polling&sid={node}.0.secret HTTP/1.1\r\nhost: r\r\n\r\n")
    };
    let answer = stand.exchange(format!("{}{}{}", to("n0"), to("n1"), to("n0"))).await;
    let bodies: Vec<&str> = answer.split("\r\n\r\n").skip(1).filter_map(|part| part.get(..2)).collect();
    assert_eq!(bodies, ["n0", "n1", "n0"], "{answer}");
    for node in &stand.nodes {
        assert!(
            node.seen().iter().all(|seen| seen.contains(&format!("sid={}.", node.name))),
            "{:?}",
            node.seen()
        );
    }
}

/// Nobody tells a node who somebody else is, nor in whose name he asks.
#[tokio::test]
async fn what_speaks_of_connections_stays_with_them() {
    let stand = Stand::start(1);
    let head = "connection: keep-alive, x-forwarded-for, x-secret, content-length\r\nx-secret: 1\r\n\
                x-forwarded-for: 203.0.113.9\r\nforwarded: for=203.0.113.9\r\nproxy-authorization: x\r\nte: trailers\r\n\
                keep-alive: timeout=9";
    stand.exchange(format!("POST /api HTTP/1.1\r\nhost: r\r\n{head}\r\ncontent-length: 2\r\n\r\n{{}}")).await;
    let seen = stand.nodes[0].seen().remove(0).to_lowercase();
    for gone in ["x-secret", "203.0.113.9", "proxy-authorization", "te:", "keep-alive:"] {
        assert!(!seen.contains(gone), "{gone}: {seen}");
    }
    assert!(seen.contains("x-forwarded-for: 127.0.0.1\r\n") && seen.contains("content-length: 2"), "{seen}");
}

/// A node's name in a session's id leads to that node or to nobody, and a target in the request line to no other machine.
#[tokio::test]
async fn nobody_is_sent_where_no_node_is() {
    let stand = Stand::start(1);
    let other = crate::node::Node::start("other");
    let at = other.address;
    let mut requests: Vec<String> = [
        "127.0.0.1",
        &at.to_string(),
        "n9",
        "..",
        "n0@other",
        "n0%2f",
        &format!("n0:{}", at.port()),
    ]
    .iter()
    .map(|sid| {
        format!("GET /socket.io/?EIO=4&transport=polling&sid={sid}.0.secret HTTP/1.1\r\nhost: {at}\r\n\r\n")
    })
    .collect();
    requests.push(format!("GET http://{at}/live2 HTTP/1.1\r\nhost: {at}\r\n\r\n"));
    requests.push(format!("CONNECT {at} HTTP/1.1\r\nhost: {at}\r\n\r\n"));
    requests.push(format!("OPTIONS * HTTP/1.1\r\nhost: {at}\r\n\r\n"));
    requests.push(format!("GET //{at}/x HTTP/1.1\r\nhost: {at}\r\n\r\n"));
    requests.push(format!("GET @{at}/x HTTP/1.1\r\nhost: {at}\r\n\r\n"));
    requests.push(format!("GET /whip/a/{at} HTTP/1.1\r\nhost: {at}\r\n\r\n"));
    for request in requests {
        let answer = stand.exchange(&request).await;
        assert!(!answer.contains("other"), "{request:?}: {answer}");
        assert_eq!(other.seen(), [""; 0], "{request:?}");
    }
    stand.set(Mode::Answer);
    assert!(stand.exchange("GET /a HTTP/1.1\r\nhost: r\r\n\r\n").await.ends_with("n0"), "it serves on");
}
