//! Leaving: nobody is taken in any more, and those there are go in waves, each after what it had asked for was answered.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Conn, Shard};
use crate::application::Application;
use crate::command::Departure;

/// Waves in a window.
const WAVES: u32 = 50;
/// Between two looks at whether answers are out and everybody is gone.
const LOOK: Duration = Duration::from_millis(10);

/// One whose turn it is.
struct Leaver<A: Application> {
    conn: Rc<Conn<A>>,
    /// When what it still waits for is waited for no longer.
    until: Instant,
}

impl<A: Application> Shard<A> {
    pub(super) fn drain(self: &Rc<Self>, departure: Arc<Departure>, done: oneshot::Sender<usize>) {
        self.draining.set(true);
        let begun = Instant::now();
        self.leaving.send_replace(Some((begun, departure.window)));
        let shard = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let staying: VecDeque<_> = shard.conns.borrow().iter().map(|(_, conn)| Rc::clone(conn)).collect();
            let total = staying.len();
            shard.send_off(&departure, begun, staying).await;
            // What was queued is on its way; a client that does not take it is cut off at the deadline.
            let deadline = Instant::now().max(begun + departure.window) + shard.config.write_deadline;
            let anybody = || {
                !shard.conns.borrow().is_empty()
                    || shard.counters.tunnels_now.get() > 0
                    || shard.requests_now.get() > 0
            };
            while anybody() && Instant::now() < deadline {
                tokio::time::sleep(LOOK).await;
            }
            // The answer of the last request is made; it has still to be written.
            tokio::time::sleep(LOOK).await;
            // Whoever asked may have lost patience.
            let _ = done.send(total);
        });
    }

    async fn send_off(
        self: &Rc<Self>,
        departure: &Departure,
        begun: Instant,
        mut staying: VecDeque<Rc<Conn<A>>>,
    ) {
        let (end, step) = (begun + departure.window, departure.window / WAVES);
        let mut next_wave = begun + departure.notice.min(departure.window / 10);
        let mut leavers: Vec<Leaver<A>> = Vec::new();
        let mut told = 0;
        loop {
            let now = Instant::now();
            if now >= next_wave || now >= end {
                staying.retain(|conn| !conn.state.borrow().ended);
                let wave = wave(departure, staying.len(), end.saturating_duration_since(now), step);
                leavers.extend(staying.drain(..wave).map(|conn| {
                    conn.state.borrow_mut().is_leaving = true;
                    Leaver { conn, until: now + departure.answers_max }
                }));
                next_wave = now + step;
            }
            leavers.retain(|leaver| {
                let mut state = leaver.conn.state.borrow_mut();
                if state.is_owed_answers() && now < leaver.until {
                    return true;
                }
                let close = &departure.closes[told % departure.closes.len()];
                told += 1;
                self.close_transport(&leaver.conn, &mut state, close);
                false
            });
            if staying.is_empty() && leavers.is_empty() {
                return;
            }
            let look = if leavers.is_empty() { next_wave.min(end) } else { now + LOOK };
            tokio::time::sleep_until(look.max(now + Duration::from_millis(1))).await;
        }
    }
}

/// How many of those that stay have their turn: an even share of what is left, or as many as may go; in the end all.
fn wave(departure: &Departure, staying: usize, left: Duration, step: Duration) -> usize {
    if left.is_zero() || step.is_zero() {
        return staying;
    }
    let waves_left = left.div_duration_f64(step).floor() as usize;
    let share = staying.div_ceil(waves_left.max(1));
    departure.pace.as_ref().map_or(share, |pace| pace(share)).min(staying)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Close;

    #[test]
    fn everybody_has_gone_at_the_end_whatever_the_pace() {
        let window = Duration::from_secs(10);
        let step = window / WAVES;
        for pace in [usize::MAX, 3, 0] {
            let mut departure = Departure::new(window, Close::new(3001, "drain", true));
            departure.pace = Some(Box::new(move |wanted| wanted.min(pace)));
            let (mut staying, mut largest, mut left) = (5_000, 0, window);
            loop {
                let now = wave(&departure, staying, left, step);
                if !left.is_zero() {
                    largest = largest.max(now);
                }
                staying -= now;
                if left.is_zero() {
                    break;
                }
                left = left.saturating_sub(step);
            }
            assert_eq!(staying, 0, "{pace}");
            assert!(largest <= 5_000_usize.div_ceil(WAVES as usize).min(pace), "{largest} at once");
        }
    }
}
