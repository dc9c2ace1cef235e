//! A bad path to a viewer: it loses some of what is sent, at random from a seed, and the rest takes a while.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Datagrams under way: seconds of a stream. What finds no place is lost, as it would be in a router.
const UNDER_WAY_MAX: usize = 4_096;

pub(crate) struct BadPath {
    state: u64,
    /// Of 2^32.
    lost_share: u64,
    delay: Duration,
    under_way: VecDeque<Arrival>,
    /// Of media.
    pub(crate) lost: u64,
}

/// What comes, when, and from whom.
pub(crate) struct Arrival {
    pub(crate) at: Instant,
    pub(crate) from: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

impl BadPath {
    pub(crate) fn new(lost_share: f64, delay: Duration, seed: u64) -> Self {
        let lost_share = (lost_share * 4_294_967_296.0) as u64;
        Self { state: seed, lost_share, delay, under_way: VecDeque::new(), lost: 0 }
    }

    pub(crate) fn send(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        // RFC 7983: what is media is told by its first byte. The handshake gets through.
        let is_media = matches!(bytes.first(), Some(128..=191));
        if (is_media && self.loses()) || self.under_way.len() == UNDER_WAY_MAX {
            self.lost += 1;
            return;
        }
        self.under_way.push_back(Arrival { at: now + self.delay, from, bytes: bytes.to_vec() });
    }

    pub(crate) fn arrived(&mut self, now: Instant) -> Option<Arrival> {
        self.under_way.pop_front_if(|first| first.at <= now)
    }

    fn loses(&mut self) -> bool {
        // SplitMix64.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) >> 32 < self.lost_share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);

    #[test]
    fn as_much_is_lost_as_should_be_and_the_same_for_a_seed() {
        let lost = |share, seed| {
            let mut path = BadPath::new(share, Duration::ZERO, seed);
            (0..100_000).map(|_| path.loses()).collect::<Vec<_>>()
        };
        let count = lost(0.1, 1).into_iter().filter(|lost| *lost).count();
        assert!((9_700..10_300).contains(&count), "{count}");
        assert!(lost(0.1, 1) == lost(0.1, 1) && lost(0.1, 1) != lost(0.1, 2));
        assert!(!lost(0.0, 1).contains(&true));
    }

    #[test]
    fn what_is_not_lost_takes_its_time() {
        let (start, delay) = (Instant::now(), Duration::from_millis(10));
        let mut path = BadPath::new(1.0, delay, 1);
        path.send(start, FROM, &[128, 1]);
        path.send(start, FROM, &[22, 2]);
        assert!(path.arrived(start + delay / 2).is_none());
        let arrival = path.arrived(start + delay).unwrap();
        assert_eq!((arrival.at, arrival.from, arrival.bytes), (start + delay, FROM, vec![22, 2]));
        assert!(path.arrived(start + delay).is_none());
        assert_eq!(path.lost, 1);
    }
}
