//! What survives: on a medium that fails, fills up, loses what was not synced, or has been damaged.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use turnpike_wire::{MessageId, Position, RoomId, UserId};

use super::shaky::Shaky;
use super::*;
use crate::embedded::{Config, Embedded};
use crate::{
    Base, BaseId, Change, Continuity, Control, Deliver, Full, LANES, Lane, LanePosition, Mark, Message, Page,
    Publication, PublishError, Range, Read, Receipt, RoomRecord, Row, RowKey, SessionRecord, Signal, Soon,
    Standing, Status,
};

mod crash;
mod damage;

const LIMIT: Duration = Duration::from_secs(20);

fn config() -> Config {
    Config::new("n1")
}

fn start(shaky: &Arc<Shaky>) -> Embedded {
    start_with(&config(), shaky)
}

fn start_with(config: &Config, shaky: &Arc<Shaky>) -> Embedded {
    Embedded::start_on(config, Some(Medium::Shaky(Arc::clone(shaky)))).unwrap()
}

fn wait<T>(soon: Soon<T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(LIMIT, soon.wait()).await.expect("it answers") })
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < LIMIT, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn room(name: &str) -> RoomId {
    RoomId::parse(name).unwrap()
}

fn user() -> UserId {
    UserId::parse("alice").unwrap()
}

fn publication(room: &RoomId, id: Option<&str>, body: &str) -> Publication {
    Publication {
        room: room.clone(),
        from: user(),
        id: id.map(|id| MessageId::parse(id).unwrap()),
        age_ms: 0,
        body: body.into(),
        attachments: vec![bytes::Bytes::from_static(&[0, 1, 255])],
    }
}

fn publish(
    embedded: &Embedded,
    room: &RoomId,
    id: Option<&str>,
    body: &str,
) -> Result<Receipt, PublishError> {
    wait(embedded.cluster().broker.publish(publication(room, id, body)))
}

fn read(embedded: &Embedded, room: &RoomId, range: Range) -> Page {
    let read = Read { room: room.clone(), range, messages_max: 10_000, bytes_max: usize::MAX };
    embedded.cluster().broker.read(&read).now().unwrap().unwrap()
}

fn seqs(page: &Page) -> Vec<u64> {
    page.messages.iter().map(|message| message.seq).collect()
}

/// Takes what it is given, unless it is full.
#[derive(Default)]
struct Node {
    full: AtomicBool,
    messages: Mutex<Vec<Arc<Message>>>,
    verified: Mutex<Vec<LanePosition>>,
}

impl Deliver for Node {
    fn lane(&self, _: Lane, _: LanePosition) -> Soon<()> {
        Soon::Now(())
    }

    fn opened(&self, _: &RoomId, _: &Standing) {}

    fn message(&self, message: &Arc<Message>) -> Result<(), Full> {
        if self.full.load(Ordering::Relaxed) {
            return Err(Full);
        }
        self.messages.lock().unwrap().push(Arc::clone(message));
        Ok(())
    }

    fn verified(&self, _: &RoomId, up_to: LanePosition) {
        self.verified.lock().unwrap().push(up_to);
    }

    fn broken(&self, room: &RoomId, _: &Standing) {
        panic!("nothing breaks in one process: {room}");
    }

    fn signal(&self, _: &RoomId, _: &Signal) {}

    fn control(&self, control: Control) {
        panic!("there is nobody else: {control:?}");
    }
}

/// Numbers that look random and are the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

