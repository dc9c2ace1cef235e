//! A warden with a made-up time, and what a gateway does at each of its hooks.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::IpAddr;

use turnpike_fuzz::Random;
use turnpike_guard::{At, Measure, Rung, Signal, Standing, Terms, Warden, WardenConfig, Whom};
use turnpike_wire::UserId;

/// What somebody does, as it is seen.
#[derive(Debug, Clone)]
pub(crate) enum Deed {
    /// A TCP connection that ends after so many milliseconds.
    Connect(IpAddr, u64),
    /// A session that ends after so many milliseconds.
    Come(IpAddr, u64),
    /// Something that speaks against them.
    Seen(IpAddr, Option<UserId>, Signal),
}

type Next = Box<dyn FnMut(&mut Random) -> (u64, Vec<Deed>)>;

/// Somebody's part: after how long what is done next.
pub(crate) struct Part {
    users: Vec<UserId>,
    addresses: Vec<IpAddr>,
    next: Next,
}

impl Part {
    pub(crate) fn new(
        addresses: &[IpAddr],
        users: &[UserId],
        next: impl FnMut(&mut Random) -> (u64, Vec<Deed>) + 'static,
    ) -> Self {
        Self { users: users.to_vec(), addresses: addresses.to_vec(), next: Box::new(next) }
    }

    pub(crate) fn next(&mut self, random: &mut Random) -> (u64, Vec<Deed>) {
        (self.next)(random)
    }

    pub(crate) fn is_about(&self, whom: &Whom) -> bool {
        match whom {
            Whom::User(user) => self.users.contains(user),
            Whom::Network(network) => self.addresses.iter().any(|address| network.contains(*address)),
        }
    }
}

pub(crate) struct Stage {
    warden: Warden,
    now_ms: u64,
    /// When connections end, and sessions (true).
    ends: BinaryHeap<Reverse<(u64, bool, IpAddr)>>,
    pub(crate) events: u64,
    pub(crate) turned_away: u64,
}

/// A Thursday.
const UNIX_MS: u64 = 1_800_000_000_000;

impl Stage {
    pub(crate) fn new() -> Self {
        let warden = Warden::new(WardenConfig { name: "n1".to_owned(), ..WardenConfig::default() });
        Self { warden, now_ms: 0, ends: BinaryHeap::new(), events: 0, turned_away: 0 }
    }

    fn at(&self) -> At {
        At { steady_ms: 1_000 + self.now_ms, unix_ms: UNIX_MS + self.now_ms }
    }

    pub(crate) fn play(&mut self, part: &mut Part, random: &mut Random, for_ms: u64) -> Vec<(u64, Measure)> {
        let mut taken = Vec::new();
        while self.now_ms < for_ms {
            taken.extend(self.step(part, random));
        }
        taken
    }

    pub(crate) fn play_until_found(
        &mut self,
        part: &mut Part,
        random: &mut Random,
        within_ms: u64,
    ) -> Option<(u64, Measure)> {
        while self.now_ms < within_ms {
            if let Some(found) = self.step(part, random).into_iter().next() {
                return Some(found);
            }
        }
        None
    }

    fn step(&mut self, part: &mut Part, random: &mut Random) -> Vec<(u64, Measure)> {
        let (gap_ms, deeds) = part.next(random);
        self.now_ms += gap_ms;
        self.end_what_ends();
        let mut taken = Vec::new();
        for deed in deeds {
            self.events += 1;
            self.perform(deed);
            for measure in self.warden.due() {
                self.holds_already(&measure);
                taken.push((self.now_ms, measure));
            }
        }
        taken
    }

    /// Nothing passes between a signal and its measure: it holds when the report returns.
    fn holds_already(&self, measure: &Measure) {
        assert!(
            measure.score >= Terms::default().mute_at && measure.until_ms > self.at().unix_ms,
            "{measure:?}"
        );
        match &measure.whom {
            Whom::User(user) => match (measure.rung, self.warden.user_stands(user, self.at())) {
                (Rung::Ban, Standing::Banned { .. })
                | (Rung::Mute | Rung::Disconnect, Standing::Muted { .. }) => {}
                (rung, standing) => panic!("{rung:?}, and {user} is {standing:?}"),
            },
            Whom::Network(network) => {
                assert!(self.warden.arrive(network.first(), self.at()).is_err(), "{network}");
            }
        }
    }

    fn perform(&mut self, deed: Deed) {
        let at = self.at();
        match deed {
            Deed::Connect(address, lasts_ms) => match self.warden.knock(address, at) {
                Ok(()) => self.ends.push(Reverse((self.now_ms + lasts_ms, false, address))),
                Err(_) => self.turned_away += 1,
            },
            Deed::Come(address, lasts_ms) => match self.warden.arrive(address, at) {
                Ok(()) => self.ends.push(Reverse((self.now_ms + lasts_ms, true, address))),
                Err(_) => self.turned_away += 1,
            },
            Deed::Seen(address, user, signal) => {
                // Whoever is shut out does nothing that could be seen.
                let is_out = self.warden.address_stands(address, at).is_err()
                    || user.as_ref().is_some_and(|user| {
                        matches!(self.warden.user_stands(user, at), Standing::Banned { .. })
                    });
                if !is_out {
                    self.warden.report(Some(address), user.as_ref(), signal, at);
                }
            }
        }
    }

    fn end_what_ends(&mut self) {
        while let Some(Reverse((until_ms, is_session, address))) = self.ends.peek().copied()
            && until_ms <= self.now_ms
        {
            self.ends.pop();
            if is_session {
                self.warden.depart(address);
            } else {
                self.warden.hung_up(address);
            }
        }
    }

    /// Somebody who has nothing to do with it, and comes and goes as before.
    pub(crate) fn bystander_is_free(&self) -> bool {
        let (address, user) = ("198.51.100.200".parse().unwrap(), UserId::parse("bystander").unwrap());
        let passes =
            self.warden.knock(address, self.at()).is_ok() && self.warden.arrive(address, self.at()).is_ok();
        passes && self.warden.user_stands(&user, self.at()) == Standing::Free
    }
}
