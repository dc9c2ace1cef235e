//! Answering the peer's checks (RFC 8445 7.3). Nothing is answered that does not prove to know our password: an
//! error in return for a forged request would make us a reflector.

use std::time::Instant;

use super::agent::Agent;
use crate::output::Output;
use crate::stun::{Class, Message, Writer};
use crate::transport::{Dropped, Path, Transmit};

const ROLE_CONFLICT: u16 = 487;
const UNKNOWN_ATTRIBUTE: u16 = 420;

impl Agent {
    pub(super) fn request(
        &mut self,
        now: Instant,
        path: Path,
        message: &Message<'_>,
        out: &mut Output,
    ) -> Result<(), Dropped> {
        let (receiver, sender) =
            message.username().and_then(|name| name.split_once(':')).ok_or(Dropped::StunMalformed)?;
        let generation = [Some(&self.current), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .find(|generation| generation.local.ufrag() == receiver)
            .ok_or(Dropped::StunStranger)?;
        if generation.remote.as_ref().is_some_and(|remote| remote.ufrag() != sender) {
            return Err(Dropped::StunStranger);
        }
        if !message.verify(generation.local.pwd()) {
            return Err(Dropped::StunForged);
        }
        let generation = generation.number;
        let transaction = message.transaction();
        let known = self.pairs.iter().find(|pair| pair.path == path && pair.generation == generation);
        let seen = self.seen.find(&transaction);
        if seen.is_some() && seen != known.map(|pair| pair.serial) {
            return Err(Dropped::StunReplayed);
        }
        if !self.bucket.take(now) {
            return Err(Dropped::StunRate);
        }
        if seen.is_some() {
            // The same once more gets the same answer, but renews nothing.
            let answer = Writer::new(Class::Success, &transaction).mapped(path.remote);
            self.answer(generation, path, answer, out);
            return Ok(());
        }
        if !message.unknown().is_empty() {
            let answer = Writer::new(Class::Error, &transaction)
                .error(UNKNOWN_ATTRIBUTE, "Unknown Attribute")
                .unknown_attributes(message.unknown());
            self.answer(generation, path, answer, out);
            return Ok(());
        }
        let priority = message.priority().ok_or(Dropped::StunMalformed)?;
        match (message.controlling(), message.controlled()) {
            (Some(theirs), _) if self.controlling => {
                if self.tie_breaker >= theirs {
                    self.conflict(generation, path, message, out);
                    return Ok(());
                }
                self.controlling = false;
                self.nominate_at = None;
            }
            (_, Some(theirs)) if !self.controlling => {
                // A lite agent never controls.
                if self.lite || self.tie_breaker < theirs {
                    self.conflict(generation, path, message, out);
                    return Ok(());
                }
                self.controlling = true;
            }
            (None, None) => return Err(Dropped::StunMalformed),
            _ => {}
        }

        let at = self.pair(now, path, generation, priority, out);
        let controlling = self.controlling;
        let pair = &mut self.pairs[at];
        pair.heard = now;
        if message.use_candidate() && !controlling {
            pair.nominated = Some(now);
            pair.deposed = false;
        } else if pair.nominated.is_some() && !controlling {
            pair.deposed = true;
        }
        let serial = pair.serial;
        self.seen.note(&transaction, serial);
        let answer = Writer::new(Class::Success, &transaction).mapped(path.remote);
        self.answer(generation, path, answer, out);
        self.trigger(at, now, out);
        self.reconsider(at, now, out);
        Ok(())
    }

    fn conflict(&self, generation: u32, path: Path, message: &Message<'_>, out: &mut Output) {
        let answer = Writer::new(Class::Error, &message.transaction()).error(ROLE_CONFLICT, "Role Conflict");
        self.answer(generation, path, answer, out);
    }

    fn answer(&self, generation: u32, path: Path, answer: Writer, out: &mut Output) {
        if let Some(generation) = self.generation(generation) {
            let data = answer.finish(generation.local.pwd());
            out.transmit(Transmit { local: path.local, to: path.remote, data });
        }
    }
}
