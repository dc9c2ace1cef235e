//! How long another connection is held up: one connection pings without pause, and some time on a second one sends a
//! single message to its (large) room. The longest round trip is the stall.

use std::time::{Duration, Instant};

use crate::{
    load::{
        command::Latency,
        fleet::{Fleet, Job, Seen, Turn},
    },
    packets::Body,
};

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Probe {
    body: Vec<u8>,
    broadcast_at: Instant,
    until: Instant,
    sent_at: Instant,
    numbers: u64,
    outstanding: bool,
    broadcast_sent: bool,
    broadcast_acked: bool,
    round_trips_us: Vec<u32>,
}

impl Probe {
    pub(crate) fn new(seconds: f64, broadcast_after_ms: u64, body: Body) -> Self {
        let now = Instant::now();
        Self {
            body: body.template(),
            broadcast_at: now + Duration::from_millis(broadcast_after_ms),
            until: now + Duration::from_secs_f64(seconds),
            sent_at: now,
            numbers: 0,
            outstanding: false,
            broadcast_sent: false,
            broadcast_acked: false,
            round_trips_us: Vec::new(),
        }
    }

    pub(crate) fn round_trips(&self) -> u64 {
        self.round_trips_us.len() as u64
    }

    pub(crate) fn latency(&mut self) -> Option<Latency> {
        Latency::of(&mut self.round_trips_us)
    }
}

impl Job for Probe {
    fn seen(&mut self, fleet: &mut Fleet, index: usize, seen: Seen) {
        match seen {
            Seen::Ack { number, .. } if index == 0 => {
                if number != Some(self.numbers) {
                    fleet.fail(index, &format!("sent {}, came back {number:?}", self.numbers));
                }
                self.round_trips_us.push(self.sent_at.elapsed().as_micros() as u32);
                self.outstanding = false;
            }
            Seen::Ack { .. } => self.broadcast_acked = true,
            _ => {}
        }
    }

    fn turn(&mut self, fleet: &mut Fleet, now: Instant) -> Turn {
        if now >= self.broadcast_at && !self.broadcast_sent {
            self.broadcast_sent = true;
            fleet.send_message(1, &mut self.body);
        }
        if now >= self.until && !self.outstanding && self.broadcast_acked {
            return Turn::Over;
        }
        if now > self.until + PATIENCE || fleet.failures > 0 {
            fleet.fault("a ping or the broadcast was never acknowledged".into());
            return Turn::Over;
        }
        if !self.outstanding && now < self.until {
            self.numbers += 1;
            self.outstanding = true;
            self.sent_at = Instant::now();
            fleet.send_ping(0, self.numbers);
        }
        Turn::Spin
    }
}
