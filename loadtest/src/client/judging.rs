//! What one client makes of what it is given: every delivery has its place in the room, or is a fault.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use crate::{
    accounting::{Account, Ledger, Seen, Senders, Track, Verdict},
    dialect::Message,
    figures::Measure,
    run::{Run, held},
    tag::Tag,
};

/// One client's view of its room.
pub(super) struct Room {
    pub(super) name: Arc<str>,
    pub(super) ledger: Arc<Mutex<Ledger>>,
    /// From the first join on.
    pub(super) track: Option<Track>,
    /// The same of a server that gives messages no place.
    senders: Senders,
    /// It was there before the load began.
    pub(super) is_early: bool,
    /// Nobody joins it, so its first place is that of its first message.
    pub(super) is_inbox: bool,
    client: u32,
    pub(super) account: Account,
    /// From when on it is connected: what was due before came late for other reasons.
    pub(super) online_us: u64,
    recovery: Option<Recovery>,
}

/// Coming back, until everything is there that was there when it began.
struct Recovery {
    begun_us: u64,
    target: Target,
}

enum Target {
    Place(u64),
    Numbers(BTreeMap<u32, u64>),
}

impl Room {
    pub(super) fn new(name: Arc<str>, ledger: Arc<Mutex<Ledger>>, client: u32) -> Self {
        Self {
            name,
            ledger,
            track: None,
            senders: Senders::default(),
            is_early: false,
            is_inbox: false,
            client,
            account: Account::default(),
            online_us: 0,
            recovery: None,
        }
    }

    /// The client stands here, and whatever it saw before is no longer continued.
    pub(super) fn begin(&mut self, run: &Run, epoch: u64, seq: u64) {
        if let Some(before) = self.track.take() {
            self.close(run, &before, before.complete_to());
        }
        self.track = Some(Track::new(epoch, seq));
    }

    /// As `begin`, but nobody asked for it.
    pub(super) fn begin_anew(&mut self, run: &Run, epoch: u64, seq: u64) {
        self.account.resyncs += 1;
        let (name, client) = (&self.name, self.client);
        run.example(|| format!("user {client}, {name}: began anew at {epoch}:{seq}"));
        self.begin(run, epoch, seq);
    }

    pub(super) fn recovering(&mut self, run: &Run, begun_us: u64) {
        let target = match &self.track {
            Some(track) => Target::Place(held(&self.ledger).acknowledged_to(track.epoch)),
            None if !run.dialect.has_positions() && self.online_us > 0 => Target::Numbers(self.owed(run)),
            None => return,
        };
        // Who could not get in at first is still coming back.
        let begun_us = self.recovery.as_ref().map_or(begun_us, |recovery| recovery.begun_us.min(begun_us));
        self.recovery = Some(Recovery { begun_us, target });
    }

    /// What the server has taken of each sender, and owes this client.
    fn owed(&self, run: &Run) -> BTreeMap<u32, u64> {
        let mut taken = held(&self.ledger).taken().clone();
        if run.profile.app.as_ref().is_some_and(|app| !app.echo) {
            taken.remove(&self.client);
        }
        taken
    }

    pub(super) fn is_complete(&self, run: &Run) -> bool {
        match &self.track {
            Some(track) => track.complete_to() >= held(&self.ledger).acknowledged_to(track.epoch),
            None if self.is_early && self.is_inbox => held(&self.ledger).head().1 == 0,
            None => run.dialect.has_positions() || self.senders.has(&self.owed(run), self.is_early),
        }
    }

    /// Whether everything that was missed has come by now.
    pub(super) fn look_for_recovery(&mut self, run: &Run, now_us: u64) {
        let Some(recovery) = &self.recovery else { return };
        let has_come = match (&recovery.target, &self.track) {
            (Target::Place(place), Some(track)) => track.complete_to() >= *place,
            (Target::Numbers(taken), _) => self.senders.has(taken, self.is_early),
            (Target::Place(_), None) => false,
        };
        if has_come {
            run.record(self.client, Measure::Recovery, now_us.saturating_sub(recovery.begun_us));
            self.recovery = None;
        }
    }

