//! A system that keeps all laws, as small as can be: what it would have its clients see.

use std::collections::BTreeSet;

use proptest::prelude::*;
use turnpike_history::{Event, Level};

use crate::story::{Story, body, message};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Send,
    /// It is published twice under its id.
    SendTwice,
    Cut(usize),
    Return(usize),
    /// A message that a failover takes back.
    RolledBack,
    Mark,
    /// Somebody types, is seen to, and stops.
    Type(usize),
    /// Somebody leaves and comes back.
    LeaveAndJoin(usize),
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Send),
        1 => Just(Step::SendTwice),
        2 => (0usize..3).prop_map(Step::Cut),
        3 => (0usize..3).prop_map(Step::Return),
        1 => Just(Step::RolledBack),
        1 => Just(Step::Mark),
        1 => (0usize..3).prop_map(Step::Type),
        1 => (1usize..3).prop_map(Step::LeaveAndJoin),
    ];
    prop::collection::vec(step, 5..40)
}

const WHO: [&str; 3] = ["alice", "bob", "carol"];

struct Model {
    story: Story,
    epoch: u64,
    /// Epoch and id of each message that is kept.
    log: Vec<(u64, String)>,
    /// How many of them each has, while away.
    away: [Option<usize>; 3],
    sent: u64,
    received: u64,
}

/// What happened, as all wrote it down.
pub(crate) fn history(steps: &[Step]) -> Vec<Event> {
    let mut model =
        Model { story: Story::new(), epoch: 1, log: Vec::new(), away: [None; 3], sent: 0, received: 0 };
    // So that there is something to break.
    for step in [Step::Send, Step::Send, Step::Mark, Step::Type(0)].iter().chain(steps) {
        model.step(*step);
    }
    model.finish()
}

impl Model {
    fn here(&self) -> Vec<&'static str> {
        WHO.iter().zip(&self.away).filter(|(_, away)| away.is_none()).map(|(who, _)| *who).collect()
    }

    fn step(&mut self, step: Step) {
        // Long enough that one thing does not explain another.
        self.story.wait_ms(10);
        match step {
            Step::Send | Step::SendTwice => {
                let id = self.new_id();
                self.story.send("alice", &id);
                if matches!(step, Step::SendTwice) {
                    self.story.send("alice", &id);
                }
                self.log.push((self.epoch, id.clone()));
                let seq = self.log.len() as u64;
                self.story.ack_in("alice", &id, self.epoch, seq, Level::Replicated);
                self.give_to_all(&id, seq);
            }
            Step::RolledBack => {
                let id = self.new_id();
                let seq = self.log.len() as u64 + 1;
                self.story.send("alice", &id).ack_in("alice", &id, self.epoch, seq, Level::Stored);
                self.give_to_all(&id, seq);
                self.epoch += 1;
                for who in self.here() {
                    self.story.resync(who, self.epoch, self.log.len() as u64);
                }
            }
            Step::Cut(who) if self.away[who].is_none() => {
                self.away[who] = Some(self.log.len());
                self.story.drop_line(WHO[who]);
            }
            Step::Return(who) => self.come_back(who),
            Step::Mark => {
                self.received = (self.received + 1).min(self.log.len() as u64);
                for who in self.here() {
                    self.story.receipt(who, self.received, self.received / 2);
                }
            }
            // What takes long comes when nobody is away: they would be seen to go.
            Step::Type(who) if self.away.iter().all(Option::is_none) => {
                let others: Vec<_> = self.here().into_iter().filter(|other| *other != WHO[who]).collect();
                self.story.types(WHO[who]);
                for other in &others {
                    self.story.typing(other, &[WHO[who]]);
                }
                self.story.wait_ms(2_000);
                for other in &others {
                    self.story.typing(other, &[]);
                }
            }
            Step::LeaveAndJoin(who) if self.away.iter().all(Option::is_none) => {
                let others: Vec<_> = WHO.into_iter().filter(|other| *other != WHO[who]).collect();
                self.story
                    .tell(WHO[who], turnpike_history::What::Leave { room: crate::story::ROOM.to_owned() });
                for other in &others {
                    self.story.presence(other, &[], &[WHO[who]]);
                }
                self.story.wait_ms(12_000).join(WHO[who], self.log.len() as u64).members(WHO[who], &WHO);
                for other in &others {
                    self.story.presence(other, &[WHO[who]], &[]);
                }
            }
            _ => {}
        }
    }

    fn new_id(&mut self) -> String {
        self.sent += 1;
        format!("m{}", self.sent)
    }

    fn give_to_all(&mut self, id: &str, seq: u64) {
        for who in self.here() {
            self.story.tell(who, message(self.epoch, seq, id, "alice", &body(id)));
        }
    }

    fn come_back(&mut self, who: usize) {
        let Some(has) = self.away[who].take() else { return };
        self.story.recover(WHO[who]).members(WHO[who], &WHO);
        for (index, (epoch, id)) in self.log.clone().iter().enumerate().skip(has) {
            self.story.tell(WHO[who], message(*epoch, index as u64 + 1, id, "alice", &body(id)));
        }
    }

    fn finish(mut self) -> Vec<Event> {
        (0..WHO.len()).for_each(|who| self.come_back(who));
        self.story.wait_ms(20_000).log_from(1);
        for (index, (epoch, id)) in self.log.iter().enumerate() {
            self.story.logged(*epoch, index as u64 + 1, id);
        }
        self.story.end();
        self.story.events
    }
}

/// Who is in the room.
pub(crate) fn everybody() -> BTreeSet<&'static str> {
    WHO.into_iter().collect()
}
