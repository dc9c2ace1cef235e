//! What `lua/fence.lua` and `lua/messages.lua` do to a lane, in the same order and with the same numbers. That it is the
//! same is not believed: `against_redis` compares the two, call by call.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use crate::LanePosition;
use crate::redis::follow::Place;
use crate::redis::frame::Header;

/// As long as the fence remembers epochs.
const EPOCHS_MAX: usize = 256;

/// A message as it stands in a room's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) header: Header,
    pub(super) payload: String,
}

#[derive(Debug, Clone, Copy)]
struct Head {
    seq: u64,
    pos: u64,
    epoch: u64,
}

/// What an id was answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) epoch: u64,
    pub(super) seq: u64,
    pub(super) ts: u64,
}

/// Answers, each with the name of the attempt that was given it first.
type Ids = HashMap<String, (Answer, String)>;

/// One lane.
#[derive(Debug, Clone, Default)]
pub(super) struct Store {
    run: Option<u64>,
    epoch: u64,
    epochs: Vec<(u64, u64)>,
    pos: u64,
    ts: u64,
    fseq: u64,
    fpos: u64,
    heads: BTreeMap<String, Head>,
    logs: BTreeMap<String, VecDeque<Arc<Entry>>>,
    /// In turn, each for half a window.
    ids: [(u64, Ids); 3],
}

/// How the functions are configured, and what is wrong with them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) window_ms: u64,
    pub(super) messages_max: usize,
    /// Planted: a new process goes on in the epoch of the one before.
    pub(super) no_fence: bool,
    /// Planted: the message is appended before it is looked for.
    pub(super) append_first: bool,
}

