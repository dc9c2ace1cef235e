//! Every configuration key of the product, and what must hold between them.
//!
//! A key stands here (or with its part in `turnpike-daemon`) once its feature exists, not before.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use turnpike_daemon::admin::Admin;
use turnpike_daemon::config::{ByteSize, List, Loaded, OrOff, Secret, Setting};
use turnpike_daemon::drain::DrainWindow;
use turnpike_daemon::log::Log;
use turnpike_daemon::{choice, section, settings};
use turnpike_guard::{Grant, SECRET_BYTES_MIN};

use crate::development::{self, SecretError};

settings! {
    pub(crate) struct Config {
        node: Node,
        gateway: Gateway,
        auth: Auth,
        heartbeat: Heartbeat,
        recovery: Recovery,
        history: History,
        queue: Queue,
        limits: Limits,
        compression: Compression,
        admin: Admin,
        log: Log,
        drain: DrainWindow,
    }
}

section! {
    /// The process as a whole.
    pub(crate) struct Node in "node" {
        /// `production` refuses to start with what only suits development.
        environment: Kind = "development", "TURNPIKE_ENV";
        /// Name of this node: it stands in session ids, logs and answers. Not set: the name of the machine.
        id: Option<NodeId> = "", "SERVER_ID";
        /// Where the process keeps files. In development, the secret that is made on first use.
        data_dir: PathBuf = "data", "DATA_DIR";
        /// Threads that serve connections. Not set: one for each processor.
        shards: Option<u16> = "", "TURNPIKE_SHARDS", "1" to "64";
    }
}

choice! {
    pub(crate) enum Kind {
        Development = "development",
        Production = "production",
    }
    expects "`development` or `production`"
}

section! {
    /// Where clients come in.
    pub(crate) struct Gateway in "gateway" {
        /// Address to listen on.
        host: IpAddr = "127.0.0.1", "HOST";
        /// TCP port; 0 lets the system choose.
        port: u16 = "3010", "PORT", "0" to "65535";
        /// Connections at the same time. Not set: as many as the limit of file descriptors has room for.
        connections_max: Option<u32> = "", "MAX_CONNECTIONS", "1" to "10000000";
        /// Web pages that may connect: origins with scheme, host and port, separated by commas, or `*` for every page.
        cors_origin: List<Origin> = "*", "CORS_ORIGIN";
    }
}

section! {
    /// Who may enter.
    pub(crate) struct Auth in "auth" {
        /// Secret of the tokens (HS256), at least 32 bytes. Required in production; in development one is made on first use.
        jwt_secret: Option<Secret> = "", "JWT_SECRET";
        /// Tokens must bear this `iss`. Not set: any, or none.
        issuer: Option<String> = "", "TURNPIKE_JWT_ISSUER";
        /// Tokens must name this in their `aud`. Not set: tokens for an audience are refused.
        audience: Option<String> = "", "TURNPIKE_JWT_AUDIENCE";
        /// What a token without the claim `rooms` may do where. Not set: everything in development, nothing in production.
        default_grants: Option<Grants> = "", "TURNPIKE_DEFAULT_GRANTS";
    }
}

section! {
    /// How dead connections are found.
    pub(crate) struct Heartbeat in "heartbeat" {
        /// Time between two pings of a connection.
        interval: Duration = "25s", "HEARTBEAT_INTERVAL", "1s" to "10m";
        /// How long the pong may take before the connection is given up.
        timeout: Duration = "20s", "TURNPIKE_HEARTBEAT_TIMEOUT", "1s" to "10m";
    }
}

section! {
    /// Taking a session up again after a disconnect.
    pub(crate) struct Recovery in "recovery" {
        /// How long after a disconnect a client may return to its session.
        window: Duration = "2m", "TURNPIKE_RECOVERY_WINDOW", "0s" to "1d";
        /// Sessions of clients that are away and may return. Beyond it the oldest are given up.
        sessions_away_max: usize = "100000", "TURNPIKE_SESSIONS_AWAY_MAX", "1" to "100000000";
    }
}

