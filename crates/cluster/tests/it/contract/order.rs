//! `Broker`: positions, and the order in which they are given out.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use turnpike_cluster::{LANES, Lane, LanePosition, Range, lane_of};

use super::recorder::Given;
use super::stage::{message, named, rooms_of_all_lanes, rooms_of_one_lane, text, texts};
use super::{Stage, cases, on_every_ground, on_several_nodes, on_what_lasts, room, user};

on_every_ground! {
    every_lane_is_announced_when_it_has_started
    numbers_of_a_room_have_no_gap
    room_and_lane_count_in_one_order
    what_was_answered_is_kept
    publications_of_one_task_keep_their_order_unanswered
    publications_keep_their_order_though_the_last_is_awaited_first
    an_abandoned_publication_leaves_nothing_half_done
    many_publishers_share_one_order
    the_receipt_says_where_it_stands
    the_event_is_written_once_with_its_positions
    attachments_arrive_as_they_were
    bodies_arrive_as_they_were
    lanes_do_not_wait_for_each_other
}

on_several_nodes! {
    all_nodes_see_one_order
}

on_what_lasts! {
    what_was_answered_outlives_the_node
    numbers_go_on_after_the_node_came_back
}

async fn every_lane_is_announced_when_it_has_started(stage: &mut Stage) {
    let node = stage.node().await;
    let announced: BTreeSet<Lane> = node
        .record
        .all()
        .iter()
        .filter_map(|given| match given {
            Given::Lane(lane, from) => {
                assert!(from.epoch > 0, "an epoch that was never begun: {given:?}");
                Some(*lane)
            }
            _ => None,
        })
        .collect();
    assert_eq!(announced.len(), LANES);
}

async fn numbers_of_a_room_have_no_gap(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    for seq in 1..=20 {
        let node = if seq % 2 == 0 { &near } else { &far };
        assert_eq!(node.say(&room, "x").await.seq, seq);
    }
    let page = far.read(&room, Range::Latest).await;
    assert_eq!(
        page.messages.iter().map(|message| message.seq).collect::<Vec<_>>(),
        (1..=20).collect::<Vec<_>>()
    );
}

async fn room_and_lane_count_in_one_order(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let rooms = rooms_of_one_lane(3);
    for number in 0..30 {
        near.say(&rooms[number % 3], &number.to_string()).await;
    }
    let mut by_pos = Vec::new();
    for room in &rooms {
        let page = far.read(room, Range::Latest).await;
        assert!(page.messages.is_sorted_by(|one, next| one.seq < next.seq && one.at < next.at));
        by_pos.extend(page.messages);
    }
    by_pos.sort_by_key(|message| message.at);
    assert_eq!(texts(&by_pos), (0..30).map(|number: u32| number.to_string()).collect::<Vec<_>>());
    assert!(by_pos.is_sorted_by(|one, next| one.at < next.at), "two messages at one place");
}

async fn what_was_answered_is_kept(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    for number in 0..20 {
        let room = room(&format!("chat:{number}"));
        let receipt = near.say(&room, "here").await;
        let page = far.read(&room, Range::Latest).await;
        assert_eq!(page.messages.last().map(|message| message.seq), Some(receipt.seq));
        assert_eq!(page.standing.seq, receipt.seq);
    }
}

async fn publications_of_one_task_keep_their_order_unanswered(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    far.open(&room).await;
    let broker = near.cluster().broker;
    let publications: Vec<_> =
        (0..300).map(|number| broker.publish(message(&room, &number.to_string())).wait()).collect();
    let receipts = join_all(publications).await;
    let seqs: Vec<u64> = receipts.into_iter().map(|receipt| receipt.unwrap().seq).collect();
    assert_eq!(seqs, (1..=300).collect::<Vec<_>>());
    far.record.until("all of them", |record| record.messages(&room).len() == 300).await;
    assert_eq!(
        texts(&far.record.messages(&room)),
        (0..300).map(|number: u32| number.to_string()).collect::<Vec<_>>()
    );
}