/// A process and a moment of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) run: u64,
    pub(super) ms: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Publish {
    pub(super) room: String,
    pub(super) id: String,
    /// Names this attempt: its own answer is no duplicate's.
    pub(super) attempt: String,
    /// Must have gone before, unless it is empty.
    pub(super) before: String,
    pub(super) payload: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Published {
    New(Answer, Arc<Entry>),
    Seen(Answer),
    /// By this very attempt.
    Done(Answer),
    Missing,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Audit {
    pub(super) lane: LanePosition,
    pub(super) fseq: u64,
    pub(super) fpos: u64,
    pub(super) epochs: Vec<(u64, u64)>,
    pub(super) differing: Vec<(usize, Option<Place>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadRange {
    After { seq: u64, epoch: u64 },
    Lane { pos: u64, epoch: u64 },
    Seq(u64),
    Before(u64),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct ReadAnswer {
    pub(super) lane: LanePosition,
    pub(super) fseq: u64,
    pub(super) fpos: u64,
    pub(super) head: Option<Place>,
    pub(super) kept: usize,
    pub(super) oldest: Option<Header>,
    /// The last position of the asker's epoch that was kept.
    pub(super) last: Option<u64>,
    pub(super) first_behind: u64,
    pub(super) more: bool,
    pub(super) entries: Vec<Arc<Entry>>,
}

impl Store {
    pub(super) fn fence(&mut self, now: Now, rules: &Rules) {
        if self.run == Some(now.run) || (rules.no_fence && self.run.is_some()) {
            return;
        }
        self.epoch = (self.epoch + 1).max(now.ms);
        self.epochs.push((self.epoch, self.pos + 1));
        if self.epochs.len() > EPOCHS_MAX {
            self.epochs.remove(0);
        }
        self.run = Some(now.run);
    }

    fn seen(&self, half: u64, id: &str) -> Option<&(Answer, String)> {
        (0..=2).filter_map(|back| half.checked_sub(back)).find_map(|half| {
            let (of, ids) = &self.ids[(half % 3) as usize];
            (*of == half).then(|| ids.get(id))?
        })
    }

    fn remember(&mut self, half: u64, id: &str, answer: Answer, attempt: &str) {
        let (of, ids) = &mut self.ids[(half % 3) as usize];
        if *of != half {
            ids.clear();
            *of = half;
        }
        ids.insert(id.to_owned(), (answer, attempt.to_owned()));
    }

    pub(super) fn publish(&mut self, now: Now, rules: &Rules, publish: &Publish) -> Published {
        self.fence(now, rules);
        let half = now.ms / (rules.window_ms / 2);
        if !rules.append_first {
            if let Some((answer, attempt)) = self.seen(half, &publish.id) {
                let is_own = *attempt == publish.attempt;
                return if is_own { Published::Done(*answer) } else { Published::Seen(*answer) };
            }
            if !publish.before.is_empty() && self.seen(half, &publish.before).is_none() {
                return Published::Missing;
            }
        }
        let head = self.heads.get(&publish.room);
        let (seq, prev) = head.map_or((self.fseq + 1, self.fpos), |head| (head.seq + 1, head.pos));
        let pos = self.pos + 1;
        let ts = now.ms.max(self.ts);
        let at = LanePosition { epoch: self.epoch, pos };
        let header = Header { at, seq, prev, ts, first: head.is_none() };
        let entry = Arc::new(Entry { header, payload: publish.payload.clone() });
        let log = self.logs.entry(publish.room.clone()).or_default();
        log.push_back(Arc::clone(&entry));
        if log.len() > rules.messages_max + rules.messages_max / 8 {
            log.drain(..log.len() - rules.messages_max);
        }
        (self.pos, self.ts) = (pos, ts);
        self.heads.insert(publish.room.clone(), Head { seq, pos, epoch: self.epoch });
        let answer = Answer { epoch: self.epoch, seq, ts };
        if rules.append_first
            && let Some((first, _)) = self.seen(half, &publish.id)
        {
            return Published::Seen(*first);
        }
        self.remember(half, &publish.id, answer, &publish.attempt);
        Published::New(answer, entry)
    }

    pub(super) fn audit(
        &mut self,
        now: Now,
        rules: &Rules,
        rooms: &[(String, Option<Place>)],
        quiet: Option<LanePosition>,
    ) -> Audit {
        self.fence(now, rules);
        let known = quiet.unwrap_or(LanePosition { epoch: u64::MAX, pos: u64::MAX });
        let epochs = if known.epoch == self.epoch { Vec::new() } else { self.epochs.clone() };
        let lane = self.lane();
        let mut audit = Audit { lane, fseq: self.fseq, fpos: self.fpos, epochs, differing: Vec::new() };
        if known != lane {
            let differing = rooms.iter().enumerate().filter_map(|(index, (room, known))| {
                let place = self.place(room);
                (place != *known).then_some((index, place))
            });
            audit.differing = differing.collect();
        }
        audit
    }

    pub(super) fn read(
        &mut self,
        now: Now,
        rules: &Rules,
        room: &str,
        range: ReadRange,
        messages_max: usize,
    ) -> ReadAnswer {
        self.fence(now, rules);
        let last = match range {
            ReadRange::After { epoch, .. } | ReadRange::Lane { epoch, .. } => self.last_of(epoch),
            ReadRange::Seq(_) | ReadRange::Before(_) => None,
        };
        let mut answer = ReadAnswer {
            lane: self.lane(),
            fseq: self.fseq,
            fpos: self.fpos,
            head: self.place(room),
            kept: 0,
            oldest: None,
            last,
            first_behind: 0,
            more: false,
            entries: Vec::new(),
        };
        let (Some(head), Some(log)) = (answer.head, self.logs.get(room)) else { return answer };
        answer.kept = log.len();
        answer.oldest = log.front().map(|entry| entry.header);
        let lost_seq = head.seq - log.len() as u64;
        let forward = |from: usize| {
            let entries: Vec<_> = log.iter().skip(from).take(messages_max).cloned().collect();
            (log.len() > from + entries.len(), entries)
        };
        let behind_seq = |seq: u64| seq.saturating_sub(lost_seq).min(log.len() as u64) as usize;
        (answer.more, answer.entries) = match range {
            ReadRange::Before(number) => {
                let until = behind_seq(number.max(1) - 1);
                let from = until.saturating_sub(messages_max);
                (from > 0 && from < until, log.range(from..until).cloned().collect())
            }
            ReadRange::Seq(seq) => forward(behind_seq(seq)),
            ReadRange::Lane { pos, .. } => {
                let after = last.map_or(0, |last| pos.min(last));
                forward(log.partition_point(|entry| entry.header.at.pos <= after))
            }
            ReadRange::After { seq, .. } => match last {
                None => forward(0),
                Some(last) => {
                    let behind = log.partition_point(|entry| entry.header.at.pos <= last);
                    answer.first_behind = log.get(behind).map_or(0, |entry| entry.header.seq);
                    let is_lost = answer.first_behind > 0 && answer.first_behind <= seq;
                    forward(if is_lost { behind } else { behind_seq(seq) })
                }
            },
        };
        answer
    }

    pub(super) fn lane(&self) -> LanePosition {
        LanePosition { epoch: self.epoch, pos: self.pos }
    }

    pub(super) fn place(&self, room: &str) -> Option<Place> {
        let head = self.heads.get(room)?;
        Some(Place { at: LanePosition { epoch: head.epoch, pos: head.pos }, seq: head.seq })
    }

    fn last_of(&self, epoch: u64) -> Option<u64> {
        if epoch == self.epoch {
            return Some(self.pos);
        }
        let at = self.epochs.iter().position(|(known, _)| *known == epoch)?;
        self.epochs.get(at + 1).map(|(_, first)| first - 1)
    }

    pub(super) fn rooms(&self) -> impl Iterator<Item = (&String, u64, &VecDeque<Arc<Entry>>)> {
        self.logs.iter().map(|(room, log)| (room, self.heads[room].seq, log))
    }
}