section! {
    /// Messages that are kept for those who return. All of it is memory.
    pub(crate) struct History in "history" {
        /// Messages of one room.
        room_messages_max: usize = "500", "TURNPIKE_HISTORY_ROOM_MESSAGES_MAX", "1" to "1000000";
        /// Bytes of the messages of one room.
        room_bytes_max: ByteSize = "1MiB", "TURNPIKE_HISTORY_ROOM_BYTES_MAX", "1KiB" to "1GiB";
        /// Bytes of the messages of all rooms together; the oldest go first.
        bytes_max: ByteSize = "128MiB", "TURNPIKE_HISTORY_BYTES_MAX", "1MiB" to "1000GiB";
        /// Older messages go. Not less than the recovery window, or clients would return to a gap.
        age_max: Duration = "10m", "TURNPIKE_HISTORY_AGE_MAX", "1s" to "7d";
        /// How long the id of a message is remembered, so that sending it again does not say it twice.
        dedupe_window: Duration = "10m", "TURNPIKE_DEDUPE_WINDOW", "1s" to "1d";
        /// How many ids are remembered; beyond it the oldest go early.
        dedupe_ids_max: usize = "262144", "TURNPIKE_DEDUPE_IDS_MAX", "1" to "100000000";
    }
}

section! {
    /// What waits to be written to one connection.
    pub(crate) struct Queue in "queue" {
        /// From here on the connection is behind: reliable events are fetched from history later instead of being queued.
        soft_bytes: ByteSize = "32KiB", "TURNPIKE_QUEUE_SOFT_BYTES", "1KiB" to "1GiB";
        /// From here on the connection is closed; the client returns and recovers.
        hard_bytes: ByteSize = "256KiB", "TURNPIKE_QUEUE_HARD_BYTES", "1KiB" to "1GiB";
        /// How long the oldest byte may wait before the connection is closed.
        write_deadline: Duration = "10s", "TURNPIKE_WRITE_DEADLINE", "100ms" to "10m";
        /// The kernel's send buffer of a connection, small, so that it does not hide a stalled client. `off` leaves it to the kernel.
        send_buffer_bytes: OrOff<ByteSize> = "64KiB", "TURNPIKE_SEND_BUFFER_BYTES", "4KiB" to "64MiB";
    }
}

