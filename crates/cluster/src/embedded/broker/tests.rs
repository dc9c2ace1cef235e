//! The contract of the broker, one promise a test.

use std::thread;

use turnpike_wire::{Position, UserId};

use super::*;
use crate::{Continuity, Control, Full, Range};

const EPOCH: u64 = 7;

/// What the node was told, in order.
#[derive(Default)]
struct Node {
    told: Mutex<Vec<Told>>,
    full: std::sync::atomic::AtomicBool,
}

#[derive(Debug, Clone, PartialEq)]
enum Told {
    Lane(usize, LanePosition),
    Opened(RoomId, Standing),
    Message(Arc<Message>),
    Verified(RoomId, LanePosition),
    Signal(RoomId, Signal),
}

impl Node {
    fn tell(&self, told: Told) {
        self.told.lock().unwrap().push(told);
    }

    fn take(&self) -> Vec<Told> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }
}

impl Deliver for Node {
    fn lane(&self, lane: Lane, from: LanePosition) -> Soon<()> {
        self.tell(Told::Lane(lane.index(), from));
        Soon::Now(())
    }

    fn opened(&self, room: &RoomId, standing: &Standing) {
        self.tell(Told::Opened(room.clone(), *standing));
    }

    fn message(&self, message: &Arc<Message>) -> Result<(), Full> {
        if self.full.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Full);
        }
        self.tell(Told::Message(Arc::clone(message)));
        Ok(())
    }

    fn verified(&self, room: &RoomId, up_to: LanePosition) {
        self.tell(Told::Verified(room.clone(), up_to));
    }

    fn broken(&self, room: &RoomId, _: &Standing) {
        panic!("nothing breaks in one process: {room}");
    }

    fn signal(&self, room: &RoomId, signal: &Signal) {
        self.tell(Told::Signal(room.clone(), signal.clone()));
    }

    fn control(&self, control: Control) {
        panic!("there is nobody else: {control:?}");
    }
}

fn limits() -> HistoryLimits {
    HistoryLimits::default()
}

fn broker(limits: &HistoryLimits) -> EmbeddedBroker {
    EmbeddedBroker::in_memory(EPOCH, limits, Clock::start(0))
}

fn with_node() -> (EmbeddedBroker, Arc<Node>) {
    let (broker, node) = (broker(&limits()), Arc::new(Node::default()));
    broker.start(Arc::clone(&node) as _).now().unwrap().unwrap();
    let told = node.take();
    assert_eq!(told.len(), LANES);
    assert!(told.contains(&Told::Lane(3, LanePosition { epoch: EPOCH, pos: 0 })));
    (broker, node)
}

fn room(name: &str) -> RoomId {
    RoomId::parse(name).unwrap()
}

fn at(ms: u64) -> Moment {
    Moment { unix_ms: ms, steady_ms: ms }
}

fn publication(room: &RoomId, id: Option<&str>) -> Publication {
    Publication {
        room: room.clone(),
        from: UserId::parse("alice").unwrap(),
        id: id.map(|id| MessageId::parse(id).unwrap()),
        age_ms: 0,
        body: r#"{"text":"hi"}"#.into(),
        attachments: Vec::new(),
    }
}

fn send(broker: &EmbeddedBroker, room: &RoomId, id: Option<&str>, now_ms: u64) -> Receipt {
    broker.publish_at(publication(room, id), at(now_ms)).unwrap()
}

fn page(broker: &EmbeddedBroker, room: &RoomId, range: Range) -> Page {
    let read = Read { room: room.clone(), range, messages_max: 1_000, bytes_max: usize::MAX };
    broker.read(&read).now().unwrap().unwrap()
}

fn seqs(page: &Page) -> Vec<u64> {
    page.messages.iter().map(|message| message.seq).collect()
}

fn latest(broker: &EmbeddedBroker, room: &RoomId) -> Vec<u64> {
    seqs(&page(broker, room, Range::Latest))
}

