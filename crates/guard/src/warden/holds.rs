//! Who is restrained right now: bans and mutes, placed here or told by another node. Bounded: those that end first go first.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use turnpike_wire::UserId;

use super::ban::{Restraint, Whom};
use super::measure::Rung;
use crate::address::Network;

/// Texts in a restraint are cut to this: they come from other nodes, and from operators.
const TEXT_BYTES_MAX: usize = 256;

pub(super) struct Holds {
    entries_max: usize,
    held: RwLock<Held>,
    /// False: nobody is asked for. Most nodes, most of the time.
    any: AtomicBool,
    crowded_out: AtomicU64,
}

#[derive(Default)]
struct Held {
    users: HashMap<UserId, Restraint>,
    networks: HashMap<Network, Restraint>,
    /// How many networks of each length there are: a look asks for each length once.
    lengths_v4: Vec<(u8, usize)>,
    lengths_v6: Vec<(u8, usize)>,
    /// By their end, and of those that end at once in the order in which they came.
    ends: BTreeSet<(u64, u64)>,
    whoms: HashMap<u64, Whom>,
    drawn: u64,
    numbers: HashMap<Whom, (u64, u64)>,
}

impl Holds {
    pub(super) fn new(entries_max: usize) -> Self {
        let (held, any, crowded_out) = (RwLock::default(), AtomicBool::new(false), AtomicU64::new(0));
        Self { entries_max: entries_max.max(1), held, any, crowded_out }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    pub(super) fn of_user(&self, user: &UserId, unix_ms: u64) -> Option<(Rung, u64)> {
        if self.is_empty() {
            return None;
        }
        let held = self.read();
        let found = held.users.get(user)?;
        (unix_ms < found.until_ms).then_some((found.rung, found.until_ms))
    }

    /// Of the networks that the address is in, the hardest.
    pub(super) fn of_address(&self, address: IpAddr, unix_ms: u64) -> Option<(Rung, u64)> {
        if self.is_empty() {
            return None;
        }
        let held = self.read();
        let lengths =
            if Network::single(address).first().is_ipv4() { &held.lengths_v4 } else { &held.lengths_v6 };
        let found =
            lengths.iter().filter_map(|(length, _)| held.networks.get(&Network::around(address, *length)));
        let found = found.filter(|found| unix_ms < found.until_ms);
        found.map(|found| (found.rung, found.until_ms)).max()
    }

    /// What is harder and holds still is not softened. False if it changed nothing.
    pub(super) fn place(&self, mut restraint: Restraint, unix_ms: u64) -> bool {
        if restraint.until_ms <= unix_ms {
            return false;
        }
        cut(&mut restraint.reason);
        cut(&mut restraint.by);
        let mut held = self.write();
        if let Some(known) = held.get(&restraint.whom)
            && unix_ms < known.until_ms
            && (known.rung > restraint.rung || *known == restraint)
        {
            return false;
        }
        held.remove(&restraint.whom);
        while held.numbers.len() >= self.entries_max {
            let Some((_, number)) = held.ends.first().copied() else { break };
            let whom = held.whoms[&number].clone();
            held.remove(&whom);
            self.crowded_out.fetch_add(1, Ordering::Relaxed);
        }
        held.insert(restraint);
        self.any.store(true, Ordering::Release);
        true
    }

    pub(super) fn lift(&self, whom: &Whom) -> Option<Restraint> {
        let mut held = self.write();
        let lifted = held.remove(whom);
        self.any.store(!held.numbers.is_empty(), Ordering::Release);
        lifted
    }

    /// Takes out those that are over.
    pub(super) fn over(&self, unix_ms: u64) -> Vec<Restraint> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut held = self.write();
        let mut over = Vec::new();
        while let Some((until_ms, number)) = held.ends.first().copied()
            && until_ms <= unix_ms
        {
            let whom = held.whoms[&number].clone();
            over.extend(held.remove(&whom));
        }
        self.any.store(!held.numbers.is_empty(), Ordering::Release);
        over
    }

    pub(super) fn all(&self, unix_ms: u64) -> Vec<Restraint> {
        let held = self.read();
        let all = held.users.values().chain(held.networks.values());
        all.filter(|restraint| unix_ms < restraint.until_ms).cloned().collect()
    }

    pub(super) fn crowded_out(&self) -> u64 {
        self.crowded_out.load(Ordering::Relaxed)
    }