async fn publications_keep_their_order_though_the_last_is_awaited_first(stage: &mut Stage) {
    let (near, _) = stage.two().await;
    let room = room("chat:a");
    let broker = near.cluster().broker;
    let publications: Vec<_> =
        (0..20).map(|number| broker.publish(message(&room, &number.to_string()))).collect();
    for (number, publication) in publications.into_iter().enumerate().rev() {
        let receipt = super::stage::limited("an answer", publication.wait()).await.unwrap();
        assert_eq!(receipt.seq, number as u64 + 1);
    }
}

async fn an_abandoned_publication_leaves_nothing_half_done(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    far.open(&room).await;
    let broker = near.cluster().broker;
    for number in 0..20 {
        drop(broker.publish(named(&room, &format!("m{number}"), "x")));
    }
    // Whatever became of them, each is there once after it was published again.
    for number in 0..20 {
        near.publish(named(&room, &format!("m{number}"), "x")).await.unwrap();
    }
    far.record.until("all of them", |record| record.messages(&room).len() == 20).await;
    assert_eq!(far.read(&room, Range::Latest).await.standing.seq, 20);
}

async fn many_publishers_share_one_order(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    near.open(&room).await;
    far.open(&room).await;
    let publish = async |node: &super::stage::Node, from: &str| {
        for number in 0..25 {
            let publication = turnpike_cluster::Publication {
                from: user(from),
                ..message(&room, &format!("{from}{number}"))
            };
            node.publish(publication).await.unwrap();
        }
    };
    tokio::join!(publish(&near, "a"), publish(&near, "b"), publish(&far, "c"), publish(&far, "d"));
    for node in [&near, &far] {
        node.record.until("all of them", |record| record.messages(&room).len() == 100).await;
        let messages = node.record.messages(&room);
        for from in ["a", "b", "c", "d"] {
            let own: Vec<String> =
                texts(&messages).into_iter().filter(|text| text.starts_with(from)).collect();
            assert_eq!(own, (0..25).map(|number| format!("{from}{number}")).collect::<Vec<_>>());
        }
    }
    assert_eq!(texts(&near.record.messages(&room)), texts(&far.record.messages(&room)));
}

async fn the_receipt_says_where_it_stands(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    near.say(&room, "first").await;
    let named_receipt = near.publish(named(&room, "mine", "second")).await.unwrap();
    let receipt = near.say(&room, "third").await;
    assert_eq!((&*named_receipt.id, named_receipt.duplicate), ("mine", false));
    assert_ne!(receipt.id, near.say(&room, "fourth").await.id, "ids that are given are not given twice");
    let page = far.read(&room, Range::Latest).await;
    for (receipt, message) in [(&named_receipt, &page.messages[1]), (&receipt, &page.messages[2])] {
        assert_eq!((receipt.epoch, receipt.seq, receipt.ts), (message.at.epoch, message.seq, message.ts));
        let data: serde_json::Value = serde_json::from_str(&message.data).unwrap();
        assert_eq!(data["id"], *receipt.id);
    }
}

async fn the_event_is_written_once_with_its_positions(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    far.open(&room).await;
    let receipt = near.publish(named(&room, "m1", "hello")).await.unwrap();
    far.record.until("the message", |record| record.messages(&room).len() == 1).await;
    let delivered = far.record.messages(&room).remove(0);
    let data: serde_json::Value = serde_json::from_str(&delivered.data).unwrap();
    let expected = serde_json::json!({
        "room": "chat:a", "epoch": receipt.epoch, "seq": 1, "id": "m1", "from": "alice", "ts": receipt.ts, "body": "hello",
    });
    assert_eq!(data, expected);
    assert_eq!((delivered.from.as_str(), delivered.ts), ("alice", receipt.ts));
    assert_eq!(*delivered, *far.read(&room, Range::Latest).await.messages[0], "read as it was delivered");
}

async fn attachments_arrive_as_they_were(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    far.open(&room).await;
    let attachments: Vec<bytes::Bytes> =
        vec![vec![0, 255, 13, 10, 0].into(), bytes::Bytes::new(), vec![7; 5_000].into()];
    let publication =
        turnpike_cluster::Publication { attachments: attachments.clone(), ..message(&room, "x") };
    near.publish(publication).await.unwrap();
    far.record.until("the message", |record| record.messages(&room).len() == 1).await;
    assert_eq!(far.record.messages(&room)[0].attachments, attachments);
    assert_eq!(near.read(&room, Range::Latest).await.messages[0].attachments, attachments);
}

