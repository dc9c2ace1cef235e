//! Who is kept out for what they did: signals of bad behaviour in, measures out, and at each door whether somebody may pass.
//!
//! Shared by all that let somebody in. It knows no clock, no socket and no cluster: the time is an argument, and what is
//! to be done beyond its own tables is handed to whoever asks what is due.

mod ban;
mod bounded;
mod config;
mod door;
mod holds;
mod ladder;
mod measure;
mod notice;
mod score;
mod signal;
mod suspects;
mod watch;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use turnpike_wire::UserId;

pub use ban::{Ban, Restraint, Standing, Turned, Whom};
pub use config::{Bounds, Door, Doors, Terms, WardenConfig};
pub use measure::{Evidence, Measure, Rung};
pub use signal::{Signal, Weight};
pub use watch::Watch;

use crate::address::{AddressKey, AddressRules, Country, Network, Networks, Refused};
use door::{Closed, Gate};
use holds::Holds;
use suspects::{Found, Suspects};

/// What time it is, in both ways: steadily for measuring, and by the wall for what other nodes are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    pub steady_ms: u64,
    pub unix_ms: u64,
}

/// Of the refusals at a door, each of so many counts as one [`Signal::Flood`]: a company behind one address that comes back
/// after an outage is refused for a while, and must not be taken for somebody who wants nothing else.
const REFUSALS_A_FLOOD: u32 = 100;

/// Measures that wait for whoever carries them out. More in one moment than that: the oldest are not carried out beyond the
/// warden's own tables, in which they hold already, and are counted.
const DUE_MAX: usize = 4_096;

type Waker = Box<dyn Fn() + Send + Sync>;
type Witness = Box<dyn Fn(Option<IpAddr>, Option<&UserId>, Signal) + Send + Sync>;

pub struct Warden {
    name: String,
    rules: ArcSwap<AddressRules>,
    proxies: Networks,
    terms: Terms,
    connections: Gate,
    sessions: Gate,
    failures: Gate,
    addresses: Suspects<AddressKey>,
    users: Suspects<UserId>,
    holds: Holds,
    due: Mutex<VecDeque<Measure>>,
    waker: OnceLock<Waker>,
    witness: OnceLock<Witness>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    signals: [AtomicU64; Signal::ALL.len()],
    turned: [AtomicU64; Turned::SLUGS.len()],
    measures: [AtomicU64; Rung::ALL.len()],
    measures_lost: AtomicU64,
}

/// How much a warden remembers, and what it has seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Levels {
    pub bans: usize,
    pub mutes: usize,
    /// Addresses that are counted at the doors.
    pub addresses: usize,
    /// Addresses and users that something speaks against.
    pub suspects: usize,
    /// Each signal with how often it was seen.
    pub signals: Vec<(Signal, u64)>,
    /// Each reason with how often somebody was turned away for it at a door.
    pub turned: Vec<(&'static str, u64)>,
    /// Each rung with how often it was taken here.
    pub measures: Vec<(Rung, u64)>,
    /// Measures that were not carried out because too many were due at once.
    pub measures_lost: u64,
    /// What was forgotten before its time because a table was full.
    pub crowded_out: u64,
    /// Who was turned away because a table was full of addresses with something open.
    pub untracked: u64,
}

impl Warden {
    pub fn new(config: WardenConfig) -> Self {
        let WardenConfig { name, rules, proxies, doors, terms, bounds } = config;
        Self {
            name,
            rules: ArcSwap::from_pointee(rules),
            proxies,
            connections: Gate::new(doors.connections, bounds.addresses_max),
            sessions: Gate::new(doors.sessions, bounds.addresses_max),
            failures: Gate::new(doors.failures, bounds.addresses_max),
            addresses: Suspects::new(terms.clone(), bounds.suspects_max),
            users: Suspects::new(terms.clone(), bounds.suspects_max),
            holds: Holds::new(bounds.bans_max),
            terms,
            due: Mutex::default(),
            waker: OnceLock::new(),
            witness: OnceLock::new(),
            counts: Counts::default(),
        }
    }

    /// From now on these hold for whoever comes. Who is in stays.
    pub fn replace_rules(&self, rules: AddressRules) {
        self.rules.store(Arc::new(rules));
    }

    /// Called, on whatever thread a report came from, when something has become due. Set once; it must not block.
    pub fn wake(&self, waker: impl Fn() + Send + Sync + 'static) {
        let _ = self.waker.set(Box::new(waker));
    }

    /// Called with each signal, on whatever thread it is reported, also where nothing follows from it. Set once; it must not
    /// block.
    pub fn witness(&self, witness: impl Fn(Option<IpAddr>, Option<&UserId>, Signal) + Send + Sync + 'static) {
        let _ = self.witness.set(Box::new(witness));
    }

