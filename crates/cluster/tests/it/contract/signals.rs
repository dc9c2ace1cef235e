//! `Broker::signal` and `Deliver::signal`.

use bytes::Bytes;
use serde_json::value::RawValue;
use turnpike_cluster::{
    Command, Incarnation, Mark, PresenceDelta, Row, RowKey, Signal, Status, TypingChange,
};
use turnpike_wire::RoomId;

use super::stage::{Stage as TheStage, message};
use super::{Stage, cases, on_every_ground, on_several_nodes, room, user};

on_every_ground! {
    a_signal_reaches_every_node_that_has_the_room_open
    a_signal_comes_once
    every_kind_of_signal_arrives_as_it_was
    a_room_that_is_not_open_gets_no_signals
    signals_move_no_position
}

on_several_nodes! {
    signals_reach_only_those_who_follow
    signals_of_several_nodes_reach_all
}

fn typing(who: &str) -> Signal {
    Signal::Typing(vec![TypingChange { user: user(who), typing: true }])
}

async fn everywhere(stage: &mut TheStage, room: &RoomId) -> Vec<std::sync::Arc<super::stage::Node>> {
    let all = stage.all().await;
    for node in &all {
        node.open(room).await;
    }
    all
}

async fn a_signal_reaches_every_node_that_has_the_room_open(stage: &mut Stage) {
    let room = room("chat:a");
    let all = everywhere(stage, &room).await;
    all[0].signal(&room, typing("alice"));
    for node in &all {
        node.record.until("the signal", |record| record.signals(&room) == [typing("alice")]).await;
    }
}

/// Also to the node that sent it, which might get it on two ways.
async fn a_signal_comes_once(stage: &mut Stage) {
    let room = room("chat:a");
    let all = everywhere(stage, &room).await;
    for number in 0..50 {
        all[number % all.len()].signal(&room, typing(&format!("u{number}")));
    }
    for node in &all {
        node.record.until("all of them", |record| record.signals(&room).len() >= 50).await;
        node.level(&room).await;
        let mut signals: Vec<String> =
            node.record.signals(&room).iter().map(|signal| format!("{signal:?}")).collect();
        assert_eq!(signals.len(), 50);
        signals.sort();
        signals.dedup();
        assert_eq!(signals.len(), 50);
    }
}

async fn every_kind_of_signal_arrives_as_it_was(stage: &mut Stage) {
    let room = room("user:alice");
    let all = everywhere(stage, &room).await;
    let row = Row {
        status: Status::Busy,
        activity: Some(RawValue::from_string(r#"{"playing":"chess","n":[1,2.5,null]}"#.to_owned()).unwrap()),
    };
    let key = |device: &str| RowKey { user: user("alice"), device: device.into() };
    let mut signals = vec![
        Signal::Volatile {
            data: r#"{"a":"é\n"}"#.into(),
            attachments: vec![Bytes::from_static(&[0, 255]), Bytes::new()],
        },
        Signal::Volatile {
            data: format!("{{\"long\":\"{}\"}}", "x".repeat(5_000)).into(),
            attachments: Vec::new(),
        },
        Signal::Typing(vec![
            TypingChange { user: user("alice"), typing: true },
            TypingChange { user: user("bob"), typing: false },
        ]),
        Signal::Presence(PresenceDelta {
            incarnation: Incarnation(u64::MAX),
            version: Some(7),
            gone: false,
            rows: vec![(key("phone"), Some(row)), (key(""), None)],
        }),
        Signal::Presence(PresenceDelta {
            incarnation: Incarnation(1),
            version: None,
            gone: true,
            rows: Vec::new(),
        }),
        Signal::Marks(vec![Mark { user: user("alice"), received: (1 << 53) - 1, read: 0 }]),
        Signal::Command(Command::Disconnect { code: 3_502 }),
        Signal::Command(Command::Join { room: room.clone() }),
        Signal::Command(Command::Leave { room: room.clone() }),
    ];
    for signal in &signals {
        all[0].signal(&room, signal.clone());
    }
    let text = |signal: &Signal| format!("{signal:?}");
    signals.sort_by_key(text);
    for node in &all {
        node.record.until("all of them", |record| record.signals(&room).len() == signals.len()).await;
        let mut given = node.record.signals(&room);
        given.sort_by_key(text);
        assert_eq!(given, signals);
    }
}

async fn a_room_that_is_not_open_gets_no_signals(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let rooms = super::stage::rooms_of_one_lane(2);
    far.open(&rooms[0]).await;
    far.open(&rooms[1]).await;
    far.close(&rooms[0]);
    near.signal(&rooms[0], typing("alice"));
    near.signal(&rooms[1], typing("alice"));
    far.record.until("the other room's", |record| !record.signals(&rooms[1]).is_empty()).await;
    far.level(&rooms[1]).await;
    assert!(far.record.signals(&rooms[0]).is_empty());
}

async fn signals_move_no_position(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    far.open(&room).await;
    for number in 0..10 {
        near.signal(&room, typing("alice"));
        assert_eq!(near.publish(message(&room, "x")).await.unwrap().seq, number + 1);
    }
    far.level(&room).await;
    let page = far.read(&room, turnpike_cluster::Range::Latest).await;
    assert_eq!((page.standing.seq, page.messages.len()), (10, 10));
}

async fn signals_reach_only_those_who_follow(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    near.open(&room).await;
    far.signal(&room, typing("alice"));
    near.record.until("the signal", |record| record.signals(&room) == [typing("alice")]).await;
    assert!(far.record.signals(&room).is_empty());
}

async fn signals_of_several_nodes_reach_all(stage: &mut Stage) {
    let room = room("chat:a");
    let all = everywhere(stage, &room).await;
    for (index, node) in all.iter().enumerate() {
        node.signal(&room, typing(&format!("u{index}")));
    }
    for node in &all {
        node.record.until("one of each", |record| record.signals(&room).len() == all.len()).await;
    }
}
