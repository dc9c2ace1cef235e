//! The keys that say who is told what happens here.

use std::time::Duration;

use turnpike_daemon::config::{List, Secret, Setting};
use turnpike_daemon::{choice, section};

section! {
    /// A backend that is told by HTTP what happens here.
    pub(crate) struct Webhooks in "webhooks" {
        /// Where events are sent to. Not set: nowhere.
        url: Option<HttpUrl> = "", "TURNPIKE_WEBHOOK_URL";
        /// What requests are signed with, at least 32 bytes.
        secret: Option<Secret> = "", "TURNPIKE_WEBHOOK_SECRET";
        /// Requests are signed with this as well: the other secret while one is exchanged for another.
        secret_next: Option<Secret> = "", "TURNPIKE_WEBHOOK_SECRET_NEXT";
        /// Which events are sent.
        events: List<Event> = "connection.opened,connection.closed,message.offline", "TURNPIKE_WEBHOOK_EVENTS";
        /// Events may be sent to addresses that are not public: the own machine, the private network.
        allow_private: bool = "false", "TURNPIKE_WEBHOOK_ALLOW_PRIVATE";
        /// How long one attempt may take.
        timeout: Duration = "5s", "TURNPIKE_WEBHOOK_TIMEOUT", "100ms" to "1m";
        /// How long after an event it is still tried again.
        deadline: Duration = "10m", "TURNPIKE_WEBHOOK_DEADLINE", "1s" to "1d";
        /// Events that wait to be sent. Beyond it new ones are dropped.
        queue_max: usize = "10000", "TURNPIKE_WEBHOOK_QUEUE_MAX", "1" to "1000000";
    }
}

choice! {
    pub(crate) enum Event {
        ConnectionOpened = "connection.opened",
        ConnectionClosed = "connection.closed",
        MessageOffline = "message.offline",
    }
    expects "`connection.opened`, `connection.closed` or `message.offline`"
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpUrl(String);

impl HttpUrl {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Setting for HttpUrl {
    const EXPECTS: &'static str = "a URL such as `https://app.example.com/turnpike`";

    fn parse(text: &str) -> Result<Self, String> {
        let rest = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        let authority = rest.ok_or("begins with neither https:// nor http://")?;
        let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.is_empty() || text.contains(|letter: char| letter.is_whitespace()) {
            return Err("has no host, or contains spaces".into());
        }
        // It is printed, and logged.
        if authority.contains('@') {
            return Err("contains a name or a password".into());
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
        for good in ["https://a.example", "http://a.example:81/hook?x=1", "https://[::1]:3/"] {
            assert_eq!(HttpUrl::parse(good).unwrap().show(), good);
        }
        for bad in
            ["", "a.example", "ftp://a.example", "https://", "https:///x", "https://a b", "https://u:p@a"]
        {
            assert!(HttpUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