#[test]
fn everything_is_there_after_a_restart() {
    let shaky = Arc::new(Shaky::default());
    let (a, personal) = (room("chat:a"), RoomId::personal(&user()));
    let session = SessionRecord {
        user: user(),
        identity: "{}".into(),
        rooms: vec![RoomRecord {
            room: a.clone(),
            joined: LanePosition { epoch: 1, pos: 2 },
            presence: true,
        }],
    };
    let base = Base([LanePosition { epoch: 3, pos: 4 }; LANES]);
    let marks = vec![Mark { user: user(), received: 3, read: 2 }];
    let (before, own) = {
        let embedded = start(&shaky);
        let cluster = embedded.cluster();
        assert!(cluster.sessions.outlive_the_process());
        for number in 0..5 {
            publish(&embedded, &a, Some(&format!("m{number}")), &format!("{number}")).unwrap();
        }
        publish(&embedded, &personal, None, "0").unwrap();
        assert!(wait(cluster.sessions.put(&"s1".into(), &session)).unwrap());
        assert!(wait(cluster.sessions.put(&"s2".into(), &session)).unwrap());
        wait(cluster.sessions.remove(&"s2".into())).unwrap();
        wait(cluster.sessions.put_base(BaseId(9), &base)).unwrap();
        wait(cluster.marks.mark(&a, marks.clone())).unwrap();
        for row in [Some(Row { status: Status::Online, activity: None }), None] {
            let change = Change { key: RowKey { user: user(), device: "phone".into() }, row };
            cluster.presence.apply(&a, vec![change]).now().unwrap().unwrap();
        }
        wait(cluster.marks.advance(&user(), "my phone", 7)).unwrap();
        (read(&embedded, &a, Range::Latest), cluster.membership.own())
    };
    let embedded = start(&shaky);
    let cluster = embedded.cluster();
    let after = read(&embedded, &a, Range::Latest);
    assert_eq!(after.messages, before.messages);
    assert_eq!(after.standing.epoch, before.standing.epoch, "of its latest message");
    assert!(after.standing.lane.epoch > before.standing.lane.epoch, "the lane goes on in a new epoch");
    assert_eq!(after.standing.lane.pos, before.standing.lane.pos);
    let position = Position { epoch: before.standing.epoch, seq: 3 };
    let missed = read(&embedded, &a, Range::After(position));
    assert_eq!((missed.continuity, seqs(&missed)), (Continuity::Whole, vec![4, 5]));
    let again = publish(&embedded, &a, Some("m4"), "4").unwrap();
    assert_eq!((again.duplicate, again.seq, again.epoch), (true, 5, before.standing.epoch));
    let next = publish(&embedded, &a, Some("m5"), "5").unwrap();
    assert_eq!((next.duplicate, next.seq, next.epoch), (false, 6, after.standing.lane.epoch));

    assert_eq!(wait(cluster.sessions.base(BaseId(9))).unwrap(), Some(base));
    assert_eq!(wait(cluster.marks.marks(&a, &[user()])).unwrap(), marks);
    assert_eq!(wait(cluster.marks.cursor(&user(), "my phone")).unwrap(), Some(1), "the head is 1");
    assert!(wait(cluster.presence.last_seen(&a, &user())).unwrap().is_some());
    let taken = wait(cluster.sessions.take(&"s1".into())).unwrap().unwrap();
    assert_eq!((taken.record, taken.from), (session, own));
    let again = wait(cluster.sessions.take(&"s1".into())).unwrap().unwrap();
    assert_eq!(again.from, cluster.membership.own());
    assert_eq!(wait(cluster.sessions.take(&"s2".into())).unwrap(), None);
}

#[test]
fn nothing_is_seen_before_it_is_kept() {
    let shaky = Arc::new(Shaky::default());
    let (embedded, node, a) = (start(&shaky), Arc::new(Node::default()), room("chat:a"));
    let cluster = embedded.cluster();
    wait(cluster.broker.start(Arc::clone(&node) as _)).unwrap();
    wait(cluster.broker.open(&a)).unwrap();
    let syncs = shaky.syncs();
    let first = cluster.broker.publish(publication(&a, Some("m1"), "1"));
    let again = cluster.broker.publish(publication(&a, Some("m1"), "1"));
    assert!(matches!(first, Soon::Later(_)));
    // A publisher that does not wait for its answer is not left half done.
    drop(cluster.broker.publish(publication(&a, None, "2")));
    let level = cluster.broker.level(&a);
    let (first, again) = (wait(first).unwrap(), wait(again).unwrap());
    assert!(shaky.syncs() > syncs);
    assert_eq!((first.seq, first.duplicate), (1, false));
    assert_eq!(again, Receipt { duplicate: true, ..first });
    wait(level).unwrap();
    let delivered: Vec<u64> = node.messages.lock().unwrap().iter().map(|message| message.seq).collect();
    assert_eq!(delivered, [1, 2], "when the room is level everything has been delivered");
    assert_eq!(*node.verified.lock().unwrap(), [read(&embedded, &a, Range::Latest).standing.lane]);
}

