//! Whole sessions: connect, authenticate, join, one message that must come back, leave, close. The next begins when
//! one has ended. Each is alone in its room, so that its one delivery is exactly known.

use std::time::{Duration, Instant};

use crate::{
    load::fleet::{Fleet, Job, Seen, Turn},
    packets::Body,
};

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Default)]
struct Session {
    sent: Option<u64>,
    acked: bool,
    delivered: bool,
    leaving: bool,
}

pub(crate) struct Sessions {
    body: Vec<u8>,
    count: u32,
    started: u32,
    pub(crate) ended: u32,
    places: Vec<Option<Session>>,
    last_progress: Instant,
}

impl Sessions {
    pub(crate) fn new(count: u32, concurrency: u32) -> Self {
        Self {
            body: Body::Text(128).template(),
            count,
            started: 0,
            ended: 0,
            places: vec![None; concurrency.min(count) as usize],
            last_progress: Instant::now(),
        }
    }
}

impl Job for Sessions {
    fn seen(&mut self, fleet: &mut Fleet, index: usize, seen: Seen) {
        let Some(mut session) = self.places[index] else { return };
        match seen {
            Seen::Ready => session.sent = Some(fleet.send_message(index, &mut self.body).1),
            Seen::Message { number } if number == session.sent && !session.delivered => {
                session.delivered = true;
            }
            Seen::Ack { .. } if session.leaving => fleet.send_close(index),
            Seen::Ack { .. } if !session.acked => session.acked = true,
            Seen::Closed => {
                self.ended += 1;
                self.last_progress = Instant::now();
                self.places[index] = None;
                return;
            }
            unexpected => fleet.fail(index, &format!("{unexpected:?} out of turn")),
        }
        if session.acked && session.delivered && !session.leaving {
            session.leaving = true;
            fleet.send_leave(index);
        }
        self.places[index] = Some(session);
    }

    fn turn(&mut self, fleet: &mut Fleet, now: Instant) -> Turn {
        for index in 0..self.places.len() {
            if self.places[index].is_none() && self.started < self.count {
                let room = self.started;
                self.started += 1;
                self.places[index] = Some(Session::default());
                if let Err(error) = fleet.start(index, room, false) {
                    fleet.fail(index, &format!("{error:#}"));
                }
            }
        }
        if self.ended == self.count {
            return Turn::Over;
        }
        if fleet.failures > 0 || now - self.last_progress > PATIENCE {
            fleet.fault(format!("{} of {} sessions", self.ended, self.count));
            return Turn::Over;
        }
        Turn::Spin
    }
}
