//! Credentials of TURN servers that end soon and are made without asking anybody: the server has the same secret.
//!
//! The form is that of the "REST API for access to TURN services" (draft-uberti-behave-turn-rest-00), which coturn takes
//! with `use-auth-secret`: the name says until when and whose, and the password is a MAC of the name. Nothing is stored,
//! and nothing is taken back: a credential is good until it ends, so that it ends soon.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use turnpike_wire::{IceCredential, IceServer, UserId};

/// Whoever is told to go keeps what they have for so long.
pub const TURN_CREDENTIAL_TTL_MAX: Duration = Duration::from_mins(10);

/// Servers that clients may need in order to reach a relay.
#[derive(Debug, Clone, Default)]
pub struct IceServers {
    stun: Vec<String>,
    turn: Option<Turn>,
}

/// Servers that pass media on, for whoever shows a credential of theirs.
#[derive(Clone)]
pub struct Turn {
    urls: Vec<String>,
    secret: hmac::Key,
    ttl: Duration,
}

impl IceServers {
    /// `stun`: `stun:` and `stuns:` URLs, which ask for no credential.
    pub fn new(stun: Vec<String>, turn: Option<Turn>) -> Self {
        Self { stun, turn }
    }

    /// Until when, in Unix seconds, a credential of now would be good. None: none is given.
    pub fn credential_ends_at(&self, now: u64) -> Option<u64> {
        self.turn.as_ref().map(|turn| turn.ends_at(now))
    }

    /// With a credential of this user's own. `now`: Unix seconds.
    pub fn of(&self, user: &UserId, now: u64) -> Vec<IceServer<'_>> {
        let stun = (!self.stun.is_empty()).then(|| IceServer { urls: &self.stun, credential: None });
        let turn = self
            .turn
            .as_ref()
            .map(|turn| IceServer { urls: &turn.urls, credential: Some(turn.credential(user, now)) });
        stun.into_iter().chain(turn).collect()
    }
}

impl Turn {
    /// `secret`: what coturn calls `static-auth-secret`. A longer `ttl` than [`TURN_CREDENTIAL_TTL_MAX`] is cut to that.
    pub fn new(urls: Vec<String>, secret: &[u8], ttl: Duration) -> Self {
        // The servers know no other. Its weakness against collisions does not touch its use in a MAC.
        let secret = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
        Self { urls, secret, ttl: ttl.min(TURN_CREDENTIAL_TTL_MAX) }
    }

    fn ends_at(&self, now: u64) -> u64 {
        now.saturating_add(self.ttl.as_secs())
    }

    fn credential(&self, user: &UserId, now: u64) -> IceCredential {
        let expires_at = self.ends_at(now);
        // A user id may contain the separator: the servers look for the first.
        let username = format!("{expires_at}:{user}");
        let password = STANDARD.encode(hmac::sign(&self.secret, username.as_bytes()));
        IceCredential { username, password, expires_at: expires_at.saturating_mul(1000) }
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { urls, ttl, .. } = self;
        f.debug_struct("Turn").field("urls", urls).field("ttl", ttl).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn servers(ttl: Duration) -> IceServers {
        let turn = Turn::new(vec!["turn:turn.example.org".to_owned()], SECRET, ttl);
        IceServers::new(vec!["stun:stun.example.org".to_owned()], Some(turn))
    }

    fn credential(user: &str, ttl: Duration, now: u64) -> IceCredential {
        let user = UserId::parse(user).unwrap();
        servers(ttl).of(&user, now).pop().unwrap().credential.unwrap()
    }

    /// The passwords come from `hmac` of Python.
    #[test]
    fn as_coturn_computes_them() {
        let alice = credential("alice", Duration::from_mins(10), 1_700_000_000);
        assert_eq!(
            alice,
            IceCredential {
                username: "1700000600:alice".to_owned(),
                password: "wMBOAcGEIfknqoIzyjafdBBKEx4=".to_owned(),
                expires_at: 1_700_000_600_000,
            }
        );
        let bob = credential("team:bob", Duration::from_mins(1), 1_700_000_000);
        assert_eq!((&*bob.username, &*bob.password), ("1700000060:team:bob", "dTCRUsFUIK5t3JPI9oyBO2bAo7c="));
    }

    #[test]
    fn none_lives_longer_than_ten_minutes() {
        assert_eq!(credential("alice", Duration::from_hours(1), 1_700_000_000).expires_at, 1_700_000_600_000);
    }

    #[test]
    fn stun_servers_need_no_credential_and_without_servers_there_is_none() {
        let alice = UserId::parse("alice").unwrap();
        let both = servers(Duration::from_mins(10));
        let both = both.of(&alice, 0);
        assert_eq!((both.len(), &both[0].credential), (2, &None));
        assert!(IceServers::default().of(&alice, 0).is_empty());
    }

    #[test]
    fn nothing_shows_the_secret() {
        let shown = format!("{:?}", servers(Duration::from_mins(10)));
        assert!(shown.contains("turn.example.org") && !shown.contains("0123456789abcdef"), "{shown}");
        assert!(
            !shown.contains(&format!("{:?}", &SECRET[..4]).trim_matches(['[', ']']).to_owned()),
            "{shown}"
        );
    }
}
