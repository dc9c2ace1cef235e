//! The contract of the broker, one promise a test.

use std::sync::atomic::AtomicBool;
use std::thread;

use super::*;

fn limits() -> HistoryLimits {
    HistoryLimits::default()
}

fn room(name: &str) -> RoomId {
    RoomId::parse(name).unwrap()
}

fn at(ms: u64) -> Moment {
    Moment { unix_ms: ms, steady_ms: ms }
}

fn send(broker: &Broker, room: &RoomId, id: Option<&str>, now_ms: u64) -> Receipt {
    let from = UserId::parse("alice").unwrap();
    let id = id.map(|id| MessageId::parse(id).unwrap());
    let body = RawValue::from_string(r#"{"text":"hi"}"#.to_owned()).unwrap();
    let publication = Publication { room, from: &from, id: id.as_ref(), body: &body, attachments: &[] };
    broker.publish(&publication, at(now_ms), |_, _| Ok::<_, ()>(())).unwrap()
}

fn seqs(messages: &[Arc<Stored>]) -> Vec<u64> {
    messages.iter().map(|message| message.seq).collect()
}

#[test]
fn a_room_counts_without_gaps_and_a_lane_counts_all_its_rooms() {
    let broker = Broker::new(Boot(1), 7, &limits());
    let (a, b) = (room("chat:a"), room("chat:b"));
    assert_eq!((send(&broker, &a, None, 1).seq, send(&broker, &a, None, 1).seq), (1, 2));
    assert_eq!(send(&broker, &b, None, 1).seq, 1);
    let total: u64 = broker.vector().0.iter().sum();
    assert_eq!(total, 3);
    let kept = broker.lane_of(&a).latest(&a, 10);
    assert_eq!(seqs(&kept), [1, 2]);
    assert!(kept[1].data.starts_with(r#"{"room":"chat:a","epoch":7,"seq":2,"id":""#), "{}", kept[1].data);
    assert!(kept[1].data.ends_with(r#","from":"alice","ts":1,"body":{"text":"hi"}}"#), "{}", kept[1].data);
}

#[test]
fn a_repeated_id_is_answered_with_the_first_result() {
    let broker = Broker::new(Boot(1), 7, &limits());
    let a = room("chat:a");
    let first = send(&broker, &a, Some("m1"), 1_000);
    send(&broker, &a, Some("m2"), 1_001);
    let again = send(&broker, &a, Some("m1"), 5_000);
    assert_eq!(again, Receipt { duplicate: true, ..first });
    assert_eq!(broker.lane_of(&a).seq(&a), 2);
    assert!(!send(&broker, &room("chat:b"), Some("m1"), 5_000).duplicate, "another room");
    assert!(!send(&broker, &a, Some("m1"), 1_000 + limits().dedupe_ms).duplicate, "after the window");
}

#[test]
fn what_could_not_be_delivered_was_never_published() {
    let broker = Broker::new(Boot(1), 7, &limits());
    let a = room("chat:a");
    let (from, id) = (UserId::parse("alice").unwrap(), MessageId::parse("m1").unwrap());
    let body = RawValue::from_string("1".to_owned()).unwrap();
    let publication = Publication { room: &a, from: &from, id: Some(&id), body: &body, attachments: &[] };
    assert_eq!(broker.publish(&publication, at(1), |_, _| Err("overloaded")), Err("overloaded"));
    assert_eq!(broker.vector(), Vector::default());
    assert!(broker.lane_of(&a).latest(&a, 10).is_empty());
    let receipt = broker.publish(&publication, at(2), |_, _| Ok::<_, ()>(())).unwrap();
    assert_eq!(receipt.seq, 1);
    assert!(!receipt.duplicate);
}

#[test]
fn reading_from_a_position() {
    let limits = HistoryLimits { room_messages_max: 3, ..limits() };
    let broker = Broker::new(Boot(1), 7, &limits);
    let a = room("chat:a");
    for _ in 0..5 {
        send(&broker, &a, None, 1);
    }
    let lane = broker.lane_of(&a);
    assert_eq!(seqs(&lane.after_seq(&a, 2).unwrap()), [3, 4, 5]);
    assert_eq!(seqs(&lane.after_seq(&a, 4).unwrap()), [5]);
    assert!(lane.after_seq(&a, 5).unwrap().is_empty());
    assert_eq!(lane.after_seq(&a, 1).unwrap_err(), Lost, "2 is gone");
    assert_eq!(lane.after_seq(&a, 6).unwrap_err(), Lost, "never was");
    assert_eq!(seqs(&lane.latest(&a, 2)), [4, 5]);
    assert_eq!(seqs(&lane.latest(&a, 100)), [3, 4, 5]);
    assert!(lane.latest("chat:never", 5).is_empty() && lane.after_seq("chat:never", 0).unwrap().is_empty());
}

#[test]
fn memory_is_bounded_in_every_way() {
    let small = HistoryLimits { room_bytes_max: 1_000, bytes_max: LANES * 5_000, ..limits() };
    let broker = Broker::new(Boot(1), 7, &small);
    for number in 0..20_000 {
        send(&broker, &room(&format!("chat:{}", number % 500)), None, number);
    }
    let levels = broker.levels();
    assert!(levels.bytes <= LANES * 5_000, "{levels:?}");
    assert!(levels.messages > 100, "{levels:?}");
    for index in 0..LANES {
        let lane = broker.lane(index);
        assert!(
            lane.order_len() <= 2 * lane.levels().messages + 65,
            "{} {:?}",
            lane.order_len(),
            lane.levels()
        );
    }
    // One busy room: its own limit holds, and what reminds of dropped messages goes too.
    let broker = Broker::new(Boot(1), 7, &HistoryLimits { room_messages_max: 10, ..limits() });
    for now in 0..5_000 {
        send(&broker, &room("chat:busy"), None, now);
    }
    assert_eq!(broker.levels().messages, 10);
    assert!(broker.lane_of(&room("chat:busy")).order_len() < 100);
}

#[test]
fn old_messages_go_and_rooms_that_nobody_needs_with_them() {
    let broker = Broker::new(Boot(1), 7, &HistoryLimits { age_ms_max: 100, ..limits() });
    let (a, b) = (room("chat:a"), room("chat:b"));
    broker.lane_of(&b).enter(&b);
    for now in [0, 50, 120] {
        send(&broker, &a, None, now);
        send(&broker, &b, None, now);
    }
    broker.sweep(140);
    assert_eq!(seqs(&broker.lane_of(&a).latest(&a, 9)), [2, 3]);
    broker.sweep(1_000);
    assert_eq!(broker.levels(), Levels { rooms: 1, messages: 0, bytes: 0, message_ids: 0 });
    assert_eq!(broker.lane_of(&b).seq(&b), 3, "somebody is in b");
    broker.lane_of(&b).leave(&b);
    assert_eq!(broker.levels().rooms, 0);
}

#[test]
fn a_forgotten_room_never_gives_out_a_position_twice() {
    let broker = Broker::new(Boot(1), 7, &HistoryLimits { age_ms_max: 100, ..limits() });
    let a = room("chat:a");
    for _ in 0..3 {
        send(&broker, &a, None, 0);
    }
    let pos = broker.lane_of(&a).head();
    broker.sweep(1_000);
    assert_eq!(broker.levels().rooms, 0);
    assert_eq!(broker.lane_of(&a).after_seq(&a, 2).unwrap_err(), Lost);
    assert_eq!(broker.lane_of(&a).after_pos(&a, pos - 1).unwrap_err(), Lost);
    assert!(broker.lane_of(&a).after_seq(&a, 3).unwrap().is_empty());
    assert!(broker.lane_of(&a).after_pos(&a, pos).unwrap().is_empty());
    assert_eq!(send(&broker, &a, None, 2_000).seq, 4);
    assert_eq!(broker.lane_of(&a).after_seq(&a, 2).unwrap_err(), Lost, "also after it came back");
    assert_eq!(seqs(&broker.lane_of(&a).after_seq(&a, 3).unwrap()), [4]);
}

#[test]
fn lanes_are_locked_in_order_and_once() {
    let broker = Broker::new(Boot(1), 7, &limits());
    let lanes = broker.lanes([9, 2, 9, 15, 2]);
    assert_eq!(lanes.iter().map(|lane| lane.index).collect::<Vec<_>>(), [2, 9, 15]);
}

/// Publishers in all lanes at once: whoever sees a vector, at delivery or from outside, finds everything up to it handed
/// over already.
#[test]
fn a_vector_never_names_what_was_not_handed_over() {
    let broker = Broker::new(Boot(1), 7, &limits());
    // What a shard's inbox would hold: lane and position, in the order of arrival.
    let inbox = Mutex::new(Vector::default());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for publisher in 0..4 {
            let (broker, inbox) = (&broker, &inbox);
            scope.spawn(move || {
                let from = UserId::parse("alice").unwrap();
                let body = RawValue::from_string("1".to_owned()).unwrap();
                for number in 0..3_000 {
                    let room = room(&format!("chat:{}", (number * 7 + publisher) % 40));
                    let publication =
                        Publication { room: &room, from: &from, id: None, body: &body, attachments: &[] };
                    let delivered = broker.publish(&publication, at(1), |stored, vector| {
                        let mut inbox = inbox.lock().unwrap();
                        let lane = lane_of(&room);
                        assert_eq!(inbox.at(lane) + 1, stored.pos, "a lane is handed over in order");
                        inbox.set(lane, stored.pos);
                        assert!(vector.is_within(&inbox), "{vector:?} {inbox:?}");
                        Ok::<_, ()>(())
                    });
                    delivered.unwrap();
                }
            });
        }
        let (broker, inbox, stop) = (&broker, &inbox, &stop);
        let watcher = scope.spawn(move || {
            let mut looks = 0u32;
            while !stop.load(Ordering::Relaxed) {
                let vector = broker.vector();
                assert!(vector.is_within(&inbox.lock().unwrap()));
                looks += 1;
            }
            looks
        });
        while broker.vector().0.iter().sum::<u64>() < 12_000 {
            assert!(!watcher.is_finished(), "the watcher saw a vector ahead of what was handed over");
            thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
        assert!(watcher.join().unwrap() > 0);
    });
}

/// What goes out later never takes its receiver back, whichever lanes it comes from.
#[test]
fn vectors_go_out_in_their_order() {
    use std::sync::Mutex;

    let broker = Broker::new(Boot(1), 1, &HistoryLimits::default());
    let sent = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for thread in 0..4 {
            let (broker, sent) = (&broker, &sent);
            scope.spawn(move || {
                let body = RawValue::from_string("1".to_owned()).unwrap();
                let from = UserId::parse("alice").unwrap();
                for number in 0..5_000 {
                    let room = RoomId::parse(&format!("room-{thread}-{}", number % 7)).unwrap();
                    let publication =
                        Publication { room: &room, from: &from, id: None, body: &body, attachments: &[] };
                    let handed: Result<_, ()> = broker.publish(&publication, at(1), |_, vector| {
                        sent.lock().unwrap().push(*vector);
                        Ok(())
                    });
                    handed.unwrap();
                }
            });
        }
    });
    let sent = sent.into_inner().unwrap();
    for (earlier, later) in sent.iter().zip(&sent[1..]) {
        assert!(earlier.is_within(later), "{earlier:?} went out before {later:?}");
    }
}
