//! Keeping order: what is seen here is told to the warden, and what the warden decides is carried out, here and by the
//! bulletin on all nodes.
//!
//! A measure holds in the warden's tables at the moment of the signal that made it. What is left to do (the record, the
//! word to the other nodes, closing connections) is done by one task that the warden wakes.

mod carrying;
mod meters;
mod seen;
mod told;

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::Notify;
use turnpike_audit::Audit;
use turnpike_engine::{Noticed, TurnedAway};
use turnpike_guard::{Signal, Standing, TokenError, Turned, Watch};
use turnpike_wire::event::ClientEvent;
use turnpike_wire::{Code, Failure, UserId};

use crate::audited::{self, By};

pub(crate) use self::meters::register;
pub(crate) use self::seen::Seen;
pub(crate) use self::told::{begin, sweep};

/// What this node asks and tells the warden.
pub(crate) struct Policing {
    pub(crate) watch: Watch,
    audit: Audit,
    woken: Arc<Notify>,
}

impl Policing {
    pub(crate) fn new(watch: Watch, audit: Audit) -> Self {
        let woken = Arc::new(Notify::new());
        let wakes = Arc::clone(&woken);
        watch.warden.wake(move || wakes.notify_one());
        // Whoever reports it, here or beside the gateway: what made a score is on record before anything follows from it.
        let log = audit.clone();
        watch.warden.witness(move |client, user, signal| {
            let by = By { user: user.map(UserId::as_str), address: client, ..By::default() };
            audited::signalled(&log, by, signal.slug());
        });
        Self { watch, audit, woken }
    }

    pub(crate) fn report(&self, client: Option<IpAddr>, user: Option<&UserId>, signal: Signal) {
        self.watch.report(client, user, signal);
    }

    /// Whether a connection is read at all.
    pub(crate) fn knock(&self, peer: IpAddr) -> bool {
        self.watch.knock(peer).map_err(|turned| self.write_down(peer, turned)).is_ok()
    }

    pub(crate) fn hung_up(&self, peer: IpAddr) {
        self.watch.warden.hung_up(peer);
    }

    pub(crate) fn may_ask(&self, client: IpAddr) -> Result<(), TurnedAway> {
        self.watch.address_stands(client).map_err(|turned| self.turned_away(client, turned))
    }

    pub(crate) fn arrive(&self, client: IpAddr) -> Result<(), TurnedAway> {
        self.watch.arrive(client).map_err(|turned| self.turned_away(client, turned))
    }

    pub(crate) fn depart(&self, client: IpAddr) {
        self.watch.warden.depart(client);
    }

    /// What the engine saw, of an address.
    pub(crate) fn noticed(&self, client: IpAddr, what: Noticed) {
        let signal = match what {
            Noticed::Malformed | Noticed::NotIntroduced => Signal::Malformed,
            Noticed::TooLarge => Signal::Flood,
            Noticed::SlowReader | Noticed::SlowSender => Signal::SlowReader,
            Noticed::Idle => Signal::Churn,
            Noticed::OriginRefused => Signal::OriginRefused,
            Noticed::SessionUnknown => Signal::SessionGuess,
        };
        if what == Noticed::OriginRefused {
            audited::origin_refused(&self.audit, By::address(client));
        }
        self.report(Some(client), None, signal);
    }

    /// A token was refused.
    pub(crate) fn token_refused(&self, client: Option<IpAddr>, user: Option<&UserId>, error: &TokenError) {
        self.watch.login_failed(client);
        if error.is_an_attempt() {
            self.report(client, user, Signal::BadToken);
        }
    }

    /// None was shown.
    pub(crate) fn token_missing(&self, client: Option<IpAddr>) {
        self.watch.login_failed(client);
    }

    /// Whether a user may come in. The failure says for how long not.
    pub(crate) fn may_enter(&self, user: &UserId) -> Result<(), Failure> {
        match self.watch.user_stands(user) {
            Standing::Free | Standing::Muted { .. } => Ok(()),
            Standing::Banned { until_ms } => Err(self.banned(until_ms)),
        }
    }

    /// Whether a user who is here may do that. Who is muted may listen, read and go.
    pub(crate) fn may_do(
        &self,
        client: Option<IpAddr>,
        user: &UserId,
        event: ClientEvent,
    ) -> Result<(), Failure> {
        let speaks = matches!(
            event,
            ClientEvent::MessageSend
                | ClientEvent::TypingStart
                | ClientEvent::PresenceUpdate
                | ClientEvent::MediaPublish
        );
        match self.watch.user_stands(user) {
            Standing::Muted { retry_after_ms } if speaks => {
                self.report(client, Some(user), Signal::Flood);
                Err(Failure::new(Code::RateLimited, "muted for a while").retry_after_ms(retry_after_ms))
            }
            Standing::Free | Standing::Muted { .. } => Ok(()),
            // The connection is being closed.
            Standing::Banned { until_ms } => Err(self.banned(until_ms)),
        }
    }

    fn banned(&self, until_ms: u64) -> Failure {
        let left_ms = until_ms.saturating_sub(self.watch.now().unix_ms);
        Failure::from(Code::Banned).retry_after_ms(left_ms)
    }

    fn turned_away(&self, client: IpAddr, turned: Turned) -> TurnedAway {
        self.write_down(client, turned);
        let after = |ms: u64| Some(std::time::Duration::from_millis(ms));
        let (status, retry_after) = match turned {
            Turned::Banned { until_ms } => (403, after(until_ms.saturating_sub(self.watch.now().unix_ms))),
            Turned::Address | Turned::Country => (403, None),
            Turned::TooMany { retry_after_ms } => (429, after(retry_after_ms)),
        };
        TurnedAway { status, slug: turned.slug(), retry_after }
    }

    /// Records of one address and reason are merged by the log.
    fn write_down(&self, client: IpAddr, turned: Turned) {
        let by = By::address(client);
        match turned {
            Turned::Country => {
                let country = self.watch.warden.country(client).map(|country| country.to_string());
                let by = By { country: country.as_deref(), ..by };
                audited::country_refused(&self.audit, by);
            }
            Turned::Banned { .. } | Turned::Address | Turned::TooMany { .. } => {
                audited::address_refused(&self.audit, by, turned.slug());
            }
        }
    }
}