#[test]
fn what_the_node_has_no_room_for_is_brought_again() {
    let shaky = Arc::new(Shaky::default());
    let (embedded, node, a) = (start(&shaky), Arc::new(Node::default()), room("chat:a"));
    let cluster = embedded.cluster();
    wait(cluster.broker.start(Arc::clone(&node) as _)).unwrap();
    wait(cluster.broker.open(&a)).unwrap();
    node.full.store(true, Ordering::Relaxed);
    let answers: Vec<_> = (0..3).map(|_| cluster.broker.publish(publication(&a, None, "1"))).collect();
    let syncs = shaky.syncs();
    until("they are written", || shaky.syncs() > syncs);
    assert!(read(&embedded, &a, Range::Latest).messages.is_empty(), "nobody sees what members have not got");
    node.full.store(false, Ordering::Relaxed);
    let seqs: Vec<u64> = answers.into_iter().map(|answer| wait(answer).unwrap().seq).collect();
    assert_eq!(seqs, [1, 2, 3]);
    assert_eq!(node.messages.lock().unwrap().len(), 3);
}

#[test]
fn a_disk_that_fails_and_works_again() {
    let shaky = Arc::new(Shaky::default());
    let (a, b) = (room("chat:a"), room("chat:b"));
    {
        let embedded = start(&shaky);
        let condition = embedded.cluster().condition;
        publish(&embedded, &a, Some("m1"), "1").unwrap();
        shaky.set_failing(true);
        let failed: Vec<_> = (0..5)
            .map(|number| {
                embedded.cluster().broker.publish(publication(&a, Some(&format!("x{number}")), "0"))
            })
            .collect();
        for answer in failed {
            assert!(matches!(wait(answer), Err(PublishError::Unavailable(_))));
        }
        assert_eq!(publish(&embedded, &b, None, "0"), Err(PublishError::Unavailable(UNAVAILABLE)));
        assert!(wait(embedded.cluster().sessions.put_base(BaseId(1), &Base::default())).is_err());
        assert!(
            condition.borrow().faults[0].starts_with("nothing can be kept in turnpike.redb:"),
            "{condition:?}"
        );
        assert_eq!(seqs(&read(&embedded, &a, Range::Latest)), [1], "what was there can be read");
        assert!(publish(&embedded, &a, Some("m1"), "1").unwrap().duplicate, "that needs no disk");
        shaky.set_failing(false);
        until("the disk works again", || condition.borrow().faults.is_empty());
        for number in 2..5 {
            let receipt = publish(&embedded, &a, Some(&format!("x{number}")), "1").unwrap();
            assert_eq!((receipt.seq, receipt.duplicate), (number, false));
        }
    }
    let embedded = start(&shaky);
    let kept = read(&embedded, &a, Range::Latest);
    assert_eq!(seqs(&kept), [1, 2, 3, 4]);
    assert!(kept.messages.iter().all(|message| message.data.ends_with(r#""body":1}"#)), "{kept:?}");
}

#[test]
fn a_disk_that_is_full_and_then_is_not() {
    let shaky = Arc::new(Shaky::default());
    let a = room("chat:a");
    let large = format!("\"{}\"", "x".repeat(100_000));
    let mut acknowledged = Vec::new();
    {
        let embedded = start(&shaky);
        publish(&embedded, &a, None, &large).unwrap();
        acknowledged.push(1);
        shaky.set_room(Some(1024 * 1024));
        let refused = (0..200).find_map(|_| match publish(&embedded, &a, None, &large) {
            Ok(receipt) => {
                acknowledged.push(receipt.seq);
                None
            }
            Err(refused) => Some(refused),
        });
        // A room keeps a megabyte, so that the file may come to an end of its growing before its room does.
        if refused.is_none() {
            shaky.set_failing(true);
            assert!(publish(&embedded, &a, None, &large).is_err());
            shaky.set_failing(false);
        }
        shaky.set_room(None);
        let condition = embedded.cluster().condition;
        until("there is room again", || condition.borrow().faults.is_empty());
        acknowledged.push(publish(&embedded, &a, None, &large).unwrap().seq);
    }
    assert!(acknowledged.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{acknowledged:?}");
    let embedded = start(&shaky);
    let kept = seqs(&read(&embedded, &a, Range::Latest));
    assert!(!kept.is_empty() && acknowledged.ends_with(&kept), "{acknowledged:?} {kept:?}");
}

#[test]
fn what_is_no_longer_kept_leaves_the_disk_too() {
    let shaky = Arc::new(Shaky::default());
    let mut config = config();
    config.history.room_messages_max = 10;
    config.history.dedupe_ids_max = 16 * LANES;
    let (a, b) = (room("chat:a"), room("chat:b"));
    let body = format!("\"{}\"", "x".repeat(5_000));
    {
        let embedded = start_with(&config, &shaky);
        let broker = embedded.cluster().broker;
        wait(broker.open(&b)).unwrap();
        publish(&embedded, &b, None, "1").unwrap();
        for round in 0..40 {
            let answers: Vec<_> = (0..50)
                .map(|number| broker.publish(publication(&a, Some(&format!("m{round}-{number}")), &body)))
                .collect();
            for answer in answers {
                wait(answer).unwrap();
            }
        }
        // 50 KB are kept. The file grows by doubling, and how far depends on how much one commit takes.
        let size = shaky.bytes().len();
        assert!(size <= 3_000_000, "10 MB went through, and the file has {size} bytes");
    }
    // Much later everything is too old, but nobody can know yet who comes back to b.
    config.history.age_ms_max = 0;
    config.recovery_window_ms = 1_500;
    let standing = {
        let embedded = start_with(&config, &shaky);
        until("old messages go", || embedded.levels().messages == 0);
        wait(embedded.cluster().broker.open(&b)).unwrap();
        let standing = read(&embedded, &b, Range::Latest).standing;
        assert_eq!(standing.seq, 1, "its place was kept for it");
        until("rooms that nobody came back to are forgotten", || embedded.levels().rooms == 1);
        standing
    };
    let embedded = start_with(&config, &shaky);
    let page = read(&embedded, &b, Range::After(Position { epoch: standing.epoch, seq: 1 }));
    assert_eq!((page.continuity, page.standing.seq, page.standing.pos), (Continuity::Whole, 1, standing.pos));
    let page = read(&embedded, &a, Range::AfterSeq(1_999));
    assert_eq!(page.continuity, Continuity::Gone);
    assert_eq!(publish(&embedded, &a, None, "1").unwrap().seq, 2_001, "no position is given out twice");
}

#[test]
fn sessions_of_earlier_processes_end_with_their_window() {
    let shaky = Arc::new(Shaky::default());
    let session = SessionRecord { user: user(), identity: "{}".into(), rooms: Vec::new() };
    {
        let cluster = start(&shaky).cluster();
        // More than are swept at a time.
        let puts: Vec<_> = (0..2_500)
            .map(|number| cluster.sessions.put(&format!("s{number:05}").into(), &session))
            .collect();
        for put in puts {
            assert!(wait(put).unwrap());
        }
    }
    let mut config = config();
    config.recovery_window_ms = 0;
    let cluster = start_with(&config, &shaky).cluster();
    assert!(wait(cluster.sessions.take(&"s01234".into())).unwrap().is_some());
    wait(cluster.sessions.put(&"new".into(), &session)).unwrap();
    // Who asks for one has it.
    let mut last = (1_300..2_500).rev().map(|number| format!("s{number:05}").into());
    until("the last are gone", || wait(cluster.sessions.take(&last.next().unwrap())).unwrap().is_none());
    for gone in ["s00000", "s01233", "s01235"] {
        assert_eq!(wait(cluster.sessions.take(&gone.into())).unwrap(), None);
    }
    for kept in ["s01234", "new"] {
        assert!(wait(cluster.sessions.take(&kept.into())).unwrap().is_some(), "{kept}");
    }
}
