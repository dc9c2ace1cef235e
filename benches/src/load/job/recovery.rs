//! The storm after the end of a node: every client returns at once, without the jitter that a real one has, and is there
//! when it has got what it missed. Who is told to come later does.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::{Duration, Instant},
};

use crate::load::{
    command::{Latency, Sent},
    connection::Connection,
    fleet::{Fleet, Job, Seen, Turn, expected},
};

/// A client that is not back by then never will be.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Recovery {
    sent: Sent,
    begun: Instant,
    /// Those whose node is gone. Their sockets say so, and nobody asks them any more.
    before: std::vec::IntoIter<Option<Connection>>,
    started: usize,
    pub(crate) ready: u64,
    /// By connection: whether it has entered, and whether it has all.
    entered: Vec<bool>,
    complete: Vec<bool>,
    complete_us: Vec<u32>,
    /// Those that were turned away, and when they come again.
    later: BTreeMap<usize, Connection>,
    due: BinaryHeap<Reverse<(Instant, usize)>>,
    pub(crate) refusals: u64,
    /// By servers that had let somebody in and then were overloaded.
    pub(crate) closes: u64,
}

impl Recovery {
    pub(crate) fn new(fleet: &mut Fleet, sent: Sent) -> Self {
        let before = std::mem::take(&mut fleet.connections);
        let count = before.len();
        fleet.connections.resize_with(count, || None);
        Self {
            sent,
            begun: Instant::now(),
            before: before.into_iter(),
            started: 0,
            ready: 0,
            entered: vec![false; count],
            complete: vec![false; count],
            complete_us: Vec::new(),
            later: BTreeMap::new(),
            due: BinaryHeap::new(),
            refusals: 0,
            closes: 0,
        }
    }

    /// Until each was back and had all, from when the first began to return.
    pub(crate) fn latency(&mut self) -> Option<Latency> {
        Latency::of(&mut self.complete_us)
    }
}

impl Job for Recovery {
    fn seen(&mut self, fleet: &mut Fleet, index: usize, seen: Seen) {
        if matches!(seen, Seen::Ready) {
            self.ready += 1;
            self.entered[index] = true;
        }
        let Some(connection) = &fleet.connections[index] else { return };
        let due = expected(&self.sent, connection.room).messages;
        if self.entered[index] && !self.complete[index] && connection.received.messages >= due {
            self.complete[index] = true;
            self.complete_us.push(self.begun.elapsed().as_micros() as u32);
        }
    }

    fn turned_away(&mut self, _fleet: &mut Fleet, index: usize, before: Connection, wait: Option<Duration>) {
        if wait.is_none() {
            self.closes += 1;
        } else {
            self.refusals += 1;
        }
        // As the stock client: not all at the same moment.
        let spread = Duration::from_millis(500 + (index as u64).wrapping_mul(7_919) % 1_000);
        self.later.insert(index, before);
        self.due.push(Reverse((Instant::now() + wait.unwrap_or(spread), index)));
    }

    fn turn(&mut self, fleet: &mut Fleet, now: Instant) -> Turn {
        while let Some(Reverse((due, index))) = self.due.peek().copied()
            && due <= now
        {
            self.due.pop();
            let again = self.later.remove(&index).map_or(Ok(()), |before| fleet.restart(index, before));
            if let Err(error) = again {
                fleet.fail(index, &format!("{error:#}"));
            }
        }
        // A look at the sockets between some and the next, as the kernel's queue of those that arrive is not endless.
        for before in self.before.by_ref().take(64) {
            let index = self.started;
            self.started += 1;
            let outcome = before.map_or(Ok(()), |before| fleet.restart(index, before));
            if let Err(error) = outcome {
                fleet.fail(index, &format!("{error:#}"));
            }
        }
        let (complete, count) = (self.complete_us.len(), self.complete.len());
        if complete == count || fleet.failures > 0 {
            return Turn::Over;
        }
        if now > self.begun + PATIENCE {
            fleet.fault(format!("{} of {count} are back, {complete} have caught up", self.ready));
            return Turn::Over;
        }
        Turn::Spin
    }
}
