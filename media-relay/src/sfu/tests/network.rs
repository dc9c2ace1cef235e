//! A network that loses, delays and doubles. Everything follows from a seed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use turnpike_transport::Path;

use crate::sfu::Outlet;
use crate::sfu::chance::Chance;

/// What happens to datagrams, in thousandths and milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weather {
    pub(super) loss: u64,
    pub(super) double: u64,
    pub(super) delay: (u64, u64),
}

pub(super) const CLEAR: Weather = Weather { loss: 0, double: 0, delay: (10, 10) };

impl Weather {
    pub(super) const fn losing(self, loss: u64) -> Self {
        Self { loss, ..self }
    }
}

pub(super) type Datagram = (SocketAddr, SocketAddr, Vec<u8>);

pub(super) struct Wire {
    pub(super) chance: Chance,
    under_way: BTreeMap<(Instant, u64), Datagram>,
    sent: u64,
}

impl Wire {
    pub(super) fn new(seed: u64) -> Self {
        Self { chance: Chance::new(seed), under_way: BTreeMap::new(), sent: 0 }
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        (self.chance.draw() >> 16) % limit
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.fill_with(|| self.chance.draw() as u8);
        bytes
    }

    /// False if it is lost.
    pub(super) fn put(&mut self, now: Instant, weather: Weather, datagram: &Datagram) -> bool {
        if self.below(1_000) < weather.loss {
            return false;
        }
        let copies = if self.below(1_000) < weather.double { 2 } else { 1 };
        for _ in 0..copies {
            let (low, high) = weather.delay;
            let delay = Duration::from_millis(low + self.below(high - low + 1));
            self.sent += 1;
            self.under_way.insert((now + delay, self.sent), datagram.clone());
        }
        true
    }

    pub(super) fn take(&mut self, now: Instant) -> Option<Datagram> {
        let entry = self.under_way.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }
}

/// What a relay sends in a round.
#[derive(Default)]
pub(super) struct Batch {
    to: Option<SocketAddr>,
    buffer: Vec<u8>,
    pub(super) sent: Vec<(SocketAddr, Vec<u8>)>,
    /// Whoever sends there has a fault.
    pub(super) fault: Option<SocketAddr>,
}

impl Outlet for Batch {
    fn slot(&mut self, path: Path, bytes_max: usize) -> &mut [u8] {
        let to = path.remote;
        assert_eq!(path.local.port(), 5_000, "from an address of the relay's");
        assert!(self.fault != Some(to), "a fault that was asked for");
        self.to = Some(to);
        self.buffer.clear();
        self.buffer.resize(bytes_max, 0);
        &mut self.buffer
    }

    fn commit(&mut self, bytes: usize) {
        let to = self.to.take().expect("a slot was asked for");
        self.sent.push((to, self.buffer[..bytes].to_vec()));
    }
}
