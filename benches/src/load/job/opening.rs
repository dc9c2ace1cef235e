//! Opening connections: so many, at a pace or as fast as the server takes them.

use std::time::{Duration, Instant};

use crate::load::{
    command::Rooms,
    connection::Stage,
    fleet::{Fleet, Job, Seen, Turn},
};

/// A connection that has not entered by then never will.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Opening {
    first: usize,
    count: usize,
    rooms: Rooms,
    concurrency: usize,
    per_second: Option<f64>,
    deflate: bool,
    begun: Instant,
    started: usize,
    pub(crate) ready: usize,
    last_progress: Instant,
    failures_before: u64,
}

impl Opening {
    pub(crate) fn new(
        fleet: &Fleet,
        count: u32,
        rooms: Rooms,
        concurrency: u32,
        per_second: Option<f64>,
        deflate: bool,
    ) -> Self {
        Self {
            first: fleet.connections.len(),
            count: count as usize,
            rooms,
            concurrency: concurrency as usize,
            per_second,
            deflate,
            begun: Instant::now(),
            started: 0,
            ready: 0,
            last_progress: Instant::now(),
            failures_before: fleet.failures,
        }
    }

    fn room(&self, index: usize) -> u32 {
        match self.rooms {
            Rooms::One(room) => room,
            Rooms::OfSize(size) => (index % (self.count / size as usize).max(1)) as u32,
            Rooms::Prober => [1_000_000, 0][index.min(1)],
        }
    }
}

impl Job for Opening {
    fn seen(&mut self, _fleet: &mut Fleet, _index: usize, seen: Seen) {
        if matches!(seen, Seen::Ready) {
            self.ready += 1;
            self.last_progress = Instant::now();
        }
    }

    fn turn(&mut self, fleet: &mut Fleet, now: Instant) -> Turn {
        let failed = (fleet.failures - self.failures_before) as usize;
        let due =
            self.per_second.map_or(self.count, |pace| ((now - self.begun).as_secs_f64() * pace) as usize + 1);
        while self.started < self.count.min(due) && self.started - self.ready - failed < self.concurrency {
            let index = self.first + self.started;
            self.started += 1;
            if let Err(error) = fleet.start(index, self.room(index), self.deflate) {
                fleet.fail(index, &format!("{error:#}"));
                return Turn::Spin;
            }
        }
        if self.ready + failed >= self.count {
            return Turn::Over;
        }
        if now - self.last_progress > PATIENCE {
            let stuck: Vec<_> = fleet
                .connections
                .iter()
                .flatten()
                .map(|connection| connection.stage)
                .filter(|stage| *stage != Stage::Ready)
                .take(5)
                .collect();
            fleet
                .fault(format!("{} of {} connections entered; others are {stuck:?}", self.ready, self.count));
            return Turn::Over;
        }
        Turn::Wait(now + Duration::from_millis(2))
    }
}
