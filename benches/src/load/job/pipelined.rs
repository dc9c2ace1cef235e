//! Publishers that do not wait for one ack before they send the next message: as much as the servers take.

use std::time::{Duration, Instant};

use crate::{
    load::fleet::{Fleet, Job, Seen, Turn},
    packets::Body,
};

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Pipelined {
    body: Vec<u8>,
    until: Instant,
    window: u64,
    /// Of each connection, how many of its messages have no ack yet.
    outstanding: Vec<u64>,
    pub(crate) messages: u64,
    acks: u64,
}

impl Pipelined {
    pub(crate) fn new(fleet: &Fleet, seconds: f64, window: u32, body: Body) -> Self {
        Self {
            body: body.template(),
            until: Instant::now() + Duration::from_secs_f64(seconds),
            window: u64::from(window.max(1)),
            outstanding: vec![0; fleet.connections.len()],
            messages: 0,
            acks: 0,
        }
    }
}

impl Job for Pipelined {
    fn seen(&mut self, _fleet: &mut Fleet, index: usize, seen: Seen) {
        if matches!(seen, Seen::Ack { .. }) {
            self.acks += 1;
            self.outstanding[index] = self.outstanding[index].saturating_sub(1);
        }
    }

    fn turn(&mut self, fleet: &mut Fleet, now: Instant) -> Turn {
        if now < self.until && fleet.failures == 0 {
            for index in 0..self.outstanding.len() {
                while self.outstanding[index] < self.window {
                    fleet.send_identified(index, &mut self.body, None);
                    self.outstanding[index] += 1;
                    self.messages += 1;
                }
            }
        } else if self.acks >= self.messages {
            return Turn::Over;
        } else if now > self.until + PATIENCE || fleet.failures > 0 {
            fleet.fault(format!("{} of {} acks", self.acks, self.messages));
            return Turn::Over;
        }
        Turn::Spin
    }
}