    /// A delivery of a server that gives messages no place: all that is known of it is its tag.
    pub(super) fn take_tagged(&mut self, run: &Run, text: &str, now_us: u64) {
        self.account.delivered += 1;
        let Some(tag) = Tag::find(text).filter(|tag| tag.run == run.id && self.is_of(run, tag)) else {
            self.account.foreign += 1;
            return;
        };
        let number = u64::from(tag.number);
        let seen = self.senders.take(tag.sender, number, self.is_early);
        self.name_fault(run, Some(seen), u64::from(tag.sender), number);
        if seen != Seen::Again {
            self.measure(run, tag.due_us, now_us);
        }
        self.look_for_recovery(run, now_us);
    }

    /// Whether its sender is in this room.
    fn is_of(&self, run: &Run, tag: &Tag) -> bool {
        let rooms = run.profile.rooms.as_ref().map_or(1, |rooms| rooms.count(run.profile.users));
        tag.sender % rooms == self.client % rooms
    }

    pub(super) fn take(&mut self, run: &Run, message: &Message<'_>, now_us: u64) {
        self.account.delivered += 1;
        if *message.room != *self.name {
            self.account.foreign += 1;
            return;
        }
        match &self.track {
            Some(track) if track.epoch == message.epoch => {}
            // Before the answer to the join: it stands right before this one.
            None => {
                let before = if self.is_early && self.is_inbox { 0 } else { message.seq.saturating_sub(1) };
                self.track = Some(Track::new(message.epoch, before));
            }
            Some(_) => self.begin_anew(run, message.epoch, message.seq.saturating_sub(1)),
        }
        let seen = self.track.as_mut().map(|track| track.take(message.seq));
        self.name_fault(run, seen, message.epoch, message.seq);
        let Some(tag) = Tag::find(message.body).filter(|tag| tag.run == run.id) else {
            self.account.foreign += 1;
            return;
        };
        held(&self.ledger).delivered(message.epoch, message.seq, tag.mark());
        self.account.repeated += u64::from(seen == Some(Seen::Repeated));
        if !matches!(seen, Some(Seen::Again | Seen::Repeated)) {
            self.measure(run, tag.due_us, now_us);
        }
        self.look_for_recovery(run, now_us);
    }

    fn measure(&mut self, run: &Run, due_us: u64, now_us: u64) {
        let late_us = u64::from(run.profile.late_ms) * 1_000;
        let since_us = due_us.max(self.online_us);
        if now_us.saturating_sub(since_us) > late_us {
            self.account.late += 1;
        }
        // What was missed is part of the recovery.
        if due_us >= self.online_us {
            run.record(self.client, Measure::Delivery, now_us.saturating_sub(due_us));
        }
    }

    fn name_fault(&self, run: &Run, seen: Option<Seen>, of: u64, number: u64) {
        let what = match seen {
            Some(Seen::Ahead { first_missing }) => format!("came before {first_missing}"),
            Some(Seen::Behind) => "came behind later ones".to_owned(),
            Some(Seen::Again) => "came again".to_owned(),
            _ => return,
        };
        let (client, name) = (self.client, &self.name);
        run.example(|| format!("user {client}, {name}: {of}:{number} {what}"));
    }

    /// The end of the client's time in the room, at which it should have had everything up to there.
    pub(super) fn finish(&mut self, run: &Run) {
        if self.track.is_none() && self.is_early && self.is_inbox {
            // Nothing came to it at all.
            let (epoch, _) = held(&self.ledger).head();
            self.track = Some(Track::new(epoch, 0));
        }
        if let Some(track) = self.track.take() {
            let last = held(&self.ledger).acknowledged_to(track.epoch);
            self.close(run, &track, last);
        }
        if !run.dialect.has_positions() && self.online_us > 0 {
            let verdict = std::mem::take(&mut self.senders).verdict(&self.owed(run), self.is_early);
            self.count(run, &verdict, 0);
        }
    }

    fn close(&mut self, run: &Run, track: &Track, last: u64) {
        self.count(run, &track.verdict(last), track.epoch);
    }

    fn count(&mut self, run: &Run, verdict: &Verdict, epoch: u64) {
        self.account.lost += verdict.lost;
        self.account.doubled += verdict.doubled;
        self.account.disordered += verdict.disordered;
        if let Some(first) = verdict.first_lost {
            let (client, name, lost) = (self.client, &self.name, verdict.lost);
            run.example(|| format!("user {client}, {name}: {lost} lost, the first is {epoch}:{first}"));
        }
    }
}
