//! The keys that say when somebody has done too much of what honest clients seldom do, and what follows.

use std::time::Duration;

use turnpike_daemon::section;

section! {
    /// What becomes of those who misbehave: see docs/abuse.md.
    pub(crate) struct Abuse in "abuse" {
        /// Whether anything follows from what is seen. Off: it is counted, and nobody is muted, sent away or banned for it.
        enabled: bool = "true", "TURNPIKE_ABUSE";
        /// After how long what was seen counts half.
        half_life: Duration = "1m", "TURNPIKE_ABUSE_HALF_LIFE", "1s" to "1d";
        /// From this score on a user is muted, and of an address nobody new is let in.
        mute_score: u32 = "25", "TURNPIKE_ABUSE_MUTE_SCORE", "1" to "1000000";
        /// From this score on the connections are closed besides.
        disconnect_score: u32 = "50", "TURNPIKE_ABUSE_DISCONNECT_SCORE", "1" to "1000000";
        /// From this score on the user or address is banned.
        ban_score: u32 = "100", "TURNPIKE_ABUSE_BAN_SCORE", "1" to "1000000";
        /// How long a mute lasts at first. It doubles each time.
        mute: Duration = "10s", "TURNPIKE_ABUSE_MUTE", "1s" to "1d";
        /// How long a mute lasts at most.
        mute_max: Duration = "10m", "TURNPIKE_ABUSE_MUTE_MAX", "1s" to "30d";
        /// How long a ban lasts at first. It is four times as long each time.
        ban: Duration = "10m", "TURNPIKE_ABUSE_BAN", "1s" to "30d";
        /// How long a ban lasts at most.
        ban_max: Duration = "1d", "TURNPIKE_ABUSE_BAN_MAX", "1s" to "365d";
        /// For how long after a measure the next one is harder for it.
        memory: Duration = "1d", "TURNPIKE_ABUSE_MEMORY", "1s" to "365d";
        /// New connections a second from one address, of IPv6 from one /64.
        connections_per_second: u32 = "500", "TURNPIKE_ADDRESS_CONNECTIONS_PER_SECOND", "1" to "1000000";
        /// New connections at once from one address.
        connections_burst: u32 = "5000", "TURNPIKE_ADDRESS_CONNECTIONS_BURST", "1" to "1000000";
        /// Connections that one address has at a time.
        connections_max: u32 = "20000", "TURNPIKE_ADDRESS_CONNECTIONS_MAX", "1" to "10000000";
        /// New sessions a second from one address.
        sessions_per_second: u32 = "200", "TURNPIKE_ADDRESS_SESSIONS_PER_SECOND", "1" to "1000000";
        /// New sessions at once from one address.
        sessions_burst: u32 = "2000", "TURNPIKE_ADDRESS_SESSIONS_BURST", "1" to "1000000";
        /// Sessions that one address has at a time.
        sessions_max: u32 = "10000", "TURNPIKE_ADDRESS_SESSIONS_MAX", "1" to "10000000";
        /// Logins a second from one address that may fail over time, for whatever reason; each above that is a flood.
        failures_per_second: u32 = "20", "TURNPIKE_ADDRESS_FAILURES_PER_SECOND", "1" to "1000000";
        /// How many of them may fail at once.
        failures_burst: u32 = "1000", "TURNPIKE_ADDRESS_FAILURES_BURST", "1" to "1000000";
        /// Addresses whose connections are counted, and as many whose sessions are. When all of them have something open, another address is refused.
        addresses_max: usize = "200000", "TURNPIKE_ABUSE_ADDRESSES_MAX", "1000" to "10000000";
        /// Addresses that something speaks against, and as many users: beyond it those with the least are forgotten.
        suspects_max: usize = "100000", "TURNPIKE_ABUSE_SUSPECTS_MAX", "1000" to "10000000";
        /// Bans and mutes that hold on this node, together: beyond it those that end first are given up.
        bans_max: usize = "100000", "TURNPIKE_ABUSE_BANS_MAX", "100" to "1000000";
    }
}
