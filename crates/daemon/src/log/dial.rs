//! What is logged, changed while the process runs, for a while: who looks into something at three in the morning forgets to
//! turn it back, and a node that logs everything for weeks fills its disk.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::{Registry, reload};

use super::Levels;
use crate::config::Setting as _;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Dial(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    handle: reload::Handle<Targets, Registry>,
    turned: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// One that has been turned again does not go back by the time of before.
    turns: u64,
    configured: Levels,
    now: Option<(Levels, Instant)>,
}

/// How the dial stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turned {
    pub levels: String,
    pub configured: String,
    /// When it goes back by itself, if it was turned.
    pub back_in: Option<Duration>,
}

impl Dial {
    pub(super) fn new(configured: Levels, handle: reload::Handle<Targets, Registry>) -> Self {
        Self(Arc::new(Shared { handle, turned: Mutex::new(State { turns: 0, configured, now: None }) }))
    }

    pub fn read(&self) -> Turned {
        let state = self.state();
        let configured = state.configured.show();
        match &state.now {
            Some((levels, until)) => Turned {
                levels: levels.show(),
                configured,
                back_in: Some(until.saturating_duration_since(Instant::now())),
            },
            None => Turned { levels: configured.clone(), configured, back_in: None },
        }
    }

    /// Until the time is over, or it is turned again. Needs a runtime around it.
    pub fn turn(&self, levels: Levels, back_after: Duration) {
        let until = Instant::now() + back_after;
        let turn = {
            let mut state = self.state();
            state.turns += 1;
            self.log(&levels);
            state.now = Some((levels, until));
            state.turns
        };
        let dial = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep_until(until).await;
            let mut state = dial.state();
            if state.turns == turn {
                dial.back(&mut state);
            }
        });
    }

    /// As it is configured.
    pub fn turn_back(&self) {
        self.back(&mut self.state());
    }

    /// What is configured is another. While the dial is turned that is not seen yet.
    pub fn configure(&self, levels: Levels) {
        let mut state = self.state();
        if state.now.is_none() {
            self.log(&levels);
        }
        state.configured = levels;
    }

    fn back(&self, state: &mut State) {
        state.turns += 1;
        if state.now.take().is_some() {
            self.log(&state.configured);
            tracing::info!("what is logged is as configured again");
        }
    }

    fn log(&self, levels: &Levels) {
        if self.0.handle.reload(levels.targets.clone()).is_err() {
            // Its subscriber is another one's, which happens where tests start several systems in one process.
            tracing::debug!("what is logged is not this one's to change");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is complete before anything that could fail.
        self.0.turned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(text: &str) -> Levels {
        Levels::parse(text).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn it_goes_back_by_itself_but_not_by_the_time_of_an_earlier_turn() {
        let (layer, handle) = reload::Layer::new(levels("info").targets);
        let dial = Dial::new(levels("info"), handle.clone());
        let effective = || handle.clone_current().unwrap();
        let second = Duration::from_secs(1);
        dial.turn(levels("debug"), 10 * second);
        assert_eq!((dial.read().levels.as_str(), dial.read().back_in), ("debug", Some(10 * second)));
        assert_eq!(effective(), levels("debug").targets);
        tokio::time::sleep(5 * second).await;
        dial.turn(levels("info,turnpike_engine=trace"), 10 * second);
        tokio::time::sleep(7 * second).await;
        assert_eq!(dial.read().levels, "info,turnpike_engine=trace", "12 s after the first turn");
        tokio::time::sleep(4 * second).await;
        assert_eq!((dial.read().levels.as_str(), dial.read().back_in), ("info", None));
        assert_eq!(effective(), levels("info").targets);
        dial.turn(levels("off"), second);
        dial.turn_back();
        assert_eq!(effective(), levels("info").targets);
        dial.turn(levels("off"), second);
        dial.configure(levels("warn"));
        assert_eq!(effective(), levels("off").targets);
        tokio::time::sleep(2 * second).await;
        assert_eq!((effective(), dial.read().configured.as_str()), (levels("warn").targets, "warn"));
        dial.configure(levels("error"));
        assert_eq!(effective(), levels("error").targets);
        drop(layer);
    }
}