/// Below and above the size from which bodies are compressed on their way, and with everything JSON may hold.
async fn bodies_arrive_as_they_were(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    far.open(&room).await;
    let bodies = [
        "x".repeat(900),
        "y".repeat(1_100),
        "é\u{1f600}\u{2028}\"\\\n\0".repeat(500),
        (0..20_000u32)
            .map(|number| char::from(33 + (number.wrapping_mul(2_654_435_761) >> 25) as u8 % 90))
            .collect(),
        String::new(),
    ];
    for body in &bodies {
        near.say(&room, body).await;
    }
    far.record.until("all of them", |record| record.messages(&room).len() == bodies.len()).await;
    assert_eq!(texts(&far.record.messages(&room)), bodies);
    assert_eq!(texts(&far.read(&room, Range::Latest).await.messages), bodies);
}

async fn lanes_do_not_wait_for_each_other(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let rooms = rooms_of_all_lanes();
    for room in &rooms {
        far.open(room).await;
    }
    let broker = near.cluster().broker;
    let publications =
        (0..10).flat_map(|_| rooms.iter().map(|room| broker.publish(message(room, "x")).wait()));
    assert!(join_all(publications.collect::<Vec<_>>()).await.iter().all(Result::is_ok));
    for room in &rooms {
        far.record.until("ten a room", |record| record.seqs(room) == (1..=10).collect::<Vec<_>>()).await;
    }
}

async fn all_nodes_see_one_order(stage: &mut Stage) {
    let all = stage.all().await;
    let rooms = rooms_of_one_lane(2);
    for node in &all {
        for room in &rooms {
            node.open(room).await;
        }
    }
    let publish = async |node: &super::stage::Node| {
        for number in 0..30 {
            node.say(&rooms[number % 2], "x").await;
        }
    };
    join_all(all.iter().map(|node| publish(node))).await;
    let expected = 15 * all.len();
    let mut orders = BTreeSet::new();
    for node in &all {
        for room in &rooms {
            node.record.until("all of them", |record| record.messages(room).len() == expected).await;
        }
        let order: Vec<(LanePosition, String)> = node
            .record
            .all()
            .iter()
            .filter_map(|given| match given {
                Given::Message(message) => Some((message.at, text(message))),
                _ => None,
            })
            .collect();
        assert!(order.iter().all(|_| lane_of(&rooms[0]) == lane_of(&rooms[1])));
        orders.insert(order);
    }
    assert_eq!(orders.len(), 1, "nodes were given one lane in different orders");
}

async fn what_was_answered_outlives_the_node(stage: &mut Stage) {
    let node = stage.node().await;
    let room = room("chat:a");
    for number in 0..50 {
        node.say(&room, &number.to_string()).await;
    }
    node.kill();
    drop(node);
    let again = stage.node().await;
    let page = again.read(&room, Range::AfterSeq(0)).await;
    assert_eq!(texts(&page.messages), (0..50).map(|number: u32| number.to_string()).collect::<Vec<_>>());
    assert_eq!(page.standing.seq, 50);
}

async fn numbers_go_on_after_the_node_came_back(stage: &mut Stage) {
    let node = stage.node().await;
    let rooms = rooms_of_one_lane(2);
    for _ in 0..10 {
        node.say(&rooms[0], "before").await;
    }
    let last = node.read(&rooms[0], Range::Latest).await.messages.last().cloned().unwrap();
    node.kill();
    drop(node);
    let again = stage.node().await;
    again.open(&rooms[0]).await;
    again.open(&rooms[1]).await;
    assert_eq!(again.say(&rooms[1], "other").await.seq, 1);
    assert_eq!(again.say(&rooms[0], "after").await.seq, 11);
    again.record.until("the next", |record| record.seqs(&rooms[0]) == [11]).await;
    assert!(again.record.messages(&rooms[1])[0].at > last.at, "the lane went back");
}