section! {
    /// What one connection may ask for. All of these are counted while the bytes come in, not afterwards.
    pub(crate) struct Limits in "limits" {
        /// One message, one long-polling body, one message after decompression.
        payload_bytes_max: ByteSize = "1MB", "TURNPIKE_PAYLOAD_BYTES_MAX", "1KiB" to "5MB";
        /// The body of one message: its JSON text and attachments. Every member gets a copy, and history keeps one.
        body_bytes_max: ByteSize = "256KiB", "TURNPIKE_BODY_BYTES_MAX", "1" to "5MB";
        /// Messages in the answer to one `room:join` together.
        answer_bytes_max: ByteSize = "1MiB", "TURNPIKE_ANSWER_BYTES_MAX", "1KiB" to "64MiB";
        /// Rooms that one connection may be in.
        rooms_per_connection_max: usize = "100", "TURNPIKE_ROOMS_PER_CONNECTION_MAX", "1" to "100000";
        /// Request line and headers of an HTTP request.
        http_header_bytes_max: ByteSize = "16KiB", "TURNPIKE_HTTP_HEADER_BYTES_MAX", "8KiB" to "256KiB";
        /// How long the headers of a request may take to arrive.
        http_header_timeout: Duration = "10s", "TURNPIKE_HTTP_HEADER_TIMEOUT", "100ms" to "5m";
        /// How long the body of a request may take to arrive.
        http_body_timeout: Duration = "20s", "TURNPIKE_HTTP_BODY_TIMEOUT", "100ms" to "5m";
        /// How long a websocket message may take from its first byte to its last.
        message_timeout: Duration = "1m", "TURNPIKE_MESSAGE_TIMEOUT", "100ms" to "10m";
        /// How long a session may stay without having entered a namespace.
        connect_timeout: Duration = "45s", "TURNPIKE_CONNECT_TIMEOUT", "1s" to "10m";
        /// How long an upgrade from long-polling to websocket may take.
        upgrade_timeout: Duration = "10s", "TURNPIKE_UPGRADE_TIMEOUT", "100ms" to "5m";
        /// How long the attachments of a packet may take to arrive.
        attachments_timeout: Duration = "20s", "TURNPIKE_ATTACHMENTS_TIMEOUT", "100ms" to "5m";
        /// Binary attachments of one packet.
        attachments_max: usize = "10", "TURNPIKE_ATTACHMENTS_MAX", "0" to "64";
        /// Bytes of all attachments of one packet together.
        attachment_bytes_max: ByteSize = "1MB", "TURNPIKE_ATTACHMENT_BYTES_MAX", "0" to "5MB";
        /// How deep arrays and objects may be nested.
        json_depth_max: usize = "64", "TURNPIKE_JSON_DEPTH_MAX", "2" to "127";
        /// Object keys of one packet together.
        json_keys_max: usize = "1024", "TURNPIKE_JSON_KEYS_MAX", "1" to "1000000";
        /// Arguments of one event, its name included.
        arguments_max: usize = "256", "TURNPIKE_ARGUMENTS_MAX", "2" to "65536";
        /// Bytes of an event's name.
        event_name_bytes_max: ByteSize = "128", "TURNPIKE_EVENT_NAME_BYTES_MAX", "16" to "64KiB";
        /// Bytes of a namespace's name.
        namespace_bytes_max: ByteSize = "128", "TURNPIKE_NAMESPACE_BYTES_MAX", "1" to "64KiB";
        /// Namespaces that one connection may be in.
        namespaces_per_connection_max: usize = "16", "TURNPIKE_NAMESPACES_PER_CONNECTION_MAX", "1" to "1024";
        /// Answers of one client that the server waits for at the same time.
        acks_outstanding_max: usize = "1024", "TURNPIKE_ACKS_OUTSTANDING_MAX", "1" to "1000000";
        /// Events of one connection that wait while an earlier one is worked on; then nothing more is read from it.
        events_waiting_max: usize = "64", "TURNPIKE_EVENTS_WAITING_MAX", "1" to "65536";
        /// Commands that wait for one shard; then senders are told to try again.
        inbox_commands_max: usize = "65536", "TURNPIKE_INBOX_COMMANDS_MAX", "1024" to "16000000";
    }
}

section! {
    /// permessage-deflate for websockets, gzip for long-polling.
    pub(crate) struct Compression in "compression" {
        /// Payloads from this size on are compressed for clients that can read it.
        threshold: OrOff<ByteSize> = "1KiB", "COMPRESSION_THRESHOLD", "0" to "5MB";
    }
}

/// Grants of rooms, separated by spaces. `none` is the empty list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grants(pub(crate) Vec<Grant>, String);

impl Setting for Grants {
    const EXPECTS: &'static str =
        "grants such as `chat:*=join,send news=join,history` (separated by spaces), or `none`";

    fn parse(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(Vec::new(), text.into()));
        }
        let grants = text.split_whitespace().map(str::parse).collect::<Result<Vec<Grant>, _>>();
        let grants = grants.map_err(|error| format!("is not a list of grants: {error}"))?;
        if grants.is_empty() { Err("is empty".into()) } else { Ok(Self(grants, text.into())) }
    }

    fn show(&self) -> String {
        self.1.clone()
    }
}

/// Letters, digits, `-`, `_` and `.`: it stands in session ids and thereby in URLs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeId(String);

