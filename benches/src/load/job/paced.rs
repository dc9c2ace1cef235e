//! Every member sends one message an interval. The members are staggered evenly over it, so that each delivery is a
//! write of its own, as it is in a service with many small rooms.

use std::time::{Duration, Instant};

use crate::{
    load::{
        command::Latency,
        fleet::{Fleet, Job, Seen, Turn},
    },
    packets::Body,
};

const PATIENCE: Duration = Duration::from_secs(8);

pub(crate) struct Paced {
    body: Vec<u8>,
    interval: Duration,
    begun: Instant,
    until: Instant,
    pub(crate) messages: u64,
    members_by_room: Vec<u64>,
    deliveries_due: u64,
    pub(crate) deliveries: u64,
    acks: u64,
    first_number: Option<u64>,
    due_at: Vec<Instant>,
    latency_us: Vec<u32>,
    now: Instant,
}

impl Paced {
    pub(crate) fn new(fleet: &Fleet, seconds: f64, interval_ms: u64, body: Body) -> Self {
        let begun = Instant::now();
        Self {
            body: body.template(),
            interval: Duration::from_millis(interval_ms),
            begun,
            until: begun + Duration::from_secs_f64(seconds),
            messages: 0,
            members_by_room: fleet.members_by_room(),
            deliveries_due: 0,
            deliveries: 0,
            acks: 0,
            first_number: None,
            due_at: Vec::new(),
            latency_us: Vec::new(),
            now: begun,
        }
    }

    pub(crate) fn latency(&mut self) -> Option<Latency> {
        Latency::of(&mut self.latency_us)
    }
}

impl Job for Paced {
    fn seen(&mut self, _fleet: &mut Fleet, _index: usize, seen: Seen) {
        match seen {
            Seen::Message { number } => {
                self.deliveries += 1;
                if let (Some(number), Some(first)) = (number, self.first_number)
                    && let Some(due) = number.checked_sub(first).and_then(|at| self.due_at.get(at as usize))
                {
                    self.latency_us.push(self.now.saturating_duration_since(*due).as_micros() as u32);
                }
            }
            Seen::Ack { .. } => self.acks += 1,
            Seen::Ready | Seen::Refused | Seen::Closed => {}
        }
    }

    fn turn(&mut self, fleet: &mut Fleet, now: Instant) -> Turn {
        self.now = now;
        if now >= self.until {
            if self.deliveries >= self.deliveries_due && self.acks >= self.messages {
                return Turn::Over;
            }
            if now > self.until + PATIENCE {
                fleet.fault(format!(
                    "{} of {} deliveries, {} of {} acks",
                    self.deliveries, self.deliveries_due, self.acks, self.messages
                ));
                return Turn::Over;
            }
            return Turn::Spin;
        }
        let members = fleet.connections.len() as u128;
        let due = (now - self.begun).as_nanos() * members / self.interval.as_nanos();
        while u128::from(self.messages) < due {
            let index = (u128::from(self.messages) % members) as usize;
            let Some(room) = fleet.connections[index].as_ref().map(|connection| connection.room) else {
                return Turn::Over;
            };
            let (_, number) = fleet.send_message(index, &mut self.body);
            self.first_number.get_or_insert(number);
            self.messages += 1;
            // Late is late, whichever side it was that had no time.
            let due = self.interval.as_nanos() * u128::from(self.messages) / members;
            self.due_at.push(self.begun + Duration::from_nanos(due as u64));
            self.deliveries_due += self.members_by_room[room as usize];
        }
        Turn::Spin
    }
}
