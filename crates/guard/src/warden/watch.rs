//! A warden with a clock: what those hold who let somebody in.
//!
//! All who share a warden share its clock, or a rate would be filled by one's time and emptied by another's.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use turnpike_wire::UserId;

use super::{At, Signal, Standing, Turned, Warden};

/// Cheap to clone.
#[derive(Clone)]
pub struct Watch {
    pub warden: Arc<Warden>,
    now: Arc<dyn Fn() -> At + Send + Sync>,
}

impl Watch {
    pub fn new(warden: Arc<Warden>, now: impl Fn() -> At + Send + Sync + 'static) -> Self {
        Self { warden, now: Arc::new(now) }
    }

    pub fn now(&self) -> At {
        (self.now)()
    }

    pub fn knock(&self, peer: IpAddr) -> Result<(), Turned> {
        self.warden.knock(peer, self.now())
    }

    pub fn arrive(&self, client: IpAddr) -> Result<(), Turned> {
        self.warden.arrive(client, self.now())
    }

    pub fn address_stands(&self, client: IpAddr) -> Result<(), Turned> {
        self.warden.address_stands(client, self.now())
    }

    /// Nothing is counted by this, nor anybody turned away.
    pub fn is_banned(&self, client: IpAddr) -> bool {
        self.warden.is_banned(client, self.now())
    }

    /// Asked of each event. Mostly nobody is restrained, and the time is of no interest.
    pub fn user_stands(&self, user: &UserId) -> Standing {
        if self.warden.restrains_nobody() {
            return Standing::Free;
        }
        self.warden.user_stands(user, self.now())
    }

    pub fn login_failed(&self, client: Option<IpAddr>) {
        if let Some(client) = client {
            self.warden.login_failed(client, self.now());
        }
    }

    pub fn report(&self, client: Option<IpAddr>, user: Option<&UserId>, signal: Signal) {
        self.warden.report(client, user, signal, self.now());
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::warden::{Restraint, Rung, WardenConfig, Whom};

    #[test]
    fn the_clock_is_read_for_those_alone_who_may_be_restrained() {
        let reads = Arc::new(AtomicU32::new(0));
        let (at, counted) = (At { steady_ms: 1_000, unix_ms: 1_000 }, Arc::clone(&reads));
        let now = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            at
        };
        let watch = Watch::new(Arc::new(Warden::new(WardenConfig::default())), now);
        let (alice, bob) = (UserId::parse("alice").unwrap(), UserId::parse("bob").unwrap());
        assert_eq!(watch.user_stands(&alice), Standing::Free);
        assert_eq!(reads.load(Ordering::Relaxed), 0);
        let whom = Whom::User(alice.clone());
        let (reason, by) = ("spam".to_owned(), "operator".to_owned());
        let restraint = Restraint { whom: whom.clone(), rung: Rung::Ban, reason, by, until_ms: 2_000 };
        assert!(watch.warden.restrain(restraint, at));
        assert_eq!(watch.user_stands(&alice), Standing::Banned { until_ms: 2_000 });
        assert_eq!(watch.user_stands(&bob), Standing::Free);
        watch.warden.lift(&whom).unwrap();
        assert_eq!(watch.user_stands(&alice), Standing::Free);
        assert_eq!(reads.load(Ordering::Relaxed), 2);
    }
}
