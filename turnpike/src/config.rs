//! Every configuration key of the product.
//!
//! A key stands here (or with its part in `turnpike-daemon`) once its feature exists, not before.

mod abuse;
mod addresses;
mod admin;
mod audit;
mod check;
mod gates;
mod grants;
mod keys;
mod links;
mod media;
mod node_id;
mod origin;
mod rates;
mod redis;
mod router;
mod telemetry;
#[cfg(test)]
mod tests;
mod turn;
mod webhooks;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use turnpike_daemon::config::{ByteSize, List, OrOff, Secret};
use turnpike_daemon::drain::DrainWindow;
use turnpike_daemon::log::Log;
use turnpike_daemon::{choice, section, settings};
use turnpike_guard::{Grant, MediaGrant};

pub(crate) use self::abuse::Abuse;
pub(crate) use self::addresses::{Addresses, Cidr, CountryCode, Header, Unknown as CountryUnknown};
pub(crate) use self::admin::Admin;
pub(crate) use self::audit::{Audit, OnFailure};
pub(crate) use self::check::{check, secret_weakness};
pub(crate) use self::gates::{Gate, Gates, Unanswered};
pub(crate) use self::grants::{Grants, MediaGrants};
pub(crate) use self::keys::{PublicKey, is_loopback, key, read};
pub(crate) use self::links::Links;
pub(crate) use self::media::{Ice, Media};
pub(crate) use self::node_id::NodeId;
pub(crate) use self::origin::Origin;
pub(crate) use self::rates::Rates;
pub(crate) use self::redis::{Advertised, Durability, Redis};
pub(crate) use self::router::{Router, Strategy};
pub(crate) use self::telemetry::Telemetry;
pub(crate) use self::turn::{IceUrl, Turn};
pub(crate) use self::webhooks::{Event, HttpUrl, Webhooks};

settings! {
    pub(crate) struct Config {
        node: Node,
        gateway: Gateway,
        addresses: Addresses,
        abuse: Abuse,
        redis: Redis,
        auth: Auth,
        heartbeat: Heartbeat,
        recovery: Recovery,
        history: History,
        ring: Ring,
        queue: Queue,
        limits: Limits,
        rates: Rates,
        compression: Compression,
        api: Api,
        webhooks: Webhooks,
        gates: Gates,
        media: Media,
        links: Links,
        router: Router,
        turn: Turn,
        audit: Audit,
        admin: Admin,
        log: Log,
        telemetry: Telemetry,
        drain: DrainWindow,
    }
}

impl Config {
    pub(crate) fn is_production(&self) -> bool {
        self.node.environment == Kind::Production
    }

    pub(crate) fn node_id(&self) -> String {
        self.node.id.clone().or_else(NodeId::of_machine).map_or_else(|| "local".into(), NodeId::into_string)
    }

    /// What a token without the claim `rooms` may do.
    pub(crate) fn default_grants(&self) -> Vec<Grant> {
        match &self.auth.default_grants {
            Some(grants) => grants.as_slice().to_vec(),
            None if self.is_production() => Vec::new(),
            None => vec!["*=join,send,history,presence,typing".parse().expect("this is a grant")],
        }
    }

    /// What a token without the claim `media` may do.
    pub(crate) fn default_media_grants(&self) -> Vec<MediaGrant> {
        match &self.auth.default_media_grants {
            Some(grants) => grants.as_slice().to_vec(),
            None if self.is_production() => Vec::new(),
            None => vec!["*=publish,subscribe,record".parse().expect("this is a grant")],
        }
    }
}

section! {
    /// The process as a whole.
    pub(crate) struct Node in "node" {
        /// `production` refuses to start with what only suits development.
        environment: Kind = "development", "TURNPIKE_ENV";
        /// Name of this node: it stands in session ids, logs and answers. Not set: the name of the machine.
        id: Option<NodeId> = "", "SERVER_ID";
        /// Where the other nodes of a system reach this one. Not set: where the gateway listens, or if that is every interface, the one towards Redis.
        advertise_address: Option<Advertised> = "", "TURNPIKE_ADVERTISE_ADDRESS";
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
        /// A proxy that ends TLS stands in front of this port, and nothing else reaches it. Production asks for it, unless the port is on loopback.
        tls_in_front: bool = "false", "TURNPIKE_TLS_IN_FRONT";
    }
}

