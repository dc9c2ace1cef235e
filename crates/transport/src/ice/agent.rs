//! The agent: its credentials, its pairs, and what is due when.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;

use super::bucket::Bucket;
use super::pair::Pair;
use super::replay::Seen;
use crate::config::{IceMode, TransportConfig};
use crate::credentials::Credentials;
use crate::output::Output;
use crate::stun::{Class, Message, TransactionId};
use crate::transport::{Dropped, Event, Path};

/// One side of a session with one peer.
pub(crate) struct Agent {
    pub(super) lite: bool,
    pub(super) controlling: bool,
    pub(super) tie_breaker: u64,
    pub(super) current: Generation,
    /// The credentials of the selected pair, if it was made before the last restart.
    pub(super) previous: Option<Generation>,
    /// Candidates of the peer with their priorities.
    pub(super) candidates: Vec<(SocketAddr, u32)>,
    pub(super) pairs: Vec<Pair>,
    pub(super) serials: u32,
    /// Serial of the selected pair, and its path.
    pub(super) selected: Option<(u32, Path)>,
    /// The handshake is complete: a path is only left for a reason.
    pub(super) settled: bool,
    pub(super) seen: Seen,
    pub(super) bucket: Bucket,
    pub(super) consent: Duration,
    pub(super) consent_check: Duration,
    /// When our next consent check goes out.
    pub(super) consent_at: Option<Instant>,
    /// When the best pair is nominated, if that is ours to do.
    pub(super) nominate_at: Option<Instant>,
    pairs_max: usize,
    candidates_max: usize,
    secret: [u8; 32],
    transactions: u64,
}

/// The credentials between two restarts.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) number: u32,
    pub(super) local: Credentials,
    pub(super) remote: Option<Credentials>,
}

impl Agent {
    pub(crate) fn new(
        config: &TransportConfig,
        local: Credentials,
        remote: Option<Credentials>,
        controlling: bool,
        now: Instant,
    ) -> Self {
        let mut secret = [0; 32];
        secret.copy_from_slice(digest::digest(&digest::SHA256, local.pwd().as_bytes()).as_ref());
        let mut agent = Self {
            lite: config.ice == IceMode::Lite,
            controlling: controlling && config.ice == IceMode::Full,
            tie_breaker: 0,
            current: Generation { number: 1, local, remote },
            previous: None,
            candidates: Vec::new(),
            pairs: Vec::new(),
            serials: 0,
            selected: None,
            settled: false,
            seen: Seen::new(),
            bucket: Bucket::new(config.limits.stun_per_second_max, now),
            consent: config.timeouts.consent,
            consent_check: config.timeouts.consent_check,
            consent_at: None,
            nominate_at: None,
            pairs_max: config.limits.pairs_max.max(2),
            candidates_max: config.limits.candidates_max,
            secret,
            transactions: 0,
        };
        let transaction = agent.transaction();
        agent.tie_breaker = transaction[..8].iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
        agent
    }

    /// Takes a datagram that looks like STUN.
    pub(crate) fn handle(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &[u8],
        out: &mut Output,
    ) -> Result<(), Dropped> {
        let message = Message::parse(datagram).map_err(|_| Dropped::StunMalformed)?;
        if message.method() != crate::stun::BINDING {
            return Err(Dropped::StunMalformed);
        }
        match message.class() {
            Class::Request => self.request(now, path, &message, out),
            Class::Success | Class::Error => self.response(now, path, &message, out),
            // A keepalive (RFC 8445 11): nothing is to be done, and it proves nothing.
            Class::Indication => Ok(()),
        }
    }

    pub(crate) fn set_remote(&mut self, remote: Credentials, now: Instant, out: &mut Output) {
        self.current.remote = Some(remote);
        for at in 0..self.pairs.len() {
            self.trigger(at, now, out);
        }
    }

    /// New credentials on both sides. The selected path stays in use until a pair of the new ones is selected.
    pub(crate) fn restart(&mut self, local: Credentials, remote: Option<Credentials>, out: &mut Output) {
        let number = self.current.number + 1;
        let old = std::mem::replace(&mut self.current, Generation { number, local, remote });
        let in_use = self.selected_pair().map(|pair| pair.generation);
        if in_use == Some(old.number) {
            self.previous = Some(old);
        }
        self.candidates.clear();
        self.nominate_at = None;
        self.retain(|pair| Some(pair.generation) == in_use, out);
    }