    // Nothing that is done under the lock can panic half way.
    fn read(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Held> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn get(&self, whom: &Whom) -> Option<&Restraint> {
        match whom {
            Whom::User(user) => self.users.get(user),
            Whom::Network(network) => self.networks.get(network),
        }
    }

    fn insert(&mut self, restraint: Restraint) {
        let (whom, until_ms) = (restraint.whom.clone(), restraint.until_ms);
        self.drawn += 1;
        self.ends.insert((until_ms, self.drawn));
        self.whoms.insert(self.drawn, whom.clone());
        self.numbers.insert(whom.clone(), (until_ms, self.drawn));
        match whom {
            Whom::User(user) => drop(self.users.insert(user, restraint)),
            Whom::Network(network) => {
                self.networks.insert(network, restraint);
                let lengths = self.lengths(network);
                match lengths.iter_mut().find(|(length, _)| *length == network.prefix()) {
                    Some((_, count)) => *count += 1,
                    None => lengths.push((network.prefix(), 1)),
                }
            }
        }
    }

    fn remove(&mut self, whom: &Whom) -> Option<Restraint> {
        let end = self.numbers.remove(whom)?;
        self.ends.remove(&end);
        self.whoms.remove(&end.1);
        match whom {
            Whom::User(user) => self.users.remove(user),
            Whom::Network(network) => {
                let lengths = self.lengths(*network);
                for (length, count) in lengths.iter_mut() {
                    *count -= usize::from(*length == network.prefix());
                }
                lengths.retain(|(_, count)| *count > 0);
                self.networks.remove(network)
            }
        }
    }

    fn lengths(&mut self, network: Network) -> &mut Vec<(u8, usize)> {
        if network.first().is_ipv4() { &mut self.lengths_v4 } else { &mut self.lengths_v6 }
    }
}

fn cut(text: &mut String) {
    let mut end = TEXT_BYTES_MAX.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restraint(whom: &str, rung: Rung, until_ms: u64) -> Restraint {
        let whom = Whom::parse(whom).unwrap();
        Restraint { whom, rung, until_ms, reason: "a test".to_owned(), by: "nobody".to_owned() }
    }

    #[test]
    fn networks_of_all_lengths() {
        let holds = Holds::new(100);
        for (whom, until_ms) in [
            ("network:192.0.2.7", 100),
            ("network:192.0.2.0/24", 200),
            ("network:2001:db8:1::/64", 300),
            ("user:anna", 50),
        ] {
            assert!(holds.place(restraint(whom, Rung::Ban, until_ms), 0));
        }
        let until =
            |address: &str, now| holds.of_address(address.parse().unwrap(), now).map(|(_, until)| until);
        assert_eq!(until("192.0.2.7", 0), Some(200));
        assert_eq!(until("::ffff:192.0.2.9", 199), Some(200));
        assert_eq!(until("192.0.2.7", 200), None);
        assert_eq!(until("192.0.3.7", 0), None);
        assert_eq!(until("2001:db8:1::5", 0), Some(300));
        assert_eq!(until("2001:db8:2::5", 0), None);
        assert_eq!(holds.of_user(&UserId::parse("anna").unwrap(), 49), Some((Rung::Ban, 50)));
        assert_eq!(holds.of_user(&UserId::parse("anna").unwrap(), 50), None);
        let over = holds.over(250);
        assert_eq!(over.len(), 3);
        assert_eq!(holds.all(250).len(), 1);
        assert!(holds.lift(&Whom::parse("network:2001:db8:1::/64").unwrap()).is_some());
        assert_eq!(until("2001:db8:1::5", 0), None);
        let held = holds.read();
        assert!(held.ends.is_empty() && held.whoms.is_empty() && held.numbers.is_empty());
        assert!(held.lengths_v4.is_empty() && held.lengths_v6.is_empty());
    }

    #[test]
    fn a_ban_is_not_softened_by_a_mute() {
        let holds = Holds::new(100);
        assert!(holds.place(restraint("user:anna", Rung::Ban, 100), 0));
        assert!(!holds.place(restraint("user:anna", Rung::Ban, 100), 0), "known");
        assert!(!holds.place(restraint("user:anna", Rung::Mute, 500), 50));
        assert!(holds.place(restraint("user:anna", Rung::Ban, 80), 50), "but an operator may shorten it");
        assert!(holds.place(restraint("user:anna", Rung::Mute, 500), 80));
        assert_eq!(holds.all(80).len(), 1);
    }

    #[test]
    fn bounded_in_number_and_in_size() {
        let holds = Holds::new(100);
        for number in 0..1_000_u32 {
            let mut restraint = restraint(&format!("user:u{number}"), Rung::Ban, 10_000 + u64::from(number));
            restraint.reason = "é".repeat(10_000);
            holds.place(restraint, 0);
        }
        let all = holds.all(0);
        assert_eq!((all.len(), holds.crowded_out()), (100, 900));
        assert!(all.iter().all(|kept| kept.until_ms >= 10_900 && kept.reason.len() <= TEXT_BYTES_MAX));
    }
}