section! {
    /// Who may enter.
    pub(crate) struct Auth in "auth" {
        /// Secret of the tokens (HS256), at least 32 bytes. Required in production where there are no public keys; in development one is made on first use.
        jwt_secret: Option<Secret> = "", "JWT_SECRET";
        /// Tokens that are signed with this are accepted as well: the other secret while one is exchanged for another.
        jwt_secret_next: Option<Secret> = "", "TURNPIKE_JWT_SECRET_NEXT";
        /// Public keys of the tokens: RSA (RS256), P-256 (ES256) or Ed25519 (EdDSA). Files are read again when they change.
        public_keys: List<PublicKey> = "", "TURNPIKE_JWT_PUBLIC_KEYS";
        /// Where the issuer of the tokens publishes its keys (JWKS), asked every 30 s. https; in development http to this machine too.
        jwks_url: Option<HttpUrl> = "", "TURNPIKE_JWKS_URL";
        /// That address may be one that is not public: the own machine, the private network.
        jwks_allow_private: bool = "false", "TURNPIKE_JWKS_ALLOW_PRIVATE";
        /// How long the keys of an issuer that does not answer any more are still accepted.
        jwks_stale_max: Duration = "1h", "TURNPIKE_JWKS_STALE_MAX", "1m" to "7d";
        /// Tokens that live longer, from `iat` or else from when they are shown, are refused: for so long it is remembered that a token was
        /// revoked.
        token_ttl_max: Duration = "30d", "TURNPIKE_TOKEN_TTL_MAX", "1m" to "400d";
        /// What the nodes of a system prove to one another that they belong together with, at least 32 bytes. Not set: `jwt_secret`.
        cluster_secret: Option<Secret> = "", "TURNPIKE_CLUSTER_SECRET";
        /// What was proven with this counts as well: the other one while one is exchanged for another.
        cluster_secret_next: Option<Secret> = "", "TURNPIKE_CLUSTER_SECRET_NEXT";
        /// WHIP and WHEP take tokens from `?token=` of their URL as well, which ends up in the logs of whatever is in between.
        query_tokens: bool = "false", "TURNPIKE_QUERY_TOKENS";
        /// Tokens must bear this `iss`. Not set: any, or none.
        issuer: Option<String> = "", "TURNPIKE_JWT_ISSUER";
        /// Tokens must name this in their `aud`. Not set: tokens for an audience are refused.
        audience: Option<String> = "", "TURNPIKE_JWT_AUDIENCE";
        /// What a token without the claim `rooms` may do where. Not set: everything in development, nothing in production.
        default_grants: Option<Grants> = "", "TURNPIKE_DEFAULT_GRANTS";
        /// What a token without the claim `media` may do with which streams. Not set: everything in development, nothing in production.
        default_media_grants: Option<MediaGrants> = "", "TURNPIKE_DEFAULT_MEDIA_GRANTS";
    }
}

section! {
    /// Who may ask over HTTP without a token. Tokens of the roles `service` and `admin` always may.
    pub(crate) struct Api in "api" {
        /// A key that lets a backend do what a token of the role `service` does, at least 32 bytes.
        key: Option<Secret> = "", "TURNPIKE_API_KEY";
        /// This key does as well: the other one while one is exchanged for another.
        key_next: Option<Secret> = "", "TURNPIKE_API_KEY_NEXT";
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
        room_messages_max: usize = "2000", "TURNPIKE_HISTORY_ROOM_MESSAGES_MAX", "1" to "1000000";
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
        /// A folder in which a process without Redis keeps rooms and sessions, so that they survive a restart and `kill -9`. Not
        /// set: in memory, until the process ends.
        store: Option<PathBuf> = "", "TURNPIKE_STORE";
    }
}

section! {
    /// What this node keeps at hand of the rooms that its clients are in, so that who returns need not be looked up.
    pub(crate) struct Ring in "ring" {
        /// Messages of one room.
        room_messages_max: usize = "128", "TURNPIKE_RING_ROOM_MESSAGES_MAX", "1" to "1000000";
        /// Bytes of the messages of one room.
        room_bytes_max: ByteSize = "256KiB", "TURNPIKE_RING_ROOM_BYTES_MAX", "1KiB" to "1GiB";
        /// Bytes of the messages of all rooms together; the oldest go first.
        bytes_max: ByteSize = "64MiB", "TURNPIKE_RING_BYTES_MAX", "1MiB" to "1000GiB";
        /// How long a room's messages still come after its last member on this node left.
        linger: Duration = "10s", "TURNPIKE_ROOM_LINGER", "0s" to "1h";
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
        /// Pings, pongs and answers that nobody waits for which one connection may send in a second, over time. More of them end it.
        asides_per_second: usize = "100", "TURNPIKE_ASIDES_PER_SECOND", "1" to "100000";
        /// How many of them may come at once: a client that comes to after a pause owes answers.
        asides_burst: usize = "2048", "TURNPIKE_ASIDES_BURST", "16" to "1000000";
        /// New sessions, and sockets that enter, that one shard lets in a second. The others are told to try again later.
        handshakes_per_second: usize = "8000", "TURNPIKE_HANDSHAKES_PER_SECOND", "1" to "1000000";
        /// How many of them one shard lets in at once after a quiet time. Half of it is kept for clients that come back.
        handshakes_burst: usize = "8000", "TURNPIKE_HANDSHAKES_BURST", "1" to "10000000";
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