    pub(crate) fn add_candidate(&mut self, address: SocketAddr, priority: u32) {
        if self.candidates.len() < self.candidates_max {
            self.candidates.push((address, priority));
            for pair in &mut self.pairs {
                if pair.path.remote == address && pair.generation == self.current.number {
                    pair.priority = priority;
                }
            }
        }
    }

    /// Whether a valid check came on this path, so that other datagrams from there are looked at.
    pub(crate) fn knows(&self, path: Path) -> bool {
        self.selected.is_some_and(|(_, selected)| selected == path)
            || self.pairs.iter().any(|pair| pair.path == path)
    }

    /// The path that is used to send.
    pub(crate) fn path(&self) -> Option<Path> {
        self.selected.map(|(_, path)| path)
    }

    /// The handshake is complete.
    pub(crate) fn settle(&mut self) {
        self.settled = true;
    }

    /// Consent ends then, if nothing renews it.
    pub(crate) fn consent_until(&self) -> Option<Instant> {
        let pair = self.selected_pair()?;
        let last = if self.lite { pair.heard } else { pair.confirmed? };
        Some(last + self.consent)
    }

    /// When [`Agent::tick`] has something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        let checks = self.pairs.iter().filter_map(|pair| pair.check.as_ref()).map(|check| check.due);
        checks.chain(self.consent_at).chain(self.nominate_at).min()
    }

    /// An identifier nobody else can guess: the password is the entropy.
    pub(super) fn transaction(&mut self) -> TransactionId {
        self.transactions += 1;
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(&self.secret);
        hash.update(&self.transactions.to_be_bytes());
        let mut id = [0; 12];
        id.copy_from_slice(&hash.finish().as_ref()[..12]);
        id
    }

    pub(super) fn generation(&self, number: u32) -> Option<&Generation> {
        [Some(&self.current), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .find(|known| known.number == number)
    }

    pub(super) fn selected_pair(&self) -> Option<&Pair> {
        let (serial, _) = self.selected?;
        self.pairs.iter().find(|pair| pair.serial == serial)
    }

    /// The place of the pair, which is made if it is new; then the one that was unheard for longest may make place.
    pub(super) fn pair(
        &mut self,
        now: Instant,
        path: Path,
        generation: u32,
        priority: u32,
        out: &mut Output,
    ) -> usize {
        let known = self.pairs.iter().position(|pair| pair.path == path && pair.generation == generation);
        if let Some(at) = known {
            return at;
        }
        if self.pairs.len() >= self.pairs_max {
            let selected = self.selected.map(|(serial, _)| serial);
            let oldest =
                self.pairs.iter().filter(|pair| Some(pair.serial) != selected).min_by_key(|pair| pair.heard);
            if let Some(oldest) = oldest.map(|pair| pair.serial) {
                self.retain(|pair| pair.serial != oldest, out);
            }
        }
        if !self.pairs.iter().any(|pair| pair.path == path) {
            out.event(Event::Bound(path));
        }
        let signalled = self.candidates.iter().find(|(address, _)| *address == path.remote);
        self.serials += 1;
        self.pairs.push(Pair {
            path,
            serial: self.serials,
            generation,
            priority: signalled.map_or(priority, |(_, priority)| *priority),
            heard: now,
            confirmed: None,
            nominated: None,
            deposed: false,
            media: false,
            check: None,
        });
        self.pairs.len() - 1
    }

    /// The session is over: every path is given back.
    pub(crate) fn retain_none(&mut self, out: &mut Output) {
        self.selected = None;
        self.retain(|_| false, out);
    }

    /// Forgets pairs, and says which paths nobody knows any more.
    pub(super) fn retain(&mut self, keep: impl Fn(&Pair) -> bool, out: &mut Output) {
        let mut at = 0;
        while at < self.pairs.len() {
            if keep(&self.pairs[at]) {
                at += 1;
                continue;
            }
            let gone = self.pairs.remove(at).path;
            if !self.pairs.iter().any(|pair| pair.path == gone) {
                out.event(Event::Unbound(gone));
            }
        }
    }
}