    /// A TCP connection, before a byte is read. A trusted proxy always passes: its clients are asked about by
    /// [`Warden::arrive`].
    pub fn knock(&self, peer: IpAddr, at: At) -> Result<(), Turned> {
        if self.proxies.contains(peer) {
            return Ok(());
        }
        let passed = self.pass(&self.connections, peer, at, Rung::Ban);
        self.count_turned(passed)
    }

    /// A connection that passed has ended.
    pub fn hung_up(&self, peer: IpAddr) {
        // Of one that was not counted nothing is known.
        self.connections.leave(AddressKey::of(peer));
    }

    /// A session begins; the address is that of the client, resolved behind proxies.
    pub fn arrive(&self, client: IpAddr, at: At) -> Result<(), Turned> {
        if self.proxies.contains(client) {
            return Ok(());
        }
        let passed = self.pass(&self.sessions, client, at, Rung::Mute);
        self.count_turned(passed)
    }

    /// A session that passed has ended.
    pub fn depart(&self, client: IpAddr) {
        self.sessions.leave(AddressKey::of(client));
    }

    /// Whether somebody may do something over HTTP from there: the rules and bans alone, nothing is counted.
    pub fn address_stands(&self, client: IpAddr, at: At) -> Result<(), Turned> {
        let passed = self.check(client, at, Rung::Ban);
        self.count_turned(passed)
    }

    /// For those who are inside already. Nothing is counted by this.
    pub fn is_banned(&self, client: IpAddr, at: At) -> bool {
        matches!(self.check(client, at, Rung::Ban), Err(Turned::Banned { .. }))
    }

    /// Something was seen of an address, of a user, or of both.
    pub fn report(&self, client: Option<IpAddr>, user: Option<&UserId>, signal: Signal, at: At) {
        self.counts.signals[signal as usize].fetch_add(1, Ordering::Relaxed);
        if let Some(witness) = self.witness.get() {
            witness(client, user, signal);
        }
        if !self.terms.enabled {
            return;
        }
        let weight = signal.weight();
        if let Some(user) = user
            && let Some(found) = self.users.add(user, signal, weight.user, at.steady_ms)
        {
            self.take(Whom::User(user.clone()), found, at);
        }
        if let Some(address) = client.filter(|address| self.is_scored(*address)) {
            let weight = if user.is_some() { weight.beside } else { weight.alone };
            let key = AddressKey::of(address);
            if let Some(found) = self.addresses.add(&key, signal, weight, at.steady_ms) {
                self.take(Whom::Network(Network::from(key)), found, at);
            }
        }
    }

    fn restrains_nobody(&self) -> bool {
        self.holds.is_empty()
    }

    pub fn user_stands(&self, user: &UserId, at: At) -> Standing {
        match self.holds.of_user(user, at.unix_ms) {
            None => Standing::Free,
            Some((Rung::Ban, until_ms)) => Standing::Banned { until_ms },
            Some((Rung::Mute | Rung::Disconnect, until_ms)) => {
                Standing::Muted { retry_after_ms: until_ms - at.unix_ms }
            }
        }
    }

    /// Where an address belongs, as far as the database knows.
    pub fn country(&self, client: IpAddr) -> Option<Country> {
        self.rules.load().countries.countries.country(client)
    }

    /// How much speaks against somebody right now.
    pub fn score(&self, whom: &Whom, at: At) -> f32 {
        match whom {
            Whom::User(user) => self.users.score(user, at.steady_ms),
            Whom::Network(network) => self.addresses.score(&AddressKey::of(network.first()), at.steady_ms),
        }
    }

    /// Shuts somebody out here. Telling the other nodes is the caller's matter.
    pub fn ban(&self, ban: Ban) {
        self.holds.place(ban.into(), 0);
    }

    /// Somebody there was not let in for want of a token that counts. A company whose tokens have all ended may try for a while;
    /// whoever does nothing else is a flood.
    pub fn login_failed(&self, client: IpAddr, at: At) {
        if !self.is_scored(client) {
            return;
        }
        let key = AddressKey::of(client);
        match self.failures.enter(key, at.steady_ms) {
            Ok(()) => self.failures.leave(key),
            Err(_) => self.report(Some(client), None, Signal::Flood, at),
        }
    }

    /// What holds on another node holds here as well. False if nothing is changed by it.
    pub fn restrain(&self, restraint: Restraint, at: At) -> bool {
        self.holds.place(restraint, at.unix_ms)
    }

    /// Takes back what holds, and forgets what led to it: else the next signal would bring it back.
    pub fn lift(&self, whom: &Whom) -> Option<Restraint> {
        match whom {
            Whom::User(user) => self.users.forgive(user),
            Whom::Network(network) => self.addresses.forgive(&AddressKey::of(network.first())),
        }
        self.holds.lift(whom)
    }

