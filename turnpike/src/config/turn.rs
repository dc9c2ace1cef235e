//! The keys of servers that help clients to reach the relay.

use std::net::Ipv6Addr;
use std::time::Duration;

use turnpike_daemon::config::{List, Secret, Setting};
use turnpike_daemon::section;

section! {
    /// Servers that help clients to reach the relay of live video from behind firewalls and NATs.
    pub(crate) struct Turn in "turn" {
        /// STUN and TURN servers, as clients reach them. Not set: none.
        urls: List<IceUrl> = "", "TURNPIKE_TURN_URLS";
        /// What the TURN servers check credentials with, at least 32 bytes; coturn calls it `static-auth-secret`. Required for `turn:` and `turns:`.
        secret: Option<Secret> = "", "TURNPIKE_TURN_SECRET";
        /// How long a credential is good for. Who relays already goes on after that.
        ttl: Duration = "10m", "TURNPIKE_TURN_TTL", "1m" to "10m";
    }
}

/// Each is in every `session` event, and browsers look at no more.
pub(crate) const URLS_MAX: usize = 16;

/// RFC 7064 and 7065.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IceUrl(String);

impl IceUrl {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the server asks for a credential.
    pub(crate) fn is_turn(&self) -> bool {
        self.0.starts_with("turn")
    }
}

impl Setting for IceUrl {
    const EXPECTS: &'static str = "URLs such as `turn:turn.example.com:3478?transport=udp`, `turns:turn.example.com` or `stun:stun.example.com`";

    fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once(':').ok_or("has no scheme")?;
        if !["stun", "stuns", "turn", "turns"].contains(&scheme) {
            return Err("has another scheme than stun, stuns, turn and turns".into());
        }
        if rest.starts_with("//") {
            return Err("has slashes behind the scheme, where the host belongs".into());
        }
        let (authority, query) = match rest.split_once('?') {
            Some((authority, query)) => (authority, Some(query)),
            None => (rest, None),
        };
        match query {
            Some(_) if scheme.starts_with("stun") => {
                return Err("has a transport, which only TURN servers are asked by".into());
            }
            Some("transport=udp" | "transport=tcp") | None => {}
            Some(_) => {
                return Err(
                    "has something else than `transport=udp` or `transport=tcp` behind the `?`".into()
                );
            }
        }
        let (host, port) = match authority.rsplit_once(':') {
            // The colons of an IPv6 address stand in brackets.
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        // It comes to stand in a header, between angle brackets.
        let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty()
                    && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
            }
        };
        if !is_host {
            return Err("has no host, or more than a host and a port".into());
        }
        if port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port > 0)) {
            return Err("has no port behind the last colon".into());
        }
        Ok(Self(text.into()))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        for (good, is_turn) in [
            ("stun:stun.example.com", false),
            ("stuns:stun.example.com:5349", false),
            ("turn:192.0.2.7:3478?transport=udp", true),
            ("turn:[2001:db8::1]", true),
            ("turns:[2001:db8::1]:443?transport=tcp", true),
        ] {
            let url = IceUrl::parse(good).unwrap();
            assert_eq!((url.show(), url.is_turn()), (good.to_owned(), is_turn));
        }
        for bad in [
            "",
            "turn",
            "turn:",
            "turn.example.com:3478",
            "https://turn.example.com",
            "turn://turn.example.com",
            "turn:turn.example.com:",
            "turn:turn.example.com:0",
            "turn:turn.example.com:65536",
            "turn:2001:db8::1",
            "turn:[2001:db8::1",
            "turn:alice:secret@turn.example.com",
            "turn:alice@turn.example.com",
            "turn:a b",
            "turn:a>b",
            "turn:a?transport=sctp",
            "turn:a?",
            "turn:a/b",
            "stun:a?transport=udp",
        ] {
            assert!(IceUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
