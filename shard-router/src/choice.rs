//! Which node a new session is given to, by a strategy: in which order nodes are to be tried. Which of them are up is another's
//! matter.

use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use turnpike_cluster::placement::{self, Candidate};

use crate::load::Load;

/// Of a node with no more sessions than these, for each unit of weight, those are not sent away who belong there: to be
/// together is worth more.
const CALM_SESSIONS: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// Of two nodes drawn at random the one with fewer sessions through this router: close to the best, and two routers that
    /// know nothing of each other do not run after the same node.
    #[default]
    LeastConnections,
    /// By the room or user that the client names, or else by its address: the same node as long as that is there and has
    /// not clearly more sessions than the others.
    Rendezvous,
    /// One after the other, each as often as it has weight.
    RoundRobin,
    /// At random, in proportion to the weights.
    Weighted,
    /// By the client's address.
    IpHash,
}

impl Strategy {
    pub const ALL: &'static [Self] =
        &[Self::LeastConnections, Self::Rendezvous, Self::RoundRobin, Self::Weighted, Self::IpHash];

    pub fn name(self) -> &'static str {
        match self {
            Self::LeastConnections => "least-connections",
            Self::Rendezvous => "rendezvous",
            Self::RoundRobin => "round-robin",
            Self::Weighted => "weighted",
            Self::IpHash => "ip-hash",
        }
    }
}

/// A node that takes sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    /// How much it carries, against the others. Not zero.
    pub(crate) weight: usize,
}

pub(crate) struct Choice {
    pub(crate) seats: Vec<Seat>,
    strategy: Strategy,
    load: Arc<Load>,
    turn: AtomicUsize,
    random: RandomState,
}

impl Choice {
    pub(crate) fn new(seats: Vec<Seat>, strategy: Strategy, load: Arc<Load>) -> Self {
        Self { seats, strategy, load, turn: AtomicUsize::new(0), random: RandomState::new() }
    }

    pub(crate) fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// All nodes, the first choice first.
    pub(crate) fn order(&self, key: &str) -> Vec<usize> {
        let count = self.seats.len();
        if count == 0 {
            return Vec::new();
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        match self.strategy {
            Strategy::LeastConnections => {
                let one = self.draw(turn, 0) % count;
                // Another one than the first, if there is another.
                let other = (one + 1 + self.draw(turn, 1) % (count - 1).max(1)) % count;
                let first = if self.is_lighter(other, one) { other } else { one };
                std::iter::once(first).chain(around(first, count)).collect()
            }
            Strategy::Rendezvous => self.belongs(key),
            Strategy::IpHash => placement::ranking(key, &self.candidates(|_| 0)),
            Strategy::RoundRobin => {
                let weights: usize = self.seats.iter().map(|seat| seat.weight).sum();
                self.holder_of(turn % weights)
            }
            Strategy::Weighted => {
                let weights: usize = self.seats.iter().map(|seat| seat.weight).sum();
                self.holder_of(self.draw(turn, 0) % weights)
            }
        }
    }

    /// By sessions a unit of weight.
    fn is_lighter(&self, one: usize, other: usize) -> bool {
        let (one, other) = (&self.seats[one], &self.seats[other]);
        self.load.of(one.address) * other.weight < self.load.of(other.address) * one.weight
    }

    /// The node that this key belongs to first, whatever the strategy.
    pub(crate) fn belongs(&self, key: &str) -> Vec<usize> {
        let load =
            |seat: &Seat| self.load.of(seat.address).saturating_sub(CALM_SESSIONS * seat.weight) as u64;
        placement::order(key, &self.candidates(load))
    }

    fn candidates(&self, load: impl Fn(&Seat) -> u64) -> Vec<Candidate<'_>> {
        let weight = |seat: &Seat| u32::try_from(seat.weight).unwrap_or(u32::MAX);
        let seats = self.seats.iter();
        seats.map(|seat| Candidate { name: &seat.name, weight: weight(seat), load: load(seat) }).collect()
    }

