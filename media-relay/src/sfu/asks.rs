//! What is asked of this shard, one by one.

use std::time::Instant;

use turnpike_wire::{Code, Failure};

use super::{Command, Effect, Sfu};
use crate::{Ask, Told};

impl Sfu {
    pub(crate) fn command(&mut self, now: Instant, command: Command) {
        let Command { ticket, ask, chance } = command;
        let answer = self.answer(now, ask, &chance);
        self.effects.push_back(Effect::Answer { ticket, answer });
    }

    fn answer(&mut self, _now: Instant, _ask: Ask, _chance: &[u8; 64]) -> Result<Told, Failure> {
        Err(Code::NoRelay.into())
    }
}
