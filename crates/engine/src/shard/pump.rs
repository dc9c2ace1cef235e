//! The shard's second job beside its connections: commands from the inbox, and writing what they queued. It runs in
//! turns of bounded work, so that a broadcast to ten thousand does not keep the other connections waiting.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;

use super::Shard;
use super::commands::{Job, SLICE_MEMBERS};
use crate::application::Application;
use crate::command::Command;
use crate::inbox::Inbox;
use crate::packet::Encoded;

/// Commands taken from the inbox at once.
const COMMANDS_PER_TURN: usize = 256;
/// Deliveries queued before they are written: at about 30 ns each, a fraction of a millisecond.
const DELIVERIES_PER_TURN: usize = 16_384;
/// The application reads its history for each of them.
const REFILLS_PER_TURN: usize = 64;

/// Publications whose way is measured at once.
const PUBLISHED_MAX: usize = 256;

/// Commands that have left the inbox.
#[derive(Default)]
struct Taken {
    arriving: Vec<Command>,
    queue: VecDeque<Command>,
}

impl<A: Application> Shard<A> {
    /// Runs until the engine stops the shard.
    pub(crate) async fn pump(self: Rc<Self>, mut inbox: mpsc::Receiver<Command>) {
        let mut taken = Taken::default();
        let mut job: Option<Job> = None;
        loop {
            let idle = job.is_none() && taken.queue.is_empty() && !self.has_work();
            if idle && !poll_fn(|context| self.wait(context, &mut inbox, &mut taken)).await {
                return;
            }
            self.work.pumping.set(true);
            // What is delivered in this turn is written down with this time: reading the clock costs as much as a delivery.
            self.now_ms();
            let stop = self.turn_of_commands(&mut inbox, &mut taken, &mut job);
            self.end_doomed();
            self.refill();
            self.flush_some();
            if job.is_none() {
                self.measure_lag();
            }
            self.work.pumping.set(false);
            if stop {
                return;
            }
            // Others first; the runtime looks at its sockets before it comes back to us.
            tokio::task::yield_now().await;
        }
    }

    /// False: nobody can send commands any more.
    fn wait(
        &self,
        context: &mut Context<'_>,
        inbox: &mut mpsc::Receiver<Command>,
        taken: &mut Taken,
    ) -> Poll<bool> {
        let mut waker = self.work.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
            self.inbox().set_waker(context.waker());
        }
        drop(waker);
        match inbox.poll_recv_many(context, &mut taken.arriving, COMMANDS_PER_TURN) {
            Poll::Ready(count) => {
                taken.queue.extend(taken.arriving.drain(..));
                Poll::Ready(count > 0)
            }
            Poll::Pending if self.has_work() || self.inbox().is_late() => Poll::Ready(true),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Our own, as others see it.
    fn inbox(&self) -> &Inbox {
        &self.handle.0.shards[usize::from(self.index)].inbox
    }

    fn has_work(&self) -> bool {
        !(self.work.dirty.borrow().is_empty()
            && self.work.doomed.borrow().is_empty()
            && self.work.level.borrow().is_empty())
    }

    pub(super) fn wake_pump(&self) {
        if !self.work.pumping.get()
            && let Some(waker) = &*self.work.waker.borrow()
        {
            waker.wake_by_ref();
        }
    }

    /// Gives whether the shard is to stop.
    fn turn_of_commands(
        self: &Rc<Self>,
        inbox: &mut mpsc::Receiver<Command>,
        taken: &mut Taken,
        job: &mut Option<Job>,
    ) -> bool {
        if let Some(unfinished) = job.take() {
            *job = self.go_on(unfinished);
        }
        // New commands wait until what the last ones queued has been offered to the sockets.
        if job.is_some() || self.work.dirty.borrow().len() > SLICE_MEMBERS {
            return false;
        }
        let mut deliveries = 0;
        while deliveries < DELIVERIES_PER_TURN && job.is_none() {
            let Some(command) = taken.queue.pop_front().or_else(|| inbox.try_recv().ok()) else {
                if self.inbox().take_late(inbox, &mut taken.queue) {
                    continue;
                }
                break;
            };
            if matches!(command, Command::Stop) {
                return true;
            }
            match self.guarded(|| self.apply(command)) {
                Some(Ok(cost)) => deliveries += cost,
                Some(Err(large)) => {
                    *job = self.go_on(large);
                    deliveries += SLICE_MEMBERS;
                }
                None => {}
            }
        }
        false
    }

    /// Of events that say when they were published it is measured how late they are.
    pub(super) fn note_published(&self, event: &Encoded) {
        if let Some(published_ms) = event.published_ms() {
            let mut published = self.work.published.borrow_mut();
            // Under more load than the shard can carry those that are measured are enough.
            if published.len() < PUBLISHED_MAX {
                published.push(published_ms);
            }
        }
    }

    /// Once everything that was queued has been offered to the sockets.
    fn measure_lag(&self) {
        let mut published = self.work.published.borrow_mut();
        if published.is_empty() || !self.work.dirty.borrow().is_empty() && published.len() < PUBLISHED_MAX {
            return;
        }
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        for published_ms in published.drain(..) {
            // Of a clock that is behind that of the publication nothing can be told but that it was soon.
            self.counters.delivery_lag.took(Duration::from_millis(now_ms.saturating_sub(published_ms)));
        }
    }

    fn end_doomed(&self) {
        loop {
            let Some((key, reason)) = self.work.doomed.borrow_mut().pop() else { return };
            if let Some(conn) = self.conn(key) {
                self.end(&conn, &reason);
            }
        }
    }

    /// Asks the application to refill the sockets that were behind and whose clients have read everything.
    fn refill(&self) {
        for _ in 0..REFILLS_PER_TURN {
            let Some(key) = self.work.level.borrow_mut().pop_front() else { return };
            let Some(conn) = self.conn(key) else { continue };
            let mut state = conn.state.borrow_mut();
            for socket in state.sockets.iter_mut().filter(|socket| socket.behind && !socket.refilling) {
                socket.refilling = true;
                self.counters.refills.add(1);
                let id = self.socket_ref(key, socket);
                self.guarded(|| self.app.refill(&socket.app, &id, socket.offset.as_deref()));
            }
        }
    }

    fn flush_some(&self) {
        for _ in 0..SLICE_MEMBERS {
            let Some(key) = self.work.dirty.borrow_mut().pop_front() else { return };
            if let Some(conn) = self.conn(key) {
                let mut state = conn.state.borrow_mut();
                state.dirty = false;
                self.flush(&conn, &mut state);
            }
        }
    }
}
