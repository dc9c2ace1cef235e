//! The keys that say who is told what happens here.

use std::time::Duration;

use turnpike_daemon::config::{List, Secret, Setting};
use turnpike_daemon::{choice, section};

section! {
    /// Backends that are told by HTTP what happens here.
    pub(crate) struct Webhooks in "webhooks" {
        /// Where events are sent to. Not set: nowhere.
        url: Option<HttpUrl> = "", "TURNPIKE_WEBHOOK_URL";
        /// What requests are signed with, at least 32 bytes.
        secret: Option<Secret> = "", "TURNPIKE_WEBHOOK_SECRET";
        /// Requests are signed with this as well: the other secret while one is exchanged for another.
        secret_next: Option<Secret> = "", "TURNPIKE_WEBHOOK_SECRET_NEXT";
        /// Which events are sent.
        events: List<Event> = "connection.opened,connection.closed,message.offline,stream.started,stream.ended", "TURNPIKE_WEBHOOK_EVENTS";
        /// More receivers, each with the events that it wants: `EVENT+EVENT URL`, and `file:PATH` behind it if it has a secret of its own.
        others: List<Other> = "", "TURNPIKE_WEBHOOK_OTHERS";
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
        RoomOccupied = "room.occupied",
        RoomVacated = "room.vacated",
        StreamStarted = "stream.started",
        StreamEnded = "stream.ended",
    }
    expects "`connection.opened`, `connection.closed`, `message.offline`, `room.occupied`, `room.vacated`, `stream.started` or `stream.ended`"
}

/// Another receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Other {
    pub(crate) events: Vec<Event>,
    pub(crate) url: HttpUrl,
    /// That of the first receiver, unless it has one of its own.
    pub(crate) secret: Option<Secret>,
    /// Where that was read, to be shown in its place.
    secret_place: Option<String>,
}

impl Setting for Other {
    const EXPECTS: &'static str = "events, a URL and perhaps a file, such as `room.occupied+room.vacated https://rooms.example.com/ file:/run/secrets/rooms`";

    fn parse(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let (Some(events), Some(url)) = (words.next(), words.next()) else {
            return Err("has no events or no URL".into());
        };
        let (secret_place, more) = (words.next(), words.next());
        if more.is_some() || secret_place.is_some_and(|place| !place.starts_with("file:")) {
            return Err("has something behind the URL that is no `file:PATH`".into());
        }
        let events = events.split('+').map(|event| {
            Event::parse(event).map_err(|_| format!("has the event `{event}`, which there is none of"))
        });
        Ok(Self {
            events: events.collect::<Result<_, _>>()?,
            url: HttpUrl::parse(url)?,
            secret: secret_place.map(Secret::parse).transpose()?,
            secret_place: secret_place.map(ToOwned::to_owned),
        })
    }

    fn show(&self) -> String {
        let events: Vec<String> = self.events.iter().map(Event::show).collect();
        let place = self.secret_place.as_ref().map(|place| format!(" {place}")).unwrap_or_default();
        format!("{} {}{place}", events.join("+"), self.url.show())
    }
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
    fn other_receivers_are_read() {
        let path = std::env::temp_dir().join(format!("turnpike-other-{}", std::process::id()));
        std::fs::write(&path, "a secret of its own\n").unwrap();
        let text = format!("room.occupied+message.offline https://a.example/x file:{}", path.display());
        let other = Other::parse(&text).unwrap();
        assert_eq!(other.show(), text);
        assert_eq!(other.events, [Event::RoomOccupied, Event::MessageOffline]);
        assert_eq!(other.secret.unwrap().reveal(), "a secret of its own");
        std::fs::remove_file(&path).unwrap();
        let plain = "room.vacated http://a.example:81";
        assert_eq!(Other::parse(plain).unwrap().show(), plain);
        assert_eq!(Other::parse(plain).unwrap().secret, None);
        for bad in [
            "",
            "room.vacated",
            "https://a.example",
            "room.vacant https://a.example",
            "+ https://a.example",
            "room.vacated a.example",
            "room.vacated https://a.example the-secret-itself",
            "room.vacated https://a.example file:/nowhere/at/all",
            &format!("{text} more"),
        ] {
            assert!(Other::parse(bad).is_err(), "{bad}");
        }
    }

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