impl NodeId {
    const BYTES_MAX: usize = 64;

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Setting for NodeId {
    const EXPECTS: &'static str = "1 to 64 letters, digits, `-`, `_` or `.`";

    fn parse(text: &str) -> Result<Self, String> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if text.is_empty() || text.len() > Self::BYTES_MAX || !text.bytes().all(allowed) {
            return Err("is not a node's name".into());
        }
        Ok(Self(text.into()))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// `*`, or an origin as browsers send it: scheme, host, and the port unless it is the scheme's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin(String);

impl Origin {
    pub(crate) fn is_any(&self) -> bool {
        self.0 == "*"
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Setting for Origin {
    const EXPECTS: &'static str =
        "`*`, or origins such as `https://app.example.com` or `http://localhost:5173`";

    fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self(text.into()));
        }
        let (scheme, authority) = text.split_once("://").ok_or("is not an origin")?;
        if !["http", "https"].contains(&scheme) {
            return Err("has another scheme than http and https".into());
        }
        let (host, port) = match authority.rsplit_once(':') {
            // The colons of an IPv6 address stand in brackets.
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host_is_sound = match bracketed {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            // Browsers send it in lower case, and it is compared exactly: what could never match is a slip.
            None => {
                !host.is_empty()
                    && host.bytes().all(|byte| {
                        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.'
                    })
            }
        };
        if !host_is_sound {
            return Err("has no host in lower case, or more than scheme, host and port".into());
        }
        match port {
            Some("80") if scheme == "http" => Err("names a port that browsers leave out".into()),
            Some("443") if scheme == "https" => Err("names a port that browsers leave out".into()),
            Some(port) if port.parse::<u16>().is_err() => Err("has no port after the colon".into()),
            _ => Ok(Self(text.into())),
        }
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

impl Config {
    pub(crate) fn is_production(&self) -> bool {
        self.node.environment == Kind::Production
    }

    pub(crate) fn node_id(&self) -> String {
        if let Some(id) = &self.node.id {
            return id.as_str().to_owned();
        }
        let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        NodeId::parse(machine.trim()).map_or_else(|_| "local".into(), |id| id.0)
    }

    /// What a token without the claim `rooms` may do.
    pub(crate) fn default_grants(&self) -> Vec<Grant> {
        match &self.auth.default_grants {
            Some(Grants(grants, _)) => grants.clone(),
            None if self.is_production() => Vec::new(),
            None => vec!["*=join,send,history,presence,typing".parse().expect("this is a grant")],
        }
    }

    /// That of the configuration, or the one that development makes for itself.
    pub(crate) fn token_secret(&self) -> Result<Secret, SecretError> {
        match &self.auth.jwt_secret {
            Some(secret) => Ok(secret.clone()),
            None => development::secret(&self.node.data_dir),
        }
    }
}

/// What no key can be wrong about alone.
pub(crate) fn check(loaded: &mut Loaded<Config>) {
    let Config { node, gateway, auth, queue, recovery, history, limits, .. } = &loaded.settings;
    // A value that does not fit is treated as the strict one, so that the faults of production are in the same list.
    let production = node.environment == Kind::Production || loaded.faults.concern("node.environment");
    let secret_problem = match &auth.jwt_secret {
        _ if loaded.faults.concern("auth.jwt_secret") => None,
        None => production.then(|| "is required in production".to_owned()),
        Some(secret) if secret.reveal().len() < SECRET_BYTES_MIN => {
            Some(format!("has {} bytes, and whoever guesses it is everybody", secret.reveal().len()))
        }
        Some(secret) => secret_weakness(secret.reveal()).filter(|_| production).map(ToOwned::to_owned),
    };
    let any_beside_others =
        gateway.cors_origin.0.len() > 1 && gateway.cors_origin.0.iter().any(Origin::is_any);
    let queue_upside_down = queue.soft_bytes > queue.hard_bytes;
    let history_too_short = history.age_max < recovery.window;
    let body_too_large = limits.body_bytes_max > limits.payload_bytes_max;

    if let Some(problem) = secret_problem {
        let remedy = format!(
            "expected at least {SECRET_BYTES_MIN} random bytes, as `openssl rand -base64 48` makes them"
        );
        loaded.refuse("auth.jwt_secret", problem, remedy);
    }
    if any_beside_others {
        loaded.refuse("gateway.cors_origin", "has `*` beside origins", "expected either `*` or origins");
    }
    if queue_upside_down {
        loaded.refuse("queue.soft_bytes", "is above queue.hard_bytes", "expected at most queue.hard_bytes");
    }
    if history_too_short {
        loaded.refuse("history.age_max", "is below recovery.window", "expected at least recovery.window");
    }
    if body_too_large {
        loaded.refuse(
            "limits.body_bytes_max",
            "is above limits.payload_bytes_max",
            "expected at most limits.payload_bytes_max",
        );
    }
}

/// Why a long enough secret is none.
fn secret_weakness(secret: &str) -> Option<&'static str> {
    /// Words from sample files. In 48 random base64 characters the shortest stands by chance once in a hundred thousand.
    const WORDS: &[&str] =
        &["secret", "changeme", "change-me", "change_me", "password", "example", "default", "turnpike"];
    const LETTERS_MIN: usize = 10;
    if secret.starts_with(development::SECRET_PREFIX) {
        return Some("is a development secret");
    }
    let lower = secret.to_ascii_lowercase();
    if WORDS.iter().any(|word| lower.contains(word)) {
        return Some("looks like the placeholder of a sample");
    }
    let mut letters: Vec<u8> = secret.bytes().collect();
    letters.sort_unstable();
    letters.dedup();
    // 32 random hexadecimal digits have 14 different ones on average, and fewer than 10 once in ten thousand.
    (letters.len() < LETTERS_MIN).then_some("repeats a few characters")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use turnpike_daemon::config::{Environment, Key, Settings as _, Sources, as_markdown, load};

    use super::*;

    fn keys() -> Vec<&'static Key> {
        Config::sections().iter().flat_map(|section| section.keys).collect()
    }

    #[test]
    fn every_default_fits_its_own_key() {
        for key in keys() {
            let loaded = load::<Config>(Sources {
                environment: Environment::from_iter([(key.environment, key.default)]),
                ..Sources::default()
            });
            assert!(loaded.faults.is_empty(), "{}", loaded.faults);
            let effective = loaded.effective.iter().find(|effective| effective.key.path == key.path).unwrap();
            assert_eq!(effective.shown, key.default, "{}: the default is written as it is shown", key.path);
        }
    }

    #[test]
    fn every_bound_is_inside_its_own_range() {
        for (key, bound) in keys().into_iter().filter_map(|key| Some((key, key.range?))) {
            for bound in [bound.0, bound.1] {
                let loaded = load::<Config>(Sources {
                    environment: Environment::from_iter([(key.environment, bound)]),
                    ..Sources::default()
                });
                assert!(loaded.faults.is_empty(), "{}", loaded.faults);
            }
        }
    }

    #[test]
    fn names_are_unique_and_ours_bear_our_prefix() {
        /// The names that operators of comparable systems expect. All others must be recognisable as ours, because only
        /// then a slip in one is found.
        const EXPECTED: &[&str] = &[
            "SERVER_ID",
            "DATA_DIR",
            "HOST",
            "PORT",
            "MAX_CONNECTIONS",
            "CORS_ORIGIN",
            "JWT_SECRET",
            "HEARTBEAT_INTERVAL",
            "COMPRESSION_THRESHOLD",
            "ADMIN_HOST",
            "ADMIN_PORT",
            "LOG_LEVEL",
        ];
        let keys = keys();
        for name_of in [|key: &Key| key.path.to_owned(), |key: &Key| key.environment.to_owned(), Key::flag] {
            let names: HashSet<String> = keys.iter().map(|key| name_of(key)).collect();
            assert_eq!(names.len(), keys.len());
        }
        for key in &keys {
            let name = key.environment;
            assert!(EXPECTED.contains(&name) || name.starts_with("TURNPIKE_"), "{name}");
        }
        let reserved = ["config", "help", "version", "h", "V"].iter().chain(crate::token::FLAGS);
        for flag in reserved {
            assert!(keys.iter().all(|key| key.flag() != *flag), "{flag}");
        }
    }

    /// `UPDATE_DOCS=1 cargo test -p turnpike` writes the tables anew.
    #[test]
    fn the_document_is_what_the_code_says() {
        const BEGIN: &str =
            "<!-- The tables are made from the code: UPDATE_DOCS=1 cargo test -p turnpike -->\n";
        const END: &str = "<!-- end of the tables -->";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
        let document = std::fs::read_to_string(path).unwrap();
        let (before, rest) = document.split_once(BEGIN).expect("the document has a place for the tables");
        let (_, after) = rest.split_once(END).expect("the tables have an end");
        let expected = format!("{before}{BEGIN}\n{}{END}{after}", as_markdown(&Config::sections()));
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, expected).unwrap();
        } else {
            assert!(
                document == expected,
                "docs/configuration.md differs from the code; run UPDATE_DOCS=1 cargo test -p turnpike"
            );
        }
    }
}
