//! A node as the broker sees it. It writes down everything that it is given, and knows what it must never be given.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use turnpike_cluster::{
    Control, Deliver, Full, Lane, LanePosition, Message, Signal, Soon, Standing, lane_of,
};
use turnpike_wire::RoomId;

/// Longer than anything here takes on a busy machine: past it, it is broken.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Given {
    Lane(Lane, LanePosition),
    Opened(RoomId, Standing),
    Message(Arc<Message>),
    Refused(Arc<Message>),
    Verified(RoomId, LanePosition),
    Broken(RoomId, Standing),
    Signal(RoomId, Signal),
    Control(Control),
    /// `Broker::close` came back.
    Closed(RoomId),
}

pub(crate) struct Recorder {
    given: Mutex<Vec<Given>>,
    count: watch::Sender<usize>,
    /// So many of the next messages find no room.
    refuse: AtomicUsize,
    /// Lanes get ready when this is false.
    lanes_held: watch::Sender<bool>,
}

impl Recorder {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            given: Mutex::default(),
            count: watch::channel(0).0,
            refuse: AtomicUsize::new(0),
            lanes_held: watch::channel(false).0,
        })
    }

    fn put(&self, given: Given) {
        let mut all = self.given.lock().unwrap();
        all.push(given);
        self.count.send_replace(all.len());
    }

    pub(crate) fn closed(&self, room: &RoomId) {
        self.put(Given::Closed(room.clone()));
    }

    /// The next so many messages find no room.
    pub(crate) fn refuse(&self, messages: usize) {
        self.refuse.store(messages, Ordering::SeqCst);
    }

    /// Whether announced lanes are to be waited for from now on.
    pub(crate) fn hold_lanes(&self, held: bool) {
        self.lanes_held.send_replace(held);
    }

    pub(crate) fn all(&self) -> Vec<Given> {
        self.given.lock().unwrap().clone()
    }

    pub(crate) fn messages(&self, room: &RoomId) -> Vec<Arc<Message>> {
        let of_room = |given: &Given| match given {
            Given::Message(message) if message.room == *room => Some(Arc::clone(message)),
            _ => None,
        };
        self.given.lock().unwrap().iter().filter_map(of_room).collect()
    }

    pub(crate) fn seqs(&self, room: &RoomId) -> Vec<u64> {
        self.messages(room).iter().map(|message| message.seq).collect()
    }

    /// The standings with which the room was opened.
    pub(crate) fn opened(&self, room: &RoomId) -> Vec<Standing> {
        let of_room = |given: &Given| match given {
            Given::Opened(opened, standing) if opened == room => Some(*standing),
            _ => None,
        };
        self.given.lock().unwrap().iter().filter_map(of_room).collect()
    }

    pub(crate) fn signals(&self, room: &RoomId) -> Vec<Signal> {
        let of_room = |given: &Given| match given {
            Given::Signal(to, signal) if to == room => Some(signal.clone()),
            _ => None,
        };
        self.given.lock().unwrap().iter().filter_map(of_room).collect()
    }

    pub(crate) fn controls(&self) -> Vec<Control> {
        let control = |given: &Given| match given {
            Given::Control(control) => Some(control.clone()),
            _ => None,
        };
        self.given.lock().unwrap().iter().filter_map(control).collect()
    }

    /// How far the room's lane has last been verified: what is said of one open room goes for all of the lane.
    pub(crate) fn verified(&self, room: &RoomId) -> Option<LanePosition> {
        let of_room = |given: &Given| match given {
            Given::Verified(verified, up_to) if lane_of(verified) == lane_of(room) => Some(*up_to),
            _ => None,
        };
        self.given.lock().unwrap().iter().rev().find_map(of_room)
    }

    /// Waits until what was given fits.
    pub(crate) async fn until(&self, what: &str, fits: impl Fn(&Self) -> bool) {
        let mut count = self.count.subscribe();
        let reached = tokio::time::timeout(LIMIT, async {
            loop {
                count.mark_unchanged();
                if fits(self) {
                    return;
                }
                count.changed().await.expect("the recorder is here");
            }
        });
        if reached.await.is_err() {
            let all = self.all();
            let from = all.len().saturating_sub(40);
            panic!("waited in vain for {what}; the last of {} were {:#?}", all.len(), &all[from..]);
        }
    }

    /// Everything that the contract of `Deliver` forbids.
    pub(crate) fn check(&self) {
        let mut seen = Seen::default();
        for (index, given) in self.all().into_iter().enumerate() {
            if let Err(fault) = seen.take(&given) {
                panic!("given {index}, {given:?}: {fault}");
            }
        }
    }
}

