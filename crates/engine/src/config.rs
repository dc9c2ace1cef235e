//! What an engine can be told. Every limit is named with its unit, and finite.

use std::time::Duration;

use crate::packet;

/// Which pages may talk to the engine from a browser.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// Any page, without credentials.
    #[default]
    Any,
    /// These origins alone: scheme, host and port, compared exactly.
    Listed(Vec<String>),
}

#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The first part of every session id: letters, digits, `-`, `_` and `.`.
    pub node: String,
    /// One thread each. At most 64.
    pub shards: usize,
    pub ping_interval: Duration,
    /// How long a pong may take before the session is given up.
    pub ping_timeout: Duration,
    /// How long a session may stay without having entered a namespace.
    pub connect_timeout: Duration,
    /// How long a websocket may take to complete an upgrade that it began.
    pub upgrade_timeout: Duration,
    /// How long the attachments of a packet may take to arrive.
    pub attachments_timeout: Duration,
    /// How long a websocket message may take from its first byte to its last.
    pub message_timeout: Duration,
    pub http_header_timeout: Duration,
    /// How long the body of a post may take to arrive.
    pub http_body_timeout: Duration,
    pub http_header_bytes_max: usize,
    /// One message, one polling body, one inflated message.
    pub payload_bytes_max: usize,
    pub packet: packet::Limits,
    pub namespaces_per_connection_max: usize,
    pub acks_outstanding_max: usize,
    /// Events of one connection that wait while the application is busy with an earlier one; then reading stops.
    pub events_waiting_max: usize,
    /// What one connection sends in a second that asks for nothing: pings and pongs, and answers that nobody waits for. More,
    /// beyond the burst, is the end of it.
    pub asides_per_second: usize,
    /// A client that comes to after a pause may owe as many answers as may be outstanding, all of them too late.
    pub asides_burst: usize,
    /// Past this a connection is behind: reliable events are not queued but refilled from history later.
    pub queue_soft_bytes: usize,
    /// Past this a connection is closed.
    pub queue_hard_bytes: usize,
    /// How long the oldest queued byte may wait before the connection is closed.
    pub write_deadline: Duration,
    /// Cap on the kernel's send buffer, so that it does not hide a stalled peer. None leaves it to the kernel.
    pub send_buffer_bytes: Option<usize>,
    /// Payloads from this size on are compressed for those who can read it. None: never.
    pub compression_threshold: Option<usize>,
    pub connections_max: usize,
    /// New sessions, and sockets that enter, that a shard lets in a second; the others are told to try again later.
    pub handshakes_per_second: usize,
    /// How many of them it lets in at once after a quiet time. Half of the sockets may be newcomers; for the rest those
    /// who come back are let in first.
    pub handshakes_burst: usize,
    /// Commands that wait for one shard; past it callers are told `Overloaded`.
    pub inbox_commands_max: usize,
    /// Secrets that seal the recovery tickets: the first seals, all open. Empty: no recovery.
    pub ticket_secrets: Vec<Vec<u8>>,
    pub origins: Origins,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            node: "local".to_owned(),
            shards: std::thread::available_parallelism().map_or(1, usize::from).min(SHARDS_MAX),
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(45),
            upgrade_timeout: Duration::from_secs(10),
            attachments_timeout: Duration::from_secs(20),
            message_timeout: Duration::from_mins(1),
            http_header_timeout: Duration::from_secs(10),
            http_body_timeout: Duration::from_secs(20),
            http_header_bytes_max: 16 * 1024,
            payload_bytes_max: 1_000_000,
            packet: packet::Limits::default(),
            namespaces_per_connection_max: 16,
            acks_outstanding_max: 1_024,
            events_waiting_max: 64,
            asides_per_second: 100,
            asides_burst: 2_048,
            queue_soft_bytes: 32 * 1024,
            queue_hard_bytes: 256 * 1024,
            write_deadline: Duration::from_secs(10),
            send_buffer_bytes: Some(64 * 1024),
            compression_threshold: Some(1_024),
            connections_max: 1_000_000,
            // A handshake with its CONNECT was measured at 60 us of a core: this leaves half of it to those who are in, and
            // a burst is worked off in half a second.
            handshakes_per_second: 8_000,
            handshakes_burst: 8_000,
            inbox_commands_max: 65_536,
            ticket_secrets: Vec::new(),
            origins: Origins::Any,
        }
    }
}

/// The registry of who holds which room keeps a count a shard.
pub const SHARDS_MAX: usize = 64;
