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

    pub fn user_stands(&self, user: &UserId) -> Standing {
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
