//! Messages from the clients of one node to those of another, each at its time: an open loop. A message that is late,
//! because the servers or this process were busy, counts from when it was due.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::{
    load::{
        command::Latency,
        fleet::{Fleet, Job, Seen, Turn},
    },
    packets::Body,
};

const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Across {
    body: Vec<u8>,
    publishers: usize,
    period: Duration,
    begun: Instant,
    until: Instant,
    pub(crate) messages: u64,
    members_by_room: Vec<u64>,
    deliveries_due: u64,
    deliveries: u64,
    acks: u64,
    first_number: Option<u64>,
    /// Of each publisher the messages whose acks are missing; acks come in the order of the messages.
    acks_missing: Vec<VecDeque<Instant>>,
    deliveries_us: Vec<u32>,
    ack_us: Vec<u32>,
}

impl Across {
    pub(crate) fn new(fleet: &Fleet, seconds: f64, publishers: u32, per_second: u32, body: Body) -> Self {
        let publishers = (publishers as usize).clamp(1, fleet.connections.len().max(1));
        let begun = Instant::now();
        Self {
            body: body.template(),
            publishers,
            period: Duration::from_secs(1) / per_second.max(1),
            begun,
            until: begun + Duration::from_secs_f64(seconds),
            messages: 0,
            members_by_room: fleet.members_by_room(),
            deliveries_due: 0,
            deliveries: 0,
            acks: 0,
            first_number: None,
            acks_missing: vec![VecDeque::new(); publishers],
            deliveries_us: Vec::new(),
            ack_us: Vec::new(),
        }
    }

    /// To the clients of the other node.
    pub(crate) fn deliveries_across(&self) -> u64 {
        self.deliveries_us.len() as u64
    }

    pub(crate) fn latency(&mut self) -> Option<Latency> {
        Latency::of(&mut self.deliveries_us)
    }

    pub(crate) fn ack_latency(&mut self) -> Option<Latency> {
        Latency::of(&mut self.ack_us)
    }

    fn due(&self, message: u64) -> Instant {
        self.begun + Duration::from_nanos(self.period.as_nanos() as u64 * message)
    }
}

impl Job for Across {
    fn seen(&mut self, _fleet: &mut Fleet, index: usize, seen: Seen) {
        match seen {
            Seen::Message { number } => {
                self.deliveries += 1;
                if index >= self.publishers
                    && let (Some(number), Some(first)) = (number, self.first_number)
                    && let Some(message) = number.checked_sub(first)
                {
                    self.deliveries_us.push(self.due(message).elapsed().as_micros() as u32);
                }
            }
            Seen::Ack { .. } => {
                self.acks += 1;
                if let Some(due) = self.acks_missing.get_mut(index).and_then(VecDeque::pop_front) {
                    self.ack_us.push(due.elapsed().as_micros() as u32);
                }
            }
            Seen::Ready | Seen::Refused | Seen::Closed => {}
        }
    }

    fn turn(&mut self, fleet: &mut Fleet, now: Instant) -> Turn {
        let mut due = self.due(self.messages);
        while due <= now && due < self.until {
            let index = (self.messages % self.publishers as u64) as usize;
            let Some(room) = fleet.connections[index].as_ref().map(|connection| connection.room) else {
                return Turn::Over;
            };
            let number = fleet.send_identified(index, &mut self.body, None);
            self.first_number.get_or_insert(number);
            self.acks_missing[index].push_back(due);
            self.messages += 1;
            self.deliveries_due += self.members_by_room[room as usize];
            due = self.due(self.messages);
        }
        if due < self.until {
            return Turn::Spin;
        }
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
        Turn::Spin
    }
}
