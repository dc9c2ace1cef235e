//! What one subscriber was given of one room, from when it was joined.

use std::collections::BTreeMap;

use crate::{Event, What};

/// A message as somebody has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given<'a> {
    pub(crate) at_us: u64,
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    pub(crate) id: &'a str,
    pub(crate) from: &'a str,
    pub(crate) body: &'a str,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Step<'a> {
    /// The next message is the one after this.
    Start {
        epoch: u64,
        seq: u64,
    },
    Message(Given<'a>),
    /// It was said that continuity is lost; the next message is the one after this.
    Resync {
        at_us: u64,
        epoch: u64,
        seq: u64,
    },
    Away,
    Back,
}

pub(crate) struct Stream<'a> {
    pub(crate) who: &'a str,
    pub(crate) room: &'a str,
    pub(crate) steps: Vec<Step<'a>>,
    /// Still connected and in the room when the history ends.
    pub(crate) live: bool,
}

impl<'a> Stream<'a> {
    pub(crate) fn messages(&self) -> impl DoubleEndedIterator<Item = Given<'a>> + '_ {
        self.steps.iter().filter_map(|step| match step {
            Step::Message(given) => Some(*given),
            _ => None,
        })
    }

    /// What was given since continuity was lost for the last time.
    pub(crate) fn since_last_resync(&self) -> impl Iterator<Item = Given<'a>> + '_ {
        let from = self.steps.iter().rposition(|step| matches!(step, Step::Resync { .. })).unwrap_or(0);
        self.steps[from..].iter().filter_map(|step| match step {
            Step::Message(given) => Some(*given),
            _ => None,
        })
    }

    /// How far the subscriber is.
    pub(crate) fn at(&self) -> u64 {
        let known = self.steps.iter().rev().find_map(|step| match step {
            Step::Message(given) => Some(given.seq),
            Step::Start { seq, .. } | Step::Resync { seq, .. } => Some(*seq),
            Step::Away | Step::Back => None,
        });
        known.unwrap_or(0)
    }
}

pub(super) fn streams<'a>(events: &'a [&'a Event]) -> Vec<Stream<'a>> {
    let mut done = Vec::new();
    let mut open: BTreeMap<(&str, &str), Stream<'_>> = BTreeMap::new();
    for event in events {
        let who = event.who.as_str();
        match &event.what {
            What::Join { room, epoch, seq, recovered } => {
                if *recovered && open.contains_key(&(who, room)) {
                    continue;
                }
                let start = Step::Start { epoch: *epoch, seq: *seq };
                let stream = Stream { who, room, steps: vec![start], live: true };
                done.extend(open.insert((who, room), stream).map(ended));
            }
            What::Leave { room } => done.extend(open.remove(&(who, room.as_str())).map(ended)),
            What::Message { room, epoch, seq, id, from, body } => {
                let given = Given { at_us: event.at_us, epoch: *epoch, seq: *seq, id, from, body };
                if let Some(stream) = open.get_mut(&(who, room.as_str())) {
                    stream.steps.push(Step::Message(given));
                }
            }
            What::Resync { room, epoch, seq } => {
                let resync = Step::Resync { at_us: event.at_us, epoch: *epoch, seq: *seq };
                if let Some(stream) = open.get_mut(&(who, room.as_str())) {
                    stream.steps.push(resync);
                }
            }
            What::Disconnect { .. } => {
                of(&mut open, who).for_each(|stream| {
                    stream.live = false;
                    stream.steps.push(Step::Away);
                });
            }
            What::Session { recovered: true } => {
                of(&mut open, who).for_each(|stream| {
                    stream.live = true;
                    stream.steps.push(Step::Back);
                });
            }
            // A fresh session is in no room.
            What::Session { recovered: false } => {
                let rooms: Vec<_> = open.keys().filter(|(of, _)| *of == who).copied().collect();
                done.extend(rooms.iter().filter_map(|key| open.remove(key)).map(ended));
            }
            _ => {}
        }
    }
    done.extend(open.into_values());
    done
}

fn ended(stream: Stream<'_>) -> Stream<'_> {
    Stream { live: false, ..stream }
}

fn of<'m, 'a>(
    open: &'m mut BTreeMap<(&'a str, &'a str), Stream<'a>>,
    who: &'m str,
) -> impl Iterator<Item = &'m mut Stream<'a>> {
    open.iter_mut().filter(move |((of, _), _)| *of == who).map(|(_, stream)| stream)
}
