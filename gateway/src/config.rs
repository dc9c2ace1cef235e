//! What a gateway can be told. The engine's part is the engine's own.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use turnpike_audit::Audit;
use turnpike_engine::EngineConfig;
use turnpike_guard::limit::Classes;
use turnpike_guard::{IceServers, Verifier, Watch};
use turnpike_telemetry::Tracer;

use crate::addresses::Front;
use crate::api_keys::ApiKeys;
use crate::gates::Gates;
use crate::mirror::RingLimits;
use crate::signaling::MediaLimits;
use crate::webhooks::Webhooks;

#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Where to listen; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Among it the name of the node, the origins that may connect and the secrets of recovery tickets.
    pub engine: EngineConfig,
    /// The machines before it that speak for others.
    pub front: Front,
    /// Knows who may not come in, and is told who misbehaves.
    pub watch: Watch,
    /// Says of a token who it is.
    pub tokens: Verifier,
    /// Let backends without a token ask over HTTP.
    pub api_keys: ApiKeys,
    /// How long after a disconnect a client may return to its session. Zero: never.
    pub recovery_window: Duration,
    pub limits: Limits,
    pub ring: RingLimits,
    pub media: MediaLimits,
    /// Help clients to reach the relays.
    pub ice_servers: IceServers,
    /// Who is told what happens here.
    pub webhooks: Vec<Webhooks>,
    /// Who is asked before somebody may do something, if anybody.
    pub gates: Option<Gates>,
    /// Where what decides over access is written down before it takes effect.
    pub audit: Audit,
    /// Where traces go, if anywhere.
    pub tracer: Tracer,
    /// Present in development alone: anybody is given a token for any name.
    pub development: Option<Development>,
}

/// What one connection, and all of them, may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Each costs memory on the node, and time at every recovery.
    pub rooms_per_connection_max: usize,
    /// JSON text and attachments of a message's body. Every member gets a copy, and history keeps one.
    pub body_bytes_max: usize,
    /// What the messages in the answer to one join may weigh together.
    pub answer_bytes_max: usize,
    /// Sessions of clients that are away and may return; the oldest go first.
    pub sessions_away_max: usize,
    /// How much of what in a second, by classes of users.
    pub classes: Classes,
    /// Users, rooms and keys that are counted at a time, for each limit.
    pub keys_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rooms_per_connection_max: 100,
            body_bytes_max: 256 * 1024,
            answer_bytes_max: 1024 * 1024,
            sessions_away_max: 100_000,
            classes: Classes::default(),
            keys_max: 200_000,
        }
    }
}

/// What development tokens are signed with, and what they must name to be accepted.
#[derive(Clone)]
pub struct Development {
    pub secret: Vec<u8>,
    pub issuer: Option<String>,
    pub audience: Option<String>,
}

impl fmt::Debug for Development {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Development")
    }
}
