//! Pipes between relays: packets go through the weather, other words come whole and in order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::network::{Weather, Wire};
use super::world::World;
use crate::carry::{Blocked, Delivered, Down, Pipe, PipeId, Sink, Up};
use crate::{Ask, Told};
use turnpike_wire::Failure;

/// Between relays all is near.
pub(super) const NEAR: Weather = Weather { loss: 0, double: 0, delay: (5, 5) };

#[derive(Default)]
pub(super) struct Links {
    pub(super) all: Vec<Link>,
    put: Put,
    under_way: BTreeMap<(Instant, u64), (usize, usize, Delivered)>,
    sent: u64,
}

type Put = Arc<Mutex<Vec<(usize, Delivered)>>>;

pub(super) struct Link {
    upper: usize,
    lower: usize,
    pub(super) weather: Weather,
    is_closed: Arc<AtomicBool>,
    /// When the last word arrives, in each direction.
    words_at: [Option<Instant>; 2],
    /// Packets that were put in, by track and layer, without those that were asked for.
    pub(super) packets: BTreeMap<(u16, u8), u64>,
    /// Packets that were asked for, or came late to where they were put in.
    pub(super) again: u64,
    /// Numbers that were asked for.
    pub(super) asked: u64,
    pub(super) lost: u64,
    pub(super) keyframes: Vec<Instant>,
}

struct End {
    put: Put,
    link: usize,
    is_closed: Arc<AtomicBool>,
}

impl End {
    fn take(&self, word: Delivered) -> Result<(), Blocked> {
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(Blocked::Closed);
        }
        self.put.lock().unwrap().push((self.link, word));
        Ok(())
    }
}

impl Sink<Down> for End {
    fn put(&self, word: Down) -> Result<(), Blocked> {
        self.take(Delivered::Down(word))
    }
}

impl Sink<Up> for End {
    fn put(&self, word: Up) -> Result<(), Blocked> {
        self.take(Delivered::Up(word))
    }
}

pub(super) fn pipe(link: usize) -> PipeId {
    PipeId(link as u64 + 1)
}

impl World {
    /// Gives the stream at one relay to another. Gives the number of the link.
    pub(super) fn attach(&mut self, upper: usize, lower: usize) -> Result<usize, Failure> {
        let number = self.links.all.len();
        let is_closed = Arc::<AtomicBool>::default();
        let end = |put: &Put| End { put: Arc::clone(put), link: number, is_closed: Arc::clone(&is_closed) };
        let (up, down) = (Arc::new(end(&self.links.put)), Arc::new(end(&self.links.put)));
        self.links.all.push(Link {
            upper,
            lower,
            weather: NEAR,
            is_closed,
            words_at: [None; 2],
            packets: BTreeMap::new(),
            again: 0,
            asked: 0,
            lost: 0,
            keyframes: Vec::new(),
        });
        let stream = "live".parse().unwrap();
        self.ask_at(lower, Ask::Feed { stream, pipe: Pipe::new(pipe(number), up) })?;
        let stream = "live".parse().unwrap();
        let told = self.ask_at(upper, Ask::Branch { stream, pipe: Pipe::new(pipe(number), down) })?;
        assert_eq!(told, Told::Done);
        Ok(number)
    }

    /// The connection breaks, and the lower end is told.
    pub(super) fn cut(&mut self, link: usize) {
        let now = self.now;
        let found = &self.links.all[link];
        found.is_closed.store(true, Ordering::Relaxed);
        let lower = found.lower;
        self.relay(lower).deliver(now, pipe(link), Delivered::Down(Down::Over));
    }
}

impl Links {
    /// What relays have put in is on its way from now on.
    pub(super) fn go_on(&mut self, now: Instant, wire: &mut Wire) {
        let put = std::mem::take(&mut *self.put.lock().unwrap());
        for (number, word) in put {
            let link = &mut self.all[number];
            let weather = link.weather;
            let to = if matches!(word, Delivered::Up(_)) { link.upper } else { link.lower };
            if let Delivered::Down(Down::Packet(packet)) = &word {
                if packet.is_again {
                    link.again += 1;
                } else {
                    *link.packets.entry((packet.track, packet.layer)).or_default() += 1;
                }
                if wire.below(1_000) < weather.loss {
                    link.lost += 1;
                    continue;
                }
                for _ in 0..if wire.below(1_000) < weather.double { 2 } else { 1 } {
                    let (low, high) = weather.delay;
                    let delay = Duration::from_millis(low + wire.below(high - low + 1));
                    self.sent += 1;
                    self.under_way.insert((now + delay, self.sent), (number, to, word.clone()));
                }
                continue;
            }
            match &word {
                Delivered::Up(Up::Keyframe { .. }) => link.keyframes.push(now),
                Delivered::Up(Up::Again { sequences, .. }) => link.asked += sequences.len() as u64,
                _ => {}
            }
            let last = &mut link.words_at[usize::from(to == link.upper)];
            let at = last.map_or(now, |last| last.max(now)).max(now + Duration::from_millis(weather.delay.1));
            *last = Some(at);
            self.sent += 1;
            self.under_way.insert((at, self.sent), (number, to, word));
        }
    }

    pub(super) fn take(&mut self, now: Instant) -> Option<(usize, PipeId, Delivered)> {
        loop {
            let entry = self.under_way.first_entry().filter(|entry| entry.key().0 <= now)?;
            let (link, to, word) = entry.remove();
            if !self.all[link].is_closed.load(Ordering::Relaxed) {
                return Some((to, pipe(link), word));
            }
        }
    }
}
