//! Between a room that lost something and its lane's new epoch: what its members bear, and where they are given nothing.

use std::sync::{Arc, Mutex};

use turnpike_cluster::{
    Cluster, Control, Deliver as _, Full, LANES, LanePosition, Message, Signal, Standing, embedded, lane_of,
};
use turnpike_wire::RoomId;

use super::at_once;
use crate::clock::Clock;
use crate::mirror::{Mirror, Outlet, Receiver, RingLimits};
use crate::offset;
use crate::past::{After, Wanted, catch_up};
use crate::references::References;

/// The offsets of what was sent.
#[derive(Default)]
struct Sent(Mutex<Vec<String>>);

impl Outlet for Sent {
    fn message(&self, _: &Message, offset: &str) -> Result<(), Full> {
        self.0.lock().unwrap().push(offset.to_owned());
        Ok(())
    }

    fn resync(&self, _: &RoomId, _: &Standing, offset: &str) {
        self.0.lock().unwrap().push(offset.to_owned());
    }

    fn delivered(&self, _: &Message) {}

    fn signal(&self, _: &RoomId, _: &Signal) {}

    fn control(&self, _: Control) {}
}

struct Node {
    cluster: Cluster,
    mirror: Arc<Mirror>,
    receiver: Receiver,
    sent: Arc<Sent>,
    room: RoomId,
}

impl Node {
    fn new() -> Self {
        let cluster = embedded::start(&embedded::Config::new("n1")).unwrap();
        let sent = Arc::new(Sent::default());
        let references = Arc::new(References::new(Arc::clone(&cluster.sessions)));
        let mirror = Mirror::new(RingLimits::default(), Clock::start(), Arc::clone(&sent) as _, references);
        at_once(cluster.broker.start(Arc::new(Receiver(Arc::clone(&mirror)))).wait()).unwrap();
        let room = RoomId::parse("chat:a").unwrap();
        mirror.lane_of(&room).enter(&room).unwrap();
        at_once(cluster.broker.open(&room).wait()).unwrap();
        Self { cluster, receiver: Receiver(Arc::clone(&mirror)), mirror, sent, room }
    }

    fn epoch(&self) -> u64 {
        self.mirror.reached().at(lane_of(&self.room)).epoch
    }

    fn catch_up(&self, heard: u64) -> bool {
        let mut all = [0; LANES];
        all[lane_of(&self.room).index()] = heard;
        let wanted = Wanted { room: self.room.clone(), after: After::Seq(0) };
        at_once(catch_up(&self.mirror, &*self.cluster.broker, &[wanted], &all)).is_ok()
    }

    fn last_heard(&self) -> u64 {
        let sent = self.sent.0.lock().unwrap();
        offset::read(sent.last().unwrap()).unwrap().heard[lane_of(&self.room).index()]
    }
}

#[test]
fn who_is_told_of_a_loss_bears_the_epoch_that_follows_until_the_lane_is_there() {
    let node = Node::new();
    let (lane, before) = (lane_of(&node.room), node.epoch());
    let at = LanePosition { epoch: before + 5, pos: 3 };
    let standing = Standing { epoch: before, seq: 1, pos: 2, lane: at };
    node.receiver.broken(&node.room, &standing);
    assert_eq!(node.last_heard(), before + 5);
    assert_eq!(node.epoch(), before, "its place is of the epoch before: not all may have been told");
    // A base that is written down meanwhile does not forget it.
    at_once(node.mirror.renew_reference().wait());
    node.receiver.broken(&node.room, &standing);
    assert_eq!(node.last_heard(), before + 5);

    at_once(node.receiver.lane(lane, at).wait());
    assert_eq!(node.epoch(), before + 5);
    node.receiver.broken(&node.room, &standing);
    assert_eq!(node.last_heard(), 0, "the base says it now");
}

#[test]
fn a_node_that_has_not_heard_of_it_gives_nothing() {
    let node = Node::new();
    assert!(node.catch_up(0));
    assert!(node.catch_up(node.epoch()));
    assert!(!node.catch_up(node.epoch() + 5));
}