fn after(broker: &EmbeddedBroker, room: &RoomId, seq: u64) -> (Continuity, Vec<u64>) {
    let page = page(broker, room, Range::After(Position { epoch: EPOCH, seq }));
    (page.continuity, seqs(&page))
}

fn after_pos(broker: &EmbeddedBroker, room: &RoomId, pos: u64) -> (Continuity, Vec<u64>) {
    let page = page(broker, room, Range::AfterLane(LanePosition { epoch: EPOCH, pos }));
    (page.continuity, seqs(&page))
}

#[test]
fn a_room_counts_without_gaps_and_a_lane_counts_all_its_rooms() {
    let broker = broker(&limits());
    let (a, b) = (room("chat:a"), room("chat:b"));
    assert_eq!((send(&broker, &a, None, 1).seq, send(&broker, &a, None, 1).seq), (1, 2));
    assert_eq!(send(&broker, &b, None, 1).seq, 1);
    assert_eq!(Lane::all().map(|lane| broker.lane(lane).log.head()).sum::<u64>(), 3);
    let kept = page(&broker, &a, Range::Latest);
    assert_eq!(seqs(&kept), [1, 2]);
    let data = &kept.messages[1].data;
    assert!(data.starts_with(r#"{"room":"chat:a","epoch":7,"seq":2,"id":"7."#), "{data}");
    assert!(data.ends_with(r#","from":"alice","ts":1,"body":{"text":"hi"}}"#), "{data}");
    assert_eq!(kept.standing.seq, 2);
    assert_eq!(kept.standing.pos, kept.standing.lane.pos);
    assert_ne!(send(&broker, &a, None, 1).id, send(&broker, &b, None, 1).id);
}

#[test]
fn a_repeated_id_is_answered_with_the_first_result() {
    let broker = broker(&limits());
    let a = room("chat:a");
    let first = send(&broker, &a, Some("m1"), 1_000);
    send(&broker, &a, Some("m2"), 1_001);
    let again = send(&broker, &a, Some("m1"), 5_000);
    assert_eq!(again, Receipt { duplicate: true, ..first });
    assert_eq!(broker.head_of(&a), 2);
    assert!(!send(&broker, &room("chat:b"), Some("m1"), 5_000).duplicate, "another room");
    assert!(!send(&broker, &a, Some("m1"), 1_000 + limits().dedupe_ms).duplicate, "after the window");
}

#[test]
fn what_is_tried_again_too_late_is_refused() {
    let broker = broker(&limits());
    let a = room("chat:a");
    let late = |id, age_ms| Publication { age_ms, ..publication(&a, id) };
    let half = limits().dedupe_ms / 2;
    assert_eq!(broker.publish_at(late(Some("m1"), half + 1), at(1)), Err(PublishError::TooOld));
    assert!(broker.publish_at(late(Some("m1"), half), at(1)).is_ok());
    assert!(broker.publish_at(late(None, half + 1), at(1)).is_ok(), "that is a new message in any case");
}

#[test]
fn open_rooms_are_delivered_in_order() {
    let (broker, node) = with_node();
    let (a, b) = (room("chat:a"), room("chat:b"));
    send(&broker, &a, None, 1);
    assert_eq!(node.take(), [], "nobody is there");
    broker.open(&a).now().unwrap().unwrap();
    let standing = page(&broker, &a, Range::Latest).standing;
    assert_eq!((standing.seq, standing.epoch), (1, EPOCH));
    assert_eq!(node.take(), [Told::Opened(a.clone(), standing)]);
    broker.open(&a).now().unwrap().unwrap();
    assert_eq!(node.take(), [], "it is open already");
    send(&broker, &a, None, 1);
    send(&broker, &b, None, 1);
    let kept = page(&broker, &a, Range::Latest).messages;
    assert_eq!(node.take(), [Told::Message(Arc::clone(&kept[1]))]);
    broker.level(&a).now().unwrap().unwrap();
    let up_to = broker.lane(lane_of(&a)).log.position();
    assert_eq!(node.take(), [Told::Verified(a.clone(), up_to)]);
    broker.signal(&a, Signal::Marks(Vec::new()));
    assert_eq!(node.take(), [Told::Signal(a.clone(), Signal::Marks(Vec::new()))]);
    broker.close(&a);
    send(&broker, &a, None, 1);
    assert_eq!(node.take(), []);
}

#[test]
fn what_could_not_be_delivered_was_never_published() {
    let (broker, node) = with_node();
    let a = room("chat:a");
    broker.open(&a).now().unwrap().unwrap();
    node.full.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(broker.publish_at(publication(&a, Some("m1")), at(1)), Err(PublishError::Full));
    assert_eq!(broker.lane(lane_of(&a)).log.head(), 0);
    assert!(latest(&broker, &a).is_empty());
    node.full.store(false, std::sync::atomic::Ordering::Relaxed);
    let receipt = send(&broker, &a, Some("m1"), 2);
    assert_eq!(receipt.seq, 1);
    assert!(!receipt.duplicate);
}

#[test]
fn reading_from_a_position() {
    let broker = broker(&HistoryLimits { room_messages_max: 3, ..limits() });
    let a = room("chat:a");
    for _ in 0..5 {
        send(&broker, &a, None, 1);
    }
    assert_eq!(after(&broker, &a, 2), (Continuity::Whole, vec![3, 4, 5]));
    assert_eq!(after(&broker, &a, 4), (Continuity::Whole, vec![5]));
    assert_eq!(after(&broker, &a, 5), (Continuity::Whole, vec![]));
    assert_eq!(after(&broker, &a, 1), (Continuity::Gone, vec![3, 4, 5]), "2 is gone");
    assert_eq!(after(&broker, &a, 6), (Continuity::Truncated, vec![]), "6 was not kept");
    assert_eq!(latest(&broker, &a), [3, 4, 5]);
    let never = room("chat:never");
    assert!(latest(&broker, &never).is_empty());
    assert_eq!(after(&broker, &never, 0), (Continuity::Whole, vec![]));
    for epoch in [EPOCH - 1, EPOCH + 1] {
        let page = page(&broker, &a, Range::After(Position { epoch, seq: 5 }));
        assert_eq!(page.continuity, Continuity::Gone, "another process");
    }
}

#[test]
fn memory_is_bounded_in_every_way() {
    let small = HistoryLimits { room_bytes_max: 1_000, bytes_max: LANES * 5_000, ..limits() };
    let busy = broker(&small);
    for number in 0..20_000 {
        send(&busy, &room(&format!("chat:{}", number % 500)), None, number);
    }
    let levels = busy.levels();
    assert!(levels.bytes <= LANES * 5_000, "{levels:?}");
    assert!(levels.messages > 100, "{levels:?}");
    for lane in Lane::all() {
        let log = &busy.lane(lane).log;
        assert!(log.order_len() <= 2 * log.levels().messages + 65, "{} {:?}", log.order_len(), log.levels());
    }
    // One busy room: its own limit holds, and what reminds of dropped messages goes too.
    let single = broker(&HistoryLimits { room_messages_max: 10, ..limits() });
    for now in 0..5_000 {
        send(&single, &room("chat:busy"), None, now);
    }
    assert_eq!(single.levels().messages, 10);
    assert!(single.lane(lane_of(&room("chat:busy"))).log.order_len() < 100);
}

#[test]
fn old_messages_go_and_rooms_that_nobody_needs_with_them() {
    let broker = broker(&HistoryLimits { age_ms_max: 100, ..limits() });
    let (a, b) = (room("chat:a"), room("chat:b"));
    broker.open(&b).now().unwrap().unwrap();
    for now in [0, 50, 120] {
        send(&broker, &a, None, now);
        send(&broker, &b, None, now);
    }
    broker.sweep(140);
    assert_eq!(latest(&broker, &a), [2, 3]);
    broker.sweep(1_000);
    assert_eq!(broker.levels(), Levels { rooms: 1, messages: 0, bytes: 0, message_ids: 0 });
    assert_eq!(broker.head_of(&b), 3, "somebody is in b");
    broker.close(&b);
    assert_eq!(broker.levels().rooms, 0);
}

#[test]
fn a_forgotten_room_never_gives_out_a_position_twice() {
    let broker = broker(&HistoryLimits { age_ms_max: 100, ..limits() });
    let a = room("chat:a");
    for _ in 0..3 {
        send(&broker, &a, None, 0);
    }
    let pos = broker.lane(lane_of(&a)).log.head();
    broker.sweep(1_000);
    assert_eq!(broker.levels().rooms, 0);
    assert_eq!(after(&broker, &a, 2).0, Continuity::Gone);
    assert_eq!(after_pos(&broker, &a, pos - 1).0, Continuity::Gone);
    assert_eq!(after(&broker, &a, 3), (Continuity::Whole, vec![]));
    assert_eq!(after_pos(&broker, &a, pos), (Continuity::Whole, vec![]));
    assert_eq!(send(&broker, &a, None, 2_000).seq, 4);
    assert_eq!(after(&broker, &a, 2), (Continuity::Gone, vec![4]), "also after it came back");
    assert_eq!(after(&broker, &a, 3), (Continuity::Whole, vec![4]));
}

#[test]
fn rooms_are_listed_a_page_at_a_time() {
    let broker = broker(&limits());
    let mut names: Vec<RoomId> = (0..100).map(|number| room(&format!("chat:{number}"))).collect();
    for name in &names {
        send(&broker, name, None, 1);
    }
    let (mut listed, mut cursor) = (Vec::new(), String::new());
    loop {
        let (page, next) = broker.rooms(&cursor, 7).now().unwrap().unwrap();
        assert!(page.len() <= 7 && page.iter().all(|(_, standing)| standing.seq == 1));
        listed.extend(page.into_iter().map(|(name, _)| name));
        let Some(next) = next else { break };
        cursor = next;
    }
    listed.sort();
    names.sort();
    assert_eq!(listed, names);
    for foreign in ["x", "99.a", "-1.", "1.\u{0}", "18446744073709551615.z"] {
        let _ = broker.rooms(foreign, 0).now().unwrap().unwrap();
    }
}

/// Publishers in all lanes at once: each lane reaches the node in its order.
#[test]
fn lanes_are_delivered_in_their_order() {
    let (broker, node) = with_node();
    let rooms: Vec<RoomId> = (0..40).map(|number| room(&format!("chat:{number}"))).collect();
    for room in &rooms {
        broker.open(room).now().unwrap().unwrap();
    }
    node.take();
    thread::scope(|scope| {
        for publisher in 0..4 {
            let (broker, rooms) = (&broker, &rooms);
            scope.spawn(move || {
                for number in 0..2_000 {
                    send(broker, &rooms[(number * 7 + publisher) % 40], None, 1);
                }
            });
        }
    });
    let mut heads = [0; LANES];
    for told in node.take() {
        let Told::Message(message) = told else { panic!("{told:?}") };
        let head = &mut heads[lane_of(&message.room).index()];
        assert_eq!(message.at, LanePosition { epoch: EPOCH, pos: *head + 1 });
        *head += 1;
    }
    assert_eq!(heads.iter().sum::<u64>(), 8_000);
}

#[test]
fn an_id_that_nobody_gave_is_the_position_in_hexadecimal() {
    let lane = Lane::all().last().unwrap();
    for number in [0, 1, 9, 10, 15, 16, 255, 256, 0x1234_5678_9abc_def0, u64::MAX] {
        let at = LanePosition { epoch: number, pos: number / 3 };
        assert_eq!(*id_of(None, lane, at), format!("{number:x}.{:x}.{:x}", lane.index(), number / 3));
    }
}