    /// The node that has this unit of all weights laid end to end, and then the others.
    fn holder_of(&self, unit: usize) -> Vec<usize> {
        let mut left = unit;
        let first = self.seats.iter().position(|seat| {
            let here = left < seat.weight;
            left = left.saturating_sub(seat.weight);
            here
        });
        let first = first.unwrap_or_default();
        std::iter::once(first).chain(around(first, self.seats.len())).collect()
    }

    fn draw(&self, turn: usize, salt: u8) -> usize {
        self.random.hash_one((turn, salt)) as usize
    }
}

/// All others, beginning behind this one.
fn around(first: usize, count: usize) -> impl Iterator<Item = usize> {
    (1..count).map(move |step| (first + step) % count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(strategy: Strategy, weights: &[usize]) -> (Choice, Arc<Load>) {
        let load = Arc::new(Load::default());
        let seat = |(index, weight): (usize, &usize)| Seat {
            name: format!("n{index}"),
            address: SocketAddr::from(([127, 0, 0, 1], 3_000 + index as u16)),
            weight: *weight,
        };
        let seats = weights.iter().enumerate().map(seat).collect();
        (Choice::new(seats, strategy, Arc::clone(&load)), load)
    }

    fn firsts(choice: &Choice, keys: impl Iterator<Item = String>) -> Vec<usize> {
        let mut counts = vec![0; choice.seats.len()];
        for key in keys {
            counts[choice.order(&key)[0]] += 1;
        }
        counts
    }

    #[test]
    fn every_strategy_tries_everybody_once() {
        for strategy in Strategy::ALL {
            let (choice, _) = choice(*strategy, &[1, 3, 2, 1]);
            for number in 0..100 {
                let mut order = choice.order(&format!("key-{number}"));
                order.sort_unstable();
                assert_eq!(order, [0, 1, 2, 3], "{}", strategy.name());
            }
        }
    }

    #[test]
    fn nobody_is_chosen_where_nobody_is() {
        for strategy in Strategy::ALL {
            let (choice, _) = choice(*strategy, &[]);
            assert!(choice.order("key").is_empty());
        }
    }

    #[test]
    fn shares_follow_the_weights() {
        for strategy in [Strategy::RoundRobin, Strategy::Weighted, Strategy::Rendezvous, Strategy::IpHash] {
            let (choice, _) = choice(strategy, &[1, 3]);
            let counts =
                firsts(&choice, (0..8_000).map(|number| format!("10.0.{}.{}", number / 250, number % 250)));
            assert!((1_800..=2_200).contains(&counts[0]), "{}: {counts:?}", strategy.name());
        }
    }

    #[test]
    fn the_same_key_is_given_the_same_node() {
        for strategy in [Strategy::Rendezvous, Strategy::IpHash] {
            let (choice, _) = choice(strategy, &[1, 1, 1]);
            let first = choice.order("chat:1")[0];
            assert!((0..50).all(|_| choice.order("chat:1")[0] == first));
        }
    }

    #[test]
    fn what_belongs_together_is_together_until_a_node_has_more_than_its_share() {
        let (choice, load) = choice(Strategy::Rendezvous, &[1, 1, 1, 1]);
        let mut held = Vec::new();
        let mut counts = [0; 4];
        // One room has most of all users.
        for number in 0..1_000 {
            let key = if number % 4 == 0 { format!("chat:{number}") } else { "chat:all".to_owned() };
            let first = choice.order(&key)[0];
            counts[first] += 1;
            held.push(load.hold(choice.seats[first].address));
        }
        assert!(counts.iter().all(|count| *count <= 313), "{counts:?}");
    }

    #[test]
    fn sessions_even_out_by_themselves() {
        let (choice, load) = choice(Strategy::LeastConnections, &[1, 1, 1, 2]);
        let mut held = Vec::new();
        for _ in 0..5_000 {
            let seat = &choice.seats[choice.order("")[0]];
            held.push(load.hold(seat.address));
        }
        let counts: Vec<usize> =
            choice.seats.iter().map(|seat| load.of(seat.address) / seat.weight).collect();
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(most - least <= 20, "{counts:?}");
    }
}
