//! The keys that name a Redis Cluster.

use std::net::SocketAddr;
use std::time::Duration;

use turnpike_daemon::config::{List, Secret, Setting};
use turnpike_daemon::{choice, section};

section! {
    /// The Redis Cluster that the nodes of a system share. Without one, this process is the whole system.
    pub(crate) struct Redis in "redis" {
        /// Some of its processes; the others are found through them. Several, so that one may be away. Not set: no Redis.
        nodes: List<HostPort> = "", "REDIS_NODES";
        /// User of Redis. Not set: the one called `default`.
        username: Option<String> = "", "REDIS_USERNAME";
        /// Password of that user.
        password: Option<Secret> = "", "REDIS_PASSWORD";
        /// Begins every key, so that several systems can share a cluster. All nodes of a system have the same.
        prefix: Prefix = "tp", "TURNPIKE_REDIS_PREFIX";
        /// What the answer to a message means: `replicated`, its master and the replicas of that have it; `stored`, its master has it.
        durability: Durability = "replicated", "TURNPIKE_DURABILITY";
        /// Replicas that a message must have reached to be replicated. A master with fewer refuses messages.
        replicas_min: usize = "1", "TURNPIKE_REPLICAS_MIN", "1" to "5";
        /// How long a message is tried, through failovers, before its sender is told to try again.
        publish_deadline: Duration = "5s", "TURNPIKE_PUBLISH_DEADLINE", "500ms" to "1m";
        /// How long anything else is tried.
        call_deadline: Duration = "5s", "TURNPIKE_REDIS_CALL_DEADLINE", "500ms" to "1m";
        /// A connection that takes longer to be made, or to answer, is given up and made anew.
        reply_deadline: Duration = "1s", "TURNPIKE_REDIS_REPLY_DEADLINE", "100ms" to "30s";
    }
}

choice! {
    pub(crate) enum Durability {
        Replicated = "replicated",
        Stored = "stored",
    }
    expects "`replicated` or `stored`"
}

/// Where a server is reached, by name or address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostPort {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Setting for HostPort {
    const EXPECTS: &'static str = "`host:port`, such as `redis-1.internal:6379` or `[::1]:6379`";

    fn parse(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').ok_or("has no port")?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or("has no port after the colon")?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bare.is_none() && host.contains(':') {
            return Err("has an IPv6 address without brackets, or a scheme".into());
        }
        let host = bare.unwrap_or(host);
        if host.is_empty() || host.contains(|letter: char| letter.is_whitespace() || "/@[]".contains(letter))
        {
            return Err("has no host".into());
        }
        Ok(Self { host: host.into(), port })
    }

    fn show(&self) -> String {
        let Self { host, port } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

/// Letters, digits, `-`, `_` and `.`: it stands inside of hash tags, where a brace would change the slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prefix(String);

impl Prefix {
    const BYTES_MAX: usize = 32;

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Setting for Prefix {
    const EXPECTS: &'static str = "1 to 32 letters, digits, `-`, `_` or `.`";

    fn parse(text: &str) -> Result<Self, String> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if text.is_empty() || text.len() > Self::BYTES_MAX || !text.bytes().all(allowed) {
            return Err("is no prefix".into());
        }
        Ok(Self(text.into()))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// An address and a port that others can connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Advertised(pub(crate) SocketAddr);

impl Setting for Advertised {
    const EXPECTS: &'static str = "an IP address and a port, such as `10.0.0.5:3010` or `[fd00::5]:3010`";

    fn parse(text: &str) -> Result<Self, String> {
        let address: SocketAddr = text.parse().map_err(|_| "is not an IP address with a port")?;
        if address.ip().is_unspecified() || address.port() == 0 {
            return Err("is nothing that others could connect to".into());
        }
        Ok(Self(address))
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for text in ["127.0.0.1:7000", "redis-1.internal:6379", "[::1]:6379"] {
            assert_eq!(HostPort::parse(text).unwrap().show(), text);
        }
        for text in
            ["", "a", "a:", ":1", "a:0", "a:70000", "::1:6379", "redis://a:1", "user@a:1", "a b:1", "[]:1"]
        {
            assert!(HostPort::parse(text).is_err(), "{text}");
        }
        for text in ["10.0.0.5:3010", "[fd00::5]:3010"] {
            assert_eq!(Advertised::parse(text).unwrap().show(), text);
        }
        for text in ["0.0.0.0:3010", "10.0.0.5", "10.0.0.5:0", "host:3010", "[::]:1"] {
            assert!(Advertised::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn prefixes_cannot_change_the_slot() {
        assert!(Prefix::parse("shop-1.eu").is_ok());
        for text in ["", "a{b", "a}", "a:b", "a b", "ä", &"x".repeat(33)] {
            assert!(Prefix::parse(text).is_err(), "{text}");
        }
    }
}
