//! What a warden can be told.

use crate::address::{AddressRules, Networks};

#[derive(Debug, Clone, Default)]
pub struct WardenConfig {
    /// Of the node: who it is that places bans.
    pub name: String,
    /// Who may come in at all. The addresses that are exempt there are so from limits, scores and bans as well.
    pub rules: AddressRules,
    /// Their connections are other people's.
    pub proxies: Networks,
    pub doors: Doors,
    pub terms: Terms,
    pub bounds: Bounds,
}

/// What one address may have: of IPv6, one /64.
#[derive(Debug, Clone, Copy)]
pub struct Doors {
    /// TCP connections.
    pub connections: Door,
    /// Sessions.
    pub sessions: Door,
    /// Logins that failed, for whatever reason. More than these are a flood.
    pub failures: Door,
}

#[derive(Debug, Clone, Copy)]
pub struct Door {
    /// New ones in a second, over time.
    pub per_second: u32,
    /// New ones at once.
    pub burst: u32,
    pub open_max: u32,
}

impl Default for Doors {
    /// A company behind one address whose users all come back at once must not notice.
    fn default() -> Self {
        Self {
            connections: Door { per_second: 500, burst: 5_000, open_max: 20_000 },
            sessions: Door { per_second: 200, burst: 2_000, open_max: 10_000 },
            failures: Door { per_second: 20, burst: 1_000, open_max: u32::MAX },
        }
    }
}

/// When what is done, and for how long.
#[derive(Debug, Clone)]
pub struct Terms {
    /// False: signals are counted and nothing follows.
    pub enabled: bool,
    /// After how long a signal counts half.
    pub half_life_ms: u64,
    pub mute_at: f32,
    pub disconnect_at: f32,
    pub ban_at: f32,
    pub mute_ms: u64,
    pub mute_ms_max: u64,
    pub ban_ms: u64,
    pub ban_ms_max: u64,
    /// After how long without a measure somebody is new again.
    pub forget_ms: u64,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            enabled: true,
            half_life_ms: 60_000,
            mute_at: 25.0,
            disconnect_at: 50.0,
            ban_at: 100.0,
            mute_ms: 10_000,
            mute_ms_max: 10 * 60_000,
            ban_ms: 10 * 60_000,
            ban_ms_max: 24 * 3_600_000,
            forget_ms: 24 * 3_600_000,
        }
    }
}

impl Terms {
    pub(super) fn rung(&self, score: f32) -> Option<super::Rung> {
        use super::Rung;
        [(self.ban_at, Rung::Ban), (self.disconnect_at, Rung::Disconnect), (self.mute_at, Rung::Mute)]
            .into_iter()
            .find(|(at, _)| score >= *at)
            .map(|(_, rung)| rung)
    }
}

/// How much is remembered, at most.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Addresses that are counted at the doors: of those without anything open, the ones seen longest ago go first.
    pub addresses_max: usize,
    /// Addresses, and as many users, that something speaks against: those with the least go first.
    pub suspects_max: usize,
    /// Bans and mutes, each: those that end first go first.
    pub bans_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { addresses_max: 200_000, suspects_max: 100_000, bans_max: 100_000 }
    }
}
