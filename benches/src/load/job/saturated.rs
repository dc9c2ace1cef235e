//! One room, and always so many messages on their way through it: the next is sent when one has reached every member.
//! With a window of one it is a broadcast at a time.

use std::time::{Duration, Instant};

use crate::{
    load::fleet::{Fleet, Job, Seen, Turn},
    packets::Body,
};

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Saturated {
    body: Vec<u8>,
    until: Instant,
    messages_max: u64,
    senders: usize,
    window: u64,
    members: u64,
    pub(crate) messages: u64,
    pub(crate) deliveries: u64,
    acks: u64,
}

impl Saturated {
    pub(crate) fn new(fleet: &Fleet, seconds: f64, senders: u32, window: u32, body: Body) -> Self {
        let members = fleet.connections.len() as u64;
        Self {
            body: body.template(),
            until: Instant::now() + Duration::from_secs_f64(seconds),
            messages_max: u64::MAX,
            senders: (senders as usize).clamp(1, members.max(1) as usize),
            window: u64::from(window),
            members,
            messages: 0,
            deliveries: 0,
            acks: 0,
        }
    }

    /// Exactly one message from the first member.
    pub(crate) fn once(fleet: &Fleet, body: Body) -> Self {
        Self { messages_max: 1, ..Self::new(fleet, PATIENCE.as_secs_f64(), 1, 1, body) }
    }
}

impl Job for Saturated {
    fn seen(&mut self, _fleet: &mut Fleet, _index: usize, seen: Seen) {
        match seen {
            Seen::Message { .. } => self.deliveries += 1,
            Seen::Ack { .. } => self.acks += 1,
            Seen::Ready | Seen::Refused | Seen::Closed => {}
        }
    }

    fn turn(&mut self, fleet: &mut Fleet, now: Instant) -> Turn {
        if now < self.until && self.messages < self.messages_max {
            let through = self.deliveries / self.members.max(1);
            while self.messages - through.min(self.messages) < self.window
                && self.messages < self.messages_max
            {
                // Senders are spread over the members, as they are over the shard's connections in life.
                let sender = self.messages as usize % self.senders * (self.members as usize / self.senders);
                fleet.send_message(sender, &mut self.body);
                self.messages += 1;
            }
        } else if self.deliveries >= self.messages * self.members && self.acks >= self.messages {
            return Turn::Over;
        } else if now > self.until + PATIENCE || fleet.failures > 0 {
            fleet.fault(format!(
                "{} of {} deliveries, {} of {} acks",
                self.deliveries,
                self.messages * self.members,
                self.acks,
                self.messages
            ));
            return Turn::Over;
        }
        Turn::Spin
    }
}
