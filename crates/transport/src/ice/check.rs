//! Our own checks (RFC 8445 7.2, RFC 7675 5.1): triggered by the peer's, for nomination, and for consent. A lite agent
//! makes none.

use std::time::{Duration, Instant};

use super::agent::Agent;
use super::pair::{Check, Pair};
use crate::output::Output;
use crate::stun::{Class, Message, Writer};
use crate::transport::{Dropped, Path, Transmit};

/// What a peer-reflexive candidate of ours would have (RFC 8445 5.1.2.1): type 110, one address, component 1.
const PRIORITY: u32 = 110 << 24 | 65_535 << 8 | 255;
/// The peer's checks make us repeat ours at most this often.
const TRIGGERED_REPEAT: Duration = Duration::from_millis(50);
/// From the first pair that works to nominating the best, if that is ours to do.
const NOMINATION_DELAY: Duration = Duration::from_millis(50);

impl Agent {
    /// Checks a pair that the peer has checked, unless we know that it works. A check that is under way is repeated: the
    /// peer is there, so the answer was lost, and it should not wait for our timer.
    pub(super) fn trigger(&mut self, at: usize, now: Instant, out: &mut Output) {
        let pair = &mut self.pairs[at];
        let stale = pair.confirmed.is_none_or(|confirmed| now >= confirmed + self.consent_check * 2);
        if self.lite || !stale {
            return;
        }
        match &mut pair.check {
            None => self.check(at, false, now, out),
            Some(check) if now >= check.sent + TRIGGERED_REPEAT => {
                check.sends = 0;
                self.send(at, now, out);
            }
            Some(_) => {}
        }
    }

    /// Whether we may send there: the peer has answered us lately, or as a lite agent we take its word.
    pub(super) fn works(&self, pair: &Pair, now: Instant) -> bool {
        self.lite || pair.confirmed.is_some_and(|confirmed| now < confirmed + self.consent_check * 3)
    }

    fn check(&mut self, at: usize, nominates: bool, now: Instant, out: &mut Output) {
        let transaction = self.transaction();
        self.pairs[at].check = Some(Check { transaction, nominates, sends: 0, sent: now, due: now });
        self.send(at, now, out);
    }

    /// Sends the pair's check, or gives it up. A check that finds no place in the bucket counts as sent: it is repeated.
    fn send(&mut self, at: usize, now: Instant, out: &mut Output) {
        let pair = &mut self.pairs[at];
        let Some(check) = &mut pair.check else { return };
        let nominates = check.nominates;
        let Some(transaction) = check.send(now) else {
            pair.check = None;
            if nominates {
                // What cannot be nominated is no path; the next best is.
                pair.confirmed = None;
                self.nominate_at = Some(now);
            }
            return;
        };
        let pair = &self.pairs[at];
        let Some(generation) = self.generation(pair.generation) else { return };
        let Some(remote) = &generation.remote else { return };
        let mut request = Writer::new(Class::Request, &transaction)
            .username(remote.ufrag(), generation.local.ufrag())
            .priority(PRIORITY);
        request = if self.controlling {
            request.controlling(self.tie_breaker)
        } else {
            request.controlled(self.tie_breaker)
        };
        if nominates && self.controlling {
            request = request.use_candidate();
        }
        let data = request.finish(remote.pwd());
        let path = pair.path;
        if self.bucket.take(now) {
            out.transmit(Transmit { local: path.local, to: path.remote, data });
        }
    }

    pub(super) fn response(
        &mut self,
        now: Instant,
        path: Path,
        message: &Message<'_>,
        out: &mut Output,
    ) -> Result<(), Dropped> {
        let transaction = message.transaction();
        // An answer counts only from where the check went (RFC 8445 7.2.5.2.1).
        let expected = |pair: &Pair| {
            pair.path == path && pair.check.as_ref().is_some_and(|check| check.transaction == transaction)
        };
        let at = self.pairs.iter().position(expected).ok_or(Dropped::StunUnexpected)?;
        let remote = self.generation(self.pairs[at].generation).and_then(|known| known.remote.as_ref());
        if !remote.is_some_and(|remote| message.verify(remote.pwd())) {
            return Err(Dropped::StunForged);
        }
        let pair = &mut self.pairs[at];
        let nominates = pair.check.take().is_some_and(|check| check.nominates);
        if message.class() == Class::Error {
            if message.error() == Some(487) {
                self.controlling = !self.controlling;
                self.check(at, nominates, now, out);
            }
            return Ok(());
        }
        pair.confirmed = Some(now);
        if self.controlling {
            if nominates {
                pair.nominated = Some(now);
            } else if self.nominate_at.is_none() && !self.has_nominated() {
                self.nominate_at = Some(now + NOMINATION_DELAY);
            }
        }
        self.reconsider(at, now, out);
        Ok(())
    }

    fn has_nominated(&self) -> bool {
        self.pairs.iter().any(|pair| pair.generation == self.current.number && pair.nominated.is_some())
    }

    pub(crate) fn tick(&mut self, now: Instant, out: &mut Output) {
        for at in 0..self.pairs.len() {
            if self.pairs[at].check.as_ref().is_some_and(|check| now >= check.due) {
                self.send(at, now, out);
            }
        }
        if self.consent_at.is_some_and(|at| now >= at) {
            self.check_consent(now, out);
        }
        if self.nominate_at.is_some_and(|at| now >= at) {
            self.nominate_at = None;
            if self.controlling {
                self.nominate(now, out);
            }
        }
    }

    /// Renews consent on the selected path. Each check has a transaction of its own and is sent once (RFC 7675 5.1).
    fn check_consent(&mut self, now: Instant, out: &mut Output) {
        let selected = self.selected_pair().map(|pair| pair.serial);
        let Some(at) = self.pairs.iter().position(|pair| Some(pair.serial) == selected) else {
            self.consent_at = None;
            return;
        };
        // A path that answers no more is left, if it is ours to say and another one works.
        let confirmed = self.pairs[at].confirmed;
        let silent = confirmed.is_none_or(|confirmed| now >= confirmed + self.consent_check * 5 / 2);
        if silent && self.controlling {
            self.pairs[at].nominated = None;
            self.nominate(now, out);
        }
        if self.pairs[at].check.as_ref().is_none_or(|check| !check.nominates) {
            self.check(at, false, now, out);
            if let Some(check) = &mut self.pairs[at].check {
                check.sends = u32::MAX;
                check.due = now + self.consent_check * 2;
            }
        }
        let [fifths, ..] = self.transaction();
        // Between four and six fifths of the interval, so that checks of many peers do not march in step.
        self.consent_at = Some(now + self.consent_check * (205 + u32::from(fifths) * 2 / 5) / 256);
    }

    /// Nominates the best pair that works.
    fn nominate(&mut self, now: Instant, out: &mut Output) {
        let current = self.current.number;
        let recent = now.checked_sub(self.consent_check * 2).unwrap_or(now);
        let best = self
            .pairs
            .iter()
            .enumerate()
            .filter(|(_, pair)| {
                pair.generation == current && pair.confirmed.is_some() && pair.heard >= recent
            })
            .max_by_key(|(_, pair)| (pair.confirmed >= Some(recent), pair.priority))
            .map(|(at, _)| at);
        if let Some(at) = best {
            self.check(at, true, now, out);
        }
    }
}
