//! Under which names a listener on loopback is asked.
//!
//! A page can have its own name resolve to 127.0.0.1, and is then of the same origin as this listener to its browser (DNS
//! rebinding). What it cannot do is leave its name out of `Host`: so only names that lead nowhere else are answered.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

pub(super) async fn only_this_machine(request: Request, next: Next) -> Response {
    if is_of_this_machine(request.headers()) {
        return next.run(request).await;
    }
    let message = "this listener answers to addresses and to localhost, and to no other name\n";
    (StatusCode::MISDIRECTED_REQUEST, message).into_response()
}

fn is_of_this_machine(headers: &HeaderMap) -> bool {
    let mut given = headers.get_all(header::HOST).iter();
    match (given.next(), given.next()) {
        // HTTP/1.0, which no browser speaks.
        (None, _) => true,
        (Some(host), None) => host.to_str().is_ok_and(is_literal),
        (Some(_), Some(_)) => false,
    }
}

/// Whether no name server decides where `host`, with a port or without, leads to.
pub fn is_literal(host: &str) -> bool {
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (name, port) = match bracketed {
        Some((name, rest)) => (name, rest.strip_prefix(':').or_else(|| rest.is_empty().then_some(""))),
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, Some("")),
        },
    };
    let is_port = port.is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    let is_address = name.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6() == bracketed.is_some());
    is_port && (is_address || name.eq_ignore_ascii_case("localhost"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_nowhere_else() {
        for yes in
            ["127.0.0.1", "127.0.0.1:3011", "localhost", "LOCALHOST:1", "[::1]", "[::1]:3011", "10.0.0.7:1"]
        {
            assert!(is_literal(yes), "{yes}");
        }
        for no in [
            "",
            "evil.example",
            "evil.example:3011",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1:3011.evil.example",
            "::1",
            "[::1",
            "[::1]x",
            "[127.0.0.1]",
            "2130706433",
        ] {
            assert!(!is_literal(no), "{no}");
        }
    }
}
