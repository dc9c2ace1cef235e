//! Readings of a log against the plainest model there is: everything that was ever published, with a flag whether it was
//! kept by its lane, and whether it is still there.

use proptest::prelude::*;
use turnpike_wire::{Position, RoomId, UserId};

use super::*;
use crate::embedded::epochs::Epochs;
use crate::{HistoryLimits, LanePosition};

/// One thing that happens to a lane.
#[derive(Debug, Clone)]
enum Step {
    Publish {
        room: usize,
    },
    /// What the last so many steps did is lost, and a new epoch begins.
    Crash {
        steps: usize,
    },
    Sweep {
        later_ms: u64,
    },
    Open {
        room: usize,
    },
    Close {
        room: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..3usize).prop_map(|room| Step::Publish { room }),
        1 => (0..5usize).prop_map(|steps| Step::Crash { steps }),
        1 => (0..60u64).prop_map(|later_ms| Step::Sweep { later_ms }),
        1 => (0..3usize).prop_map(|room| Step::Open { room }),
        1 => (0..3usize).prop_map(|room| Step::Close { room }),
    ]
}

struct Ever {
    message: Arc<Message>,
    /// How many messages had ever been when a crash took this one.
    lost_before: Option<usize>,
}

struct Model {
    log: Log,
    /// As it was after each step.
    before: Vec<Log>,
    ever: Vec<Ever>,
    epoch: u64,
    now_ms: u64,
}

impl Model {
    fn new() -> Self {
        let limits = HistoryLimits { room_messages_max: 4, age_ms_max: 100, ..HistoryLimits::default() };
        Self::with(limits)
    }

    fn with(limits: HistoryLimits) -> Self {
        let log = Log::new(Arc::new(limits), 10);
        Self { log, before: Vec::new(), ever: Vec::new(), epoch: 10, now_ms: 1_000 }
    }

    fn room(index: usize) -> RoomId {
        RoomId::parse(&format!("r{index}")).unwrap()
    }

    fn play(&mut self, step: &Step) {
        match *step {
            Step::Publish { room } => {
                let room = Self::room(room);
                let at = LanePosition { epoch: self.log.epochs.present(), pos: self.log.head() + 1 };
                let message = Arc::new(Message {
                    seq: self.log.seq(&room) + 1,
                    room,
                    at,
                    from: UserId::parse("alice").unwrap(),
                    ts: self.now_ms,
                    data: "{}".into(),
                    attachments: Vec::new(),
                });
                self.log.append(Arc::clone(&message), self.now_ms, 0);
                self.ever.push(Ever { message, lost_before: None });
            }
            Step::Crash { steps } => {
                if let Some(before) = self.before.iter().rev().nth(steps) {
                    self.log = before.clone();
                }
                let ever = self.ever.len();
                let head = self.log.head();
                for lost in self
                    .ever
                    .iter_mut()
                    .filter(|ever| ever.lost_before.is_none() && ever.message.at.pos > head)
                {
                    lost.lost_before = Some(ever);
                }
                self.epoch += 10;
                self.log.epochs = Epochs::begin(self.log.epochs.all().to_vec(), self.epoch, head);
                // What was before that is no longer to be had.
                self.before.clear();
            }
            Step::Sweep { later_ms } => {
                self.now_ms += later_ms;
                self.log.sweep(self.now_ms);
            }
            Step::Open { room } => {
                self.log.open(&Self::room(room));
            }
            Step::Close { room } => self.log.close(&Self::room(room)),
        }
        self.before.push(self.log.clone());
    }

    /// What is in the log of the room, or was until it was too much.
    fn held(&self, room: &RoomId) -> Vec<&Arc<Message>> {
        let held = self.ever.iter().filter(|ever| ever.lost_before.is_none() && ever.message.room == *room);
        held.map(|ever| &ever.message).collect()
    }

    /// Whether somebody has the message `index` who was given everything up to the message `turn`.
    fn was_given(&self, index: usize, turn: usize) -> bool {
        index <= turn && self.ever[index].lost_before.is_none_or(|lost_before| lost_before > turn)
    }

