//! A device of a user: what others write to that user comes to all of their devices, and waits for those that are away until they
//! have confirmed it. No connection in here.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use super::{Client, Expected, judging::Room};
use crate::{
    accounting::{Ledger, Track},
    dialect::Request,
    run::{Phase, Run},
};

pub(super) struct Inbox {
    pub(super) user: String,
    pub(super) device: String,
    /// The room of the user that this one writes to.
    pub(super) friend: Arc<str>,
    pub(super) friend_ledger: Arc<Mutex<Ledger>>,
    confirmations: Confirmations,
}

/// What the server knows that the device has.
#[derive(Default)]
struct Confirmations {
    /// One is on its way.
    is_under_way: bool,
    answered: u64,
    /// Of each of the last seconds, the last that was answered. There are as many as it takes until they are [`KEPT_S`] old.
    recent: VecDeque<(u64, u64)>,
    /// Nothing up to there may come again.
    kept: u64,
}

/// A server may write confirmations down together, once in a while. Those that are older than this must not be forgotten.
const KEPT_S: u64 = 5;

impl Inbox {
    /// Nothing unless users write to each other.
    pub(super) fn of(run: &Run, number: u32) -> Option<Self> {
        let rooms = run.profile.rooms.as_ref().filter(|rooms| rooms.direct)?;
        let count = rooms.count(run.profile.users);
        let (user, device) = (number % count, number / count);
        let friend = friend(user, count);
        Some(Self {
            user: name(run, user),
            device: format!("device-{device}"),
            friend: room_name(&name(run, friend)).into(),
            friend_ledger: run.room(friend),
            confirmations: Confirmations::default(),
        })
    }

    pub(super) fn room_name(&self) -> String {
        room_name(&self.user)
    }

    /// A session begins: the server goes on behind what was confirmed, as far as it has heard of that.
    pub(super) fn begin(&mut self, run: &Run, room: &mut Room) {
        room.is_inbox = true;
        room.is_early |= run.phase() == Phase::Gathering;
        self.confirmations.is_under_way = false;
        if let Some(track) = &mut room.track {
            track.may_repeat(self.confirmations.kept(run.now_us()));
        }
    }

    /// With nothing if it was refused.
    pub(super) fn answered(&mut self, seq: Option<u64>, now_us: u64) {
        self.confirmations.answered(seq, now_us);
    }
}

impl Confirmations {
    /// What is to be confirmed now, if anything.
    fn next(&mut self, complete_to: u64) -> Option<u64> {
        let is_due = !self.is_under_way && complete_to > self.answered;
        self.is_under_way |= is_due;
        is_due.then_some(complete_to)
    }

    fn answered(&mut self, seq: Option<u64>, now_us: u64) {
        self.is_under_way = false;
        self.kept(now_us);
        let Some(seq) = seq else { return };
        self.answered = self.answered.max(seq);
        let second = now_us / 1_000_000;
        match self.recent.back_mut() {
            Some((last, seq)) if *last == second => *seq = self.answered,
            _ => self.recent.push_back((second, self.answered)),
        }
    }

    fn kept(&mut self, now_us: u64) -> u64 {
        let second = now_us / 1_000_000;
        while let Some((_, seq)) = self.recent.pop_front_if(|(at, _)| *at + KEPT_S < second) {
            self.kept = seq;
        }
        self.kept
    }
}

impl Client {
    /// A device says what it has: one confirmation at a time, of everything that has come by then.
    pub(super) async fn confirm(&mut self) {
        let Some(inbox) = self.inbox.as_mut().filter(|_| self.link.is_some()) else { return };
        let complete_to =
            self.ear.heard().room.as_ref().and_then(|room| room.track.as_ref()).map(Track::complete_to);
        let Some(seq) = complete_to.and_then(|seq| inbox.confirmations.next(seq)) else { return };
        let (name, due_us) = (self.room_name(), self.run.now_us());
        self.say(Request::Received { room: &name, seq }, Expected::Received { due_us, seq }).await;
    }
}

/// Two and two write to each other; one that is left over writes to the first.
fn friend(user: u32, count: u32) -> u32 {
    if user ^ 1 < count { user ^ 1 } else { 0 }
}

fn name(run: &Run, user: u32) -> String {
    format!("load-{:x}-{user}", run.id)
}

fn room_name(user: &str) -> String {
    format!("user:{user}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_somebody_to_write_to() {
        assert_eq!([0, 1, 2, 3].map(|user| friend(user, 4)), [1, 0, 3, 2]);
        assert_eq!([0, 1, 2].map(|user| friend(user, 3)), [1, 0, 0]);
        assert_eq!(friend(0, 1), 0, "whoever is alone writes to themselves");
    }

    #[test]
    fn a_confirmation_holds_when_it_is_old_enough() {
        let at = |second: u64| second * 1_000_000;
        let mut confirmations = Confirmations::default();
        assert_eq!(
            (confirmations.next(0), confirmations.next(3), confirmations.next(4)),
            (None, Some(3), None)
        );
        confirmations.answered(Some(3), at(10));
        assert_eq!(confirmations.next(4), Some(4));
        confirmations.answered(None, at(11));
        assert_eq!(confirmations.next(4), Some(4), "it was refused");
        confirmations.answered(Some(4), at(11));
        let kept = [10, 15, 16, 17].map(|second| confirmations.kept(at(second)));
        assert_eq!(kept, [0, 0, 3, 4]);
        for step in 0..100_000 {
            confirmations.answered(Some(5 + step), at(20) + step * 1_000);
        }
        assert!(confirmations.recent.len() <= KEPT_S as usize + 2);
    }
}
