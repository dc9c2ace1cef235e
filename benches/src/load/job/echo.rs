//! Every connection has one ping on its way, always. The data must come back.

use std::time::{Duration, Instant};

use crate::load::fleet::{Fleet, Job, Seen, Turn};

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Echo {
    until: Instant,
    over: bool,
    waiting: Vec<Option<u64>>,
    outstanding: u64,
    numbers: u64,
    pub(crate) echoes: u64,
}

impl Echo {
    pub(crate) fn new(fleet: &Fleet, seconds: f64) -> Self {
        Self {
            until: Instant::now() + Duration::from_secs_f64(seconds),
            over: false,
            waiting: vec![None; fleet.connections.len()],
            outstanding: 0,
            numbers: 0,
            echoes: 0,
        }
    }

    fn send(&mut self, fleet: &mut Fleet, index: usize) {
        self.numbers += 1;
        self.outstanding += 1;
        self.waiting[index] = Some(self.numbers);
        fleet.send_ping(index, self.numbers);
    }
}

impl Job for Echo {
    fn seen(&mut self, fleet: &mut Fleet, index: usize, seen: Seen) {
        if let Seen::Ack { number, .. } = seen {
            let sent = self.waiting[index].take();
            if sent.is_none() || sent != number {
                fleet.fail(index, &format!("sent {sent:?}, came back {number:?}"));
                return;
            }
            self.echoes += 1;
            self.outstanding -= 1;
            if !self.over {
                self.send(fleet, index);
            }
        }
    }

    fn turn(&mut self, fleet: &mut Fleet, now: Instant) -> Turn {
        if self.numbers == 0 {
            for index in 0..fleet.connections.len() {
                self.send(fleet, index);
            }
        }
        self.over = now >= self.until;
        if self.over && self.outstanding == 0 {
            return Turn::Over;
        }
        if now > self.until + PATIENCE || fleet.failures > 0 {
            fleet.fault(format!("{} echoes never came back", self.outstanding));
            return Turn::Over;
        }
        Turn::Spin
    }
}
