//! A history put in order for the laws: what was sent, what stands in the log, what each subscriber was given of each room,
//! who was there when and who was shown to be.

mod presence;
mod stream;

use std::collections::{BTreeMap, HashMap};

pub(crate) use self::presence::{Shown, There, View};
pub(crate) use self::stream::{Given, Step, Stream};
use crate::{Event, Level, What};

/// Names a message: room, sender and id.
pub(crate) type Name<'a> = (&'a str, &'a str, &'a str);

pub(crate) struct Sent<'a> {
    pub(crate) who: &'a str,
    pub(crate) body: &'a str,
    /// Of each attempt.
    pub(crate) at_us: Vec<u64>,
    pub(crate) acks: Vec<Acked>,
    /// When it was refused, and whether it could be tried again.
    pub(crate) refused: Vec<(u64, bool)>,
}

#[derive(Clone, Copy)]
pub(crate) struct Acked {
    pub(crate) at_us: u64,
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    pub(crate) level: Level,
}

#[derive(Default)]
pub(crate) struct Log<'a> {
    pub(crate) at_us: u64,
    pub(crate) start: u64,
    pub(crate) entries: Vec<Given<'a>>,
    /// Which entry stands where; of several at one place the first.
    places: HashMap<(u64, u64), usize>,
}

impl<'a> Log<'a> {
    pub(crate) fn entry(&self, epoch: u64, seq: u64) -> Option<&Given<'a>> {
        self.places.get(&(epoch, seq)).map(|index| &self.entries[*index])
    }

    fn push(&mut self, entry: Given<'a>) {
        self.places.entry((entry.epoch, entry.seq)).or_insert(self.entries.len());
        self.entries.push(entry);
    }

    /// The number of the latest message.
    pub(crate) fn head(&self) -> u64 {
        self.entries.last().map_or(self.start.saturating_sub(1), |entry| entry.seq)
    }
}

pub(crate) struct Index<'a> {
    pub(crate) events: &'a [&'a Event],
    pub(crate) sent: BTreeMap<Name<'a>, Sent<'a>>,
    pub(crate) logs: BTreeMap<&'a str, Log<'a>>,
    pub(crate) streams: Vec<Stream<'a>>,
    pub(crate) there: BTreeMap<(&'a str, &'a str), There>,
    pub(crate) views: Vec<View<'a>>,
    /// Of each client.
    pub(crate) users: HashMap<&'a str, (&'a str, &'a str)>,
    /// When the recording ended at rest.
    pub(crate) end_us: Option<u64>,
}

impl<'a> Index<'a> {
    pub(crate) fn new(events: &'a [&'a Event]) -> Self {
        let mut index = Self {
            events,
            sent: BTreeMap::new(),
            logs: BTreeMap::new(),
            streams: stream::streams(events),
            there: BTreeMap::new(),
            views: Vec::new(),
            users: HashMap::new(),
            end_us: None,
        };
        for event in events {
            index.take(event);
        }
        (index.there, index.views) = presence::presence(events, &index.users);
        index
    }

    fn take(&mut self, event: &'a Event) {
        let at_us = event.at_us;
        match &event.what {
            What::Send { room, id, from, body } => {
                let new = || Sent {
                    who: &event.who,
                    body,
                    at_us: Vec::new(),
                    acks: Vec::new(),
                    refused: Vec::new(),
                };
                self.sent.entry((room, from, id)).or_insert_with(new).at_us.push(at_us);
            }
            What::Ack { room, id, from, epoch, seq, level } => {
                if let Some(sent) = self.sent.get_mut(&(room.as_str(), from.as_str(), id.as_str())) {
                    sent.acks.push(Acked { at_us, epoch: *epoch, seq: *seq, level: *level });
                }
            }
            What::Refused { room, id, from, retryable } => {
                if let Some(sent) = self.sent.get_mut(&(room.as_str(), from.as_str(), id.as_str())) {
                    sent.refused.push((at_us, *retryable));
                }
            }
            What::LogStart { room, seq } => {
                let log = self.logs.entry(room).or_default();
                (log.at_us, log.start) = (at_us, *seq);
            }
            What::Logged { room, epoch, seq, id, from, body } => {
                let given = Given { at_us, epoch: *epoch, seq: *seq, id, from, body };
                self.logs.entry(room).or_default().push(given);
            }
            What::Connect { user, device } => {
                self.users.insert(&event.who, (user, device));
            }
            What::End => self.end_us = Some(at_us),
            _ => {}
        }
    }

    /// From a fault's beginning to its end, or that of the history.
    pub(crate) fn faults(&self, name: &str) -> Vec<(u64, u64)> {
        let mut spans = Vec::new();
        let mut since = None;
        for event in self.events {
            match &event.what {
                What::Fault { name: fault } if fault == name => since = Some(event.at_us),
                What::Healed { name: fault } if fault == name => {
                    spans.extend(since.take().map(|since| (since, event.at_us)));
                }
                _ => {}
            }
        }
        let last = self.events.last().map_or(0, |event| event.at_us);
        spans.extend(since.map(|since| (since, last)));
        spans
    }

    /// From the first attempt to each delivery: when it was sent, and how long it took.
    pub(crate) fn latencies(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.streams.iter().flat_map(move |stream| {
            stream.messages().filter_map(move |given| {
                let sent = self.sent.get(&(stream.room, given.from, given.id))?;
                let first = *sent.at_us.first()?;
                Some((first, given.at_us.saturating_sub(first)))
            })
        })
    }
}

/// The value below which 99 of a hundred are. None of too few to say.
pub(crate) fn p99(mut values: Vec<u64>) -> Option<u64> {
    const LEAST: usize = 100;
    if values.len() < LEAST {
        return None;
    }
    values.sort_unstable();
    Some(values[values.len() * 99 / 100])
}
