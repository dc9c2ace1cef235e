//! What live video may take of one connection, and how long things last.

use std::time::Duration;

use turnpike_wire::limits::MEDIA_SESSIONS_PER_CONNECTION_MAX;
use turnpike_wire::media::relay::{GRACE_MS, KEEP_EVERY_MS};

#[derive(Debug, Clone)]
pub struct MediaLimits {
    pub sessions_per_connection_max: usize,
    /// How long a relay may take for an answer.
    pub deadline: Duration,
    /// How long a connection that broke may be away before its sessions end. Relays count on no more than
    /// [`GRACE_MS`].
    pub grace: Duration,
    /// How often relays are told which sessions are still wanted. Relays count on no less than [`KEEP_EVERY_MS`].
    pub keep_every: Duration,
}

impl Default for MediaLimits {
    fn default() -> Self {
        Self {
            sessions_per_connection_max: MEDIA_SESSIONS_PER_CONNECTION_MAX,
            deadline: Duration::from_secs(5),
            grace: Duration::from_millis(GRACE_MS),
            keep_every: Duration::from_millis(KEEP_EVERY_MS),
        }
    }
}
