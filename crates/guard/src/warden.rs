//! Who is kept out for what they did: signals of bad behaviour in, measures out, and at each door whether somebody may pass.
//!
//! Shared by all that let somebody in. It knows no clock, no socket and no cluster: the time is an argument, and what is
//! to be done beyond its own tables is handed to whoever asks what is due.

mod ban;
mod config;
mod measure;
mod signal;

use std::net::IpAddr;
use std::sync::OnceLock;

use turnpike_wire::UserId;

pub use ban::{Ban, Standing, Turned, Whom};
pub use config::WardenConfig;
pub use measure::{Evidence, Measure, Rung, Suspect};
pub use signal::Signal;

/// What time it is, in both ways: steadily for measuring, and by the wall for what other nodes are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    pub steady_ms: u64,
    pub unix_ms: u64,
}

type Waker = Box<dyn Fn() + Send + Sync>;

pub struct Warden {
    #[expect(dead_code, reason = "read by what is being built on it")]
    config: WardenConfig,
    waker: OnceLock<Waker>,
}

impl Warden {
    pub fn new(config: WardenConfig) -> Self {
        Self { config, waker: OnceLock::new() }
    }

    /// Called, on whatever thread a report came from, when something has become due. Set once; it must not block.
    pub fn wake(&self, waker: impl Fn() + Send + Sync + 'static) {
        let _ = self.waker.set(Box::new(waker));
    }

    /// A TCP connection, before a byte is read. A trusted proxy always passes: its clients are asked about by
    /// [`Warden::arrive`].
    pub fn knock(&self, peer: IpAddr, at: At) -> Result<(), Turned> {
        let _ = (peer, at);
        Ok(())
    }

    /// A connection that passed has ended.
    pub fn hung_up(&self, peer: IpAddr) {
        let _ = peer;
    }

    /// A session begins; the address is that of the client, resolved behind proxies.
    pub fn arrive(&self, client: IpAddr, at: At) -> Result<(), Turned> {
        let _ = (client, at);
        Ok(())
    }

    /// A session that passed has ended.
    pub fn depart(&self, client: IpAddr) {
        let _ = client;
    }

    pub fn report(&self, client: Option<IpAddr>, user: Option<&UserId>, signal: Signal, at: At) {
        let _ = (client, user, signal, at);
    }

    pub fn user_stands(&self, user: &UserId, at: At) -> Standing {
        let _ = (user, at);
        Standing::Free
    }

    /// Shuts somebody out here. Telling the other nodes is the caller's matter.
    pub fn ban(&self, ban: Ban) {
        let _ = ban;
    }

    pub fn lift(&self, whom: &Whom) {
        let _ = whom;
    }

    pub fn bans(&self, at: At) -> Vec<Ban> {
        let _ = at;
        Vec::new()
    }

    /// What has to be done now. Each is given once.
    pub fn due(&self) -> Vec<Measure> {
        Vec::new()
    }
}
