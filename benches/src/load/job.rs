//! The kinds of load. Each job is a small state machine over the fleet; none touches a socket itself.

mod across;
mod echo;
mod opening;
mod paced;
mod pipelined;
mod probe;
mod recovery;
mod saturated;
mod sessions;
mod unbroken;
mod verify;

use std::time::Instant;

pub(crate) use across::Across;
pub(crate) use echo::Echo;
pub(crate) use opening::Opening;
pub(crate) use paced::Paced;
pub(crate) use pipelined::Pipelined;
pub(crate) use probe::Probe;
pub(crate) use recovery::Recovery;
pub(crate) use saturated::Saturated;
pub(crate) use sessions::Sessions;
pub(crate) use unbroken::Unbroken;
pub(crate) use verify::Verify;

use super::{
    command::Command,
    fleet::{Fleet, Job, Seen, Turn},
};

/// Answers heartbeats until a moment, or until the next command.
pub(crate) struct Idle {
    pub(crate) until: Option<Instant>,
    pub(crate) next: Option<Command>,
    pub(crate) gone: bool,
}

impl Idle {
    pub(crate) fn until_command() -> Self {
        Self { until: None, next: None, gone: false }
    }

    pub(crate) fn until(moment: Instant) -> Self {
        Self { until: Some(moment), next: None, gone: false }
    }
}

impl Job for Idle {
    fn seen(&mut self, fleet: &mut Fleet, index: usize, seen: Seen) {
        // A message while nobody sends is counted and shows in the next check; an ack has nowhere to show.
        if let Seen::Ack { id, .. } = seen {
            fleet.fail(index, &format!("an ack {id} that nobody waits for"));
        }
    }

    fn turn(&mut self, fleet: &mut Fleet, now: Instant) -> Turn {
        if let Some(until) = self.until {
            return if now >= until { Turn::Over } else { Turn::Wait(until) };
        }
        match fleet.commands.try_recv() {
            Ok(command) => {
                self.next = Some(command);
                Turn::Over
            }
            Err(std::sync::mpsc::TryRecvError::Empty) => Turn::Block,
            Err(std::sync::mpsc::TryRecvError::Disconnected) => {
                self.gone = true;
                Turn::Over
            }
        }
    }
}
