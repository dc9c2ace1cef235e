//! The reckoning: every member has got exactly what was sent to its room, and nothing more comes.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::load::{
    command::Sent,
    fleet::{Fleet, Job, Seen, Turn, expected},
};

/// A delivery that is not there by then is lost.
const PATIENCE: Duration = Duration::from_secs(10);
/// A doubled delivery comes within this time after the last one.
const QUIET: Duration = Duration::from_millis(200);

pub(crate) struct Verify {
    sent: Sent,
    due: u64,
    begun: Instant,
    last: Instant,
    received: u64,
    pub(crate) disordered: u64,
}

impl Verify {
    pub(crate) fn new(fleet: &Fleet, sent: Sent) -> Self {
        let members = fleet.connections.iter().flatten();
        let due = members.clone().map(|member| expected(&sent, member.room).messages).sum();
        let received = members.map(|member| member.received.messages).sum();
        Self { sent, due, begun: Instant::now(), last: Instant::now(), received, disordered: 0 }
    }

    fn compare(&mut self, fleet: &mut Fleet) {
        let mut orders: HashMap<u32, u64> = HashMap::new();
        for index in 0..fleet.connections.len() {
            let Some(member) = &fleet.connections[index] else { continue };
            let due = expected(&self.sent, member.room);
            let got = member.received;
            if got.messages != due.messages {
                fleet.fail(
                    index,
                    &format!("{} messages sent to its room, {} received", due.messages, got.messages),
                );
            } else if !member.opaque && got.sum != due.sum {
                fleet.fail(index, "the right number of messages, but not the right ones");
            } else if !member.opaque && *orders.entry(member.room).or_insert(member.order) != member.order {
                self.disordered += 1;
            }
        }
    }
}

impl Job for Verify {
    fn seen(&mut self, _fleet: &mut Fleet, _index: usize, seen: Seen) {
        if matches!(seen, Seen::Message { .. }) {
            self.received += 1;
            self.last = Instant::now();
        }
    }

    fn turn(&mut self, fleet: &mut Fleet, now: Instant) -> Turn {
        let complete = self.received >= self.due && now - self.last > QUIET;
        if complete || now - self.begun > PATIENCE {
            self.compare(fleet);
            return Turn::Over;
        }
        Turn::Wait(now + Duration::from_millis(20))
    }
}