    pub fn bans(&self, at: At) -> Vec<Ban> {
        let bans = self.restraints(at).into_iter().filter(|restraint| restraint.rung == Rung::Ban);
        bans.map(|Restraint { whom, until_ms, reason, by, .. }| Ban { whom, until_ms, reason, by }).collect()
    }

    /// Who it is that places bans here.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Mutes and bans.
    pub fn restraints(&self, at: At) -> Vec<Restraint> {
        self.holds.all(at.unix_ms)
    }

    /// What has to be done now. Each is given once.
    pub fn due(&self) -> Vec<Measure> {
        self.queue().drain(..).collect()
    }

    /// Forgets what is over. Gives the restraints among it. To be called every few seconds.
    pub fn sweep(&self, at: At) -> Vec<Restraint> {
        self.connections.sweep(at.steady_ms);
        self.sessions.sweep(at.steady_ms);
        self.failures.sweep(at.steady_ms);
        self.addresses.sweep(at.steady_ms);
        self.users.sweep(at.steady_ms);
        self.holds.over(at.unix_ms)
    }

    pub fn levels(&self, at: At) -> Levels {
        let restraints = self.restraints(at);
        let bans = restraints.iter().filter(|restraint| restraint.rung == Rung::Ban).count();
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &self.counts;
        Levels {
            bans,
            mutes: restraints.len() - bans,
            addresses: self.connections.addresses() + self.sessions.addresses() + self.failures.addresses(),
            suspects: self.addresses.len() + self.users.len(),
            signals: Signal::ALL.into_iter().zip(counts.signals.iter().map(read)).collect(),
            turned: Turned::SLUGS.into_iter().zip(counts.turned.iter().map(read)).collect(),
            measures: Rung::ALL.into_iter().zip(counts.measures.iter().map(read)).collect(),
            measures_lost: read(&counts.measures_lost),
            crowded_out: self.holds.crowded_out() + self.addresses.crowded_out() + self.users.crowded_out(),
            untracked: self.connections.untracked() + self.sessions.untracked() + self.failures.untracked(),
        }
    }

    fn is_scored(&self, address: IpAddr) -> bool {
        !self.rules.load().is_exempt(address) && !self.proxies.contains(address)
    }

    /// `refused_from`: from which rung on an address is refused here.
    fn check(&self, address: IpAddr, at: At, refused_from: Rung) -> Result<(), Turned> {
        self.rules.load().check(address).map_err(|refused| match refused {
            Refused::Address => Turned::Address,
            Refused::Country => Turned::Country,
        })?;
        match self.holds.of_address(address, at.unix_ms) {
            Some(_) if !self.is_scored(address) => Ok(()),
            Some((rung, until_ms)) if rung >= refused_from => Err(match rung {
                Rung::Ban => Turned::Banned { until_ms },
                Rung::Mute | Rung::Disconnect => Turned::TooMany { retry_after_ms: until_ms - at.unix_ms },
            }),
            _ => Ok(()),
        }
    }

    fn pass(&self, gate: &Gate, address: IpAddr, at: At, refused_from: Rung) -> Result<(), Turned> {
        self.check(address, at, refused_from)?;
        if self.rules.load().is_exempt(address) {
            return Ok(());
        }
        gate.enter(AddressKey::of(address), at.steady_ms).map_err(|Closed { retry_after_ms, refused }| {
            if refused > 0 && refused.is_multiple_of(REFUSALS_A_FLOOD) {
                self.report(Some(address), None, Signal::Flood, at);
            }
            Turned::TooMany { retry_after_ms }
        })
    }

    /// The measure holds from here on; the rest of it is due.
    fn take(&self, whom: Whom, found: Found, at: At) {
        let Found { rung, lasts_ms, score, evidence } = found;
        let until_ms = at.unix_ms.saturating_add(lasts_ms);
        let measure = Measure { whom, rung, until_ms, score, evidence };
        if !self.holds.place(measure.restraint(self.name.clone()), at.unix_ms) {
            // Another node, or an operator, has done more already.
            return;
        }
        self.counts.measures[rung as usize].fetch_add(1, Ordering::Relaxed);
        let mut due = self.queue();
        if due.len() >= DUE_MAX {
            due.pop_front();
            self.counts.measures_lost.fetch_add(1, Ordering::Relaxed);
        }
        due.push_back(measure);
        drop(due);
        if let Some(wake) = self.waker.get() {
            wake();
        }
    }

    fn count_turned(&self, passed: Result<(), Turned>) -> Result<(), Turned> {
        if let Err(turned) = &passed
            && let Some(place) = Turned::SLUGS.iter().position(|slug| *slug == turned.slug())
        {
            self.counts.turned[place].fetch_add(1, Ordering::Relaxed);
        }
        passed
    }

    // What is done under the lock cannot panic half way.
    fn queue(&self) -> std::sync::MutexGuard<'_, VecDeque<Measure>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