impl Deliver for Recorder {
    fn lane(&self, lane: Lane, from: LanePosition) -> Soon<()> {
        self.put(Given::Lane(lane, from));
        if !*self.lanes_held.borrow() {
            return Soon::Now(());
        }
        let mut held = self.lanes_held.subscribe();
        Soon::later(async move {
            let _ = held.wait_for(|held| !held).await;
        })
    }

    fn opened(&self, room: &RoomId, standing: &Standing) {
        self.put(Given::Opened(room.clone(), *standing));
    }

    fn message(&self, message: &Arc<Message>) -> Result<(), Full> {
        let refuse = self.refuse.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if refuse.is_ok() {
            self.put(Given::Refused(Arc::clone(message)));
            return Err(Full);
        }
        self.put(Given::Message(Arc::clone(message)));
        Ok(())
    }

    fn verified(&self, room: &RoomId, up_to: LanePosition) {
        self.put(Given::Verified(room.clone(), up_to));
    }

    fn broken(&self, room: &RoomId, standing: &Standing) {
        self.put(Given::Broken(room.clone(), *standing));
    }

    fn signal(&self, room: &RoomId, signal: &Signal) {
        self.put(Given::Signal(room.clone(), signal.clone()));
    }

    fn control(&self, control: Control) {
        self.put(Given::Control(control));
    }
}

#[derive(Default)]
struct Seen {
    lanes: HashMap<Lane, SeenLane>,
    rooms: HashMap<RoomId, SeenRoom>,
}

#[derive(Default)]
struct SeenLane {
    from: LanePosition,
    last: LanePosition,
    verified: LanePosition,
}

struct SeenRoom {
    seq: u64,
    at: LanePosition,
}

impl Seen {
    fn take(&mut self, given: &Given) -> Result<(), String> {
        let fail = |fault: &str| Err(fault.to_owned());
        match given {
            Given::Lane(lane, from) => {
                if let Some(earlier) = self.lanes.get(lane)
                    && earlier.from.epoch >= from.epoch
                {
                    return fail("a lane is announced once, and again only with a later epoch");
                }
                self.lanes.insert(*lane, SeenLane { from: *from, last: *from, ..SeenLane::default() });
            }
            Given::Opened(room, standing) => {
                let lane = self.lanes.get(&lane_of(room)).ok_or("opened before its lane was announced")?;
                if standing.lane.epoch < lane.from.epoch {
                    return fail("opened in an epoch that is over");
                }
                let at = LanePosition { epoch: standing.epoch, pos: standing.pos };
                let room_seen = SeenRoom { seq: standing.seq, at };
                if self.rooms.insert(room.clone(), room_seen).is_some() {
                    return fail("it is open already");
                }
            }
            Given::Message(message) => {
                let lane = self
                    .lanes
                    .get_mut(&lane_of(&message.room))
                    .ok_or("a message before its lane was announced")?;
                let Some(room) = self.rooms.get_mut(&message.room) else {
                    return fail("a message of a room that is not open");
                };
                if message.seq != room.seq + 1 {
                    return Err(format!("its number is not {}", room.seq + 1));
                }
                if message.at <= lane.last && message.at.epoch == lane.last.epoch {
                    return Err(format!("not behind {:?} in its lane", lane.last));
                }
                if message.at <= room.at {
                    return Err(format!("not behind {:?}, where its room stands", room.at));
                }
                if message.at <= lane.verified {
                    return Err(format!("the lane was verified up to {:?} before", lane.verified));
                }
                lane.last = message.at;
                room.seq = message.seq;
                room.at = message.at;
            }
            Given::Verified(room, up_to) => {
                if !self.rooms.contains_key(room) {
                    return fail("a room that is not open is verified");
                }
                let lane =
                    self.lanes.get_mut(&lane_of(room)).ok_or("verified before its lane was announced")?;
                if *up_to < lane.verified {
                    return fail("verified less than before");
                }
                lane.verified = *up_to;
            }
            Given::Broken(room, standing) => {
                let Some(room) = self.rooms.get_mut(room) else {
                    return fail("a room that is not open is broken");
                };
                room.seq = standing.seq;
                room.at = LanePosition { epoch: standing.epoch, pos: standing.pos };
            }
            Given::Closed(room) => {
                self.rooms.remove(room);
            }
            Given::Refused(_) | Given::Signal(..) | Given::Control(_) => {}
        }
        Ok(())
    }
}
