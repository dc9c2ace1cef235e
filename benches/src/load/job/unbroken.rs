//! One publisher with one message on its way at a time, that goes on whatever it is told: how long is there no ack?

use std::time::{Duration, Instant};

use crate::{
    load::fleet::{Fleet, Job, Seen, Turn},
    packets::Body,
};

/// Longer than any failover.
const PATIENCE: Duration = Duration::from_secs(20);
/// Before what was refused is sent again.
const AGAIN_AFTER: Duration = Duration::from_millis(20);

pub(crate) struct Unbroken {
    body: Vec<u8>,
    pause: Duration,
    until: Instant,
    last_ack: Instant,
    next: Option<Next>,
    current: Option<u64>,
    pub(crate) longest_gap: Duration,
    pub(crate) acks: u64,
    pub(crate) refusals: u64,
}

struct Next {
    at: Instant,
    /// The number of the message that was refused, with the same id as before.
    again: Option<u64>,
}

impl Unbroken {
    pub(crate) fn new(seconds: f64, pause_ms: u64, body: Body) -> Self {
        let now = Instant::now();
        Self {
            body: body.template(),
            pause: Duration::from_millis(pause_ms),
            until: now + Duration::from_secs_f64(seconds),
            last_ack: now,
            next: Some(Next { at: now, again: None }),
            current: None,
            longest_gap: Duration::ZERO,
            acks: 0,
            refusals: 0,
        }
    }
}

impl Job for Unbroken {
    fn seen(&mut self, _fleet: &mut Fleet, index: usize, seen: Seen) {
        let now = Instant::now();
        match seen {
            Seen::Ack { .. } if index == 0 => {
                self.acks += 1;
                self.longest_gap = self.longest_gap.max(now - self.last_ack);
                self.last_ack = now;
                self.next = Some(Next { at: now + self.pause, again: None });
            }
            Seen::Refused if index == 0 => {
                self.refusals += 1;
                self.next = Some(Next { at: now + AGAIN_AFTER, again: self.current });
            }
            _ => {}
        }
    }

    fn turn(&mut self, fleet: &mut Fleet, now: Instant) -> Turn {
        fleet.takes_refusals = true;
        let waits_to_begin = self.next.as_ref().is_some_and(|next| next.again.is_none());
        if now >= self.until && waits_to_begin {
            fleet.takes_refusals = false;
            return Turn::Over;
        }
        if now > self.until + PATIENCE || fleet.failures > 0 {
            fleet.takes_refusals = false;
            fleet.fault(format!("no ack for {:?} after {} acks", now - self.last_ack, self.acks));
            return Turn::Over;
        }
        match self.next.take_if(|next| next.at <= now) {
            Some(next) => {
                self.current = Some(fleet.send_identified(0, &mut self.body, next.again));
                Turn::Wait(now)
            }
            None => Turn::Wait(self.next.as_ref().map_or(now + AGAIN_AFTER, |next| next.at)),
        }
    }
}