    /// What must be true of a page for whoever was given everything up to the message `turn`.
    fn check(&self, room: &RoomId, page: &Page, turn: usize) -> Result<(), TestCaseError> {
        let has = |index: &usize| self.was_given(*index, turn) && self.ever[*index].message.room == *room;
        let has: Vec<usize> = (0..self.ever.len()).filter(has).collect();
        let has_lost = has.iter().any(|index| self.ever[*index].lost_before.is_some());
        let has = |message: &Message| has.iter().any(|index| *self.ever[*index].message == *message);
        let held = self.held(room);
        let misses: Vec<u64> =
            held.iter().filter(|message| !has(message)).map(|message| message.seq).collect();
        let seqs: Vec<u64> = page.messages.iter().map(|message| message.seq).collect();
        prop_assert!(seqs.windows(2).all(|pair| pair[0] + 1 == pair[1]), "a hole: {:?}", seqs);
        match page.continuity {
            Continuity::Whole => {
                prop_assert!(!has_lost, "what the reader has was lost");
                prop_assert_eq!(seqs, misses);
            }
            Continuity::Truncated => prop_assert_eq!(seqs, misses),
            Continuity::Gone => {
                let kept = &held[held.len() - self.log.find(room).map_or(0, Room::kept)..];
                prop_assert_eq!(seqs, kept.iter().map(|message| message.seq).collect::<Vec<_>>());
            }
        }
        Ok(())
    }
}

fn read(room: &RoomId, range: Range) -> Read {
    Read { room: room.clone(), range, messages_max: 1_000, bytes_max: usize::MAX }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whoever says truly what they have is told truly what they miss, after any number of crashes that lost a tail.
    #[test]
    fn nothing_is_missed_in_silence(steps in proptest::collection::vec(step(), 1..60)) {
        let mut model = Model::new();
        for step in &steps {
            model.play(step);
        }
        for index in 0..3 {
            let room = Model::room(index);
            // A reader who was given everything up to one message, in the lane or in the room.
            for (turn, Ever { message, lost_before }) in model.ever.iter().enumerate() {
                let page = model.log.read(&read(&room, Range::AfterLane(message.at)));
                model.check(&room, &page, turn)?;
                if message.room == room {
                    let position = Position { epoch: message.at.epoch, seq: message.seq };
                    let page = model.log.read(&read(&room, Range::After(position)));
                    model.check(&room, &page, turn)?;
                    // Of rooms that were forgotten only the utmost is known.
                    let reached = |room: &Room| {
                        let lost_seq = room.seq() - room.kept() as u64;
                        message.seq > lost_seq || (message.seq == lost_seq && room.lost_own())
                    };
                    if lost_before.is_none() && model.log.find(&room).is_some_and(reached) {
                        prop_assert_eq!(page.continuity, Continuity::Whole, "nothing was lost for this one");
                    }
                }
            }
            let held: Vec<u64> = model.held(&room).iter().map(|message| message.seq).collect();
            let kept = model.log.find(&room).map_or(0, Room::kept);
            let page = model.log.read(&read(&room, Range::Latest));
            let latest: Vec<u64> = page.messages.iter().map(|message| message.seq).collect();
            prop_assert_eq!(&latest, &held[held.len() - kept..]);
            prop_assert_eq!(page.standing.lane.pos, model.log.head());
        }
    }

    /// Page by page, forwards and backwards, a reader sees what one large page shows.
    #[test]
    fn pages_fit_together(count in 0..12usize, messages_max in 0..5usize, bytes_max in 0..1_000usize) {
        let mut model = Model::with(HistoryLimits::default());
        for _ in 0..count {
            model.play(&Step::Publish { room: 0 });
        }
        let room = Model::room(0);
        let page = |range| model.log.read(&Read { room: room.clone(), range, messages_max, bytes_max });
        let mut forwards = Vec::new();
        loop {
            let page = page(Range::AfterSeq(forwards.last().copied().unwrap_or(0)));
            prop_assert_eq!(page.continuity, Continuity::Whole);
            prop_assert!(page.messages.len() <= messages_max.max(1));
            forwards.extend(page.messages.iter().map(|message| message.seq));
            if !page.more { break }
            prop_assert!(!page.messages.is_empty());
        }
        prop_assert_eq!(&forwards, &(1..=count as u64).collect::<Vec<_>>());
        let mut backwards = Vec::new();
        let mut latest = page(Range::Latest);
        loop {
            backwards.splice(0..0, latest.messages.iter().map(|message| message.seq));
            if !latest.more { break }
            latest = page(Range::Before(backwards[0]));
            prop_assert_eq!(latest.continuity, Continuity::Whole);
        }
        prop_assert_eq!(backwards, forwards);
    }
}

#[test]
fn what_lies_before_is_gone_or_never_was() {
    let mut model = Model::new();
    for _ in 0..6 {
        model.play(&Step::Publish { room: 0 });
    }
    let room = Model::room(0);
    let before = |seq| {
        let page = model.log.read(&read(&room, Range::Before(seq)));
        (page.continuity, page.messages.len())
    };
    assert_eq!(before(7), (Continuity::Whole, 4));
    assert_eq!(before(100), (Continuity::Whole, 4), "that is the latest");
    assert_eq!(before(4), (Continuity::Whole, 1));
    assert_eq!(before(3), (Continuity::Gone, 0));
    assert_eq!(before(1), (Continuity::Whole, 0));
    assert_eq!(before(0), (Continuity::Whole, 0));
}
