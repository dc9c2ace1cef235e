//! `Deliver`: what a node that has no room, or takes its time, may rely on.

use std::time::Duration;

use turnpike_cluster::PublishError;

use super::recorder::Given;
use super::stage::{named, rooms_of_one_lane};
use super::{Stage, cases, on_every_ground, on_several_nodes, room};

on_every_ground! {
    what_found_no_room_is_brought_again_or_its_publisher_told
    no_message_comes_before_its_lane_is_ready
}

on_several_nodes! {
    a_node_without_room_does_not_hold_up_others
    a_full_node_catches_up_in_order
}

async fn what_found_no_room_is_brought_again_or_its_publisher_told(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    far.open(&room).await;
    near.say(&room, "x").await;
    far.record.until("the first", |record| record.seqs(&room) == [1]).await;
    far.record.refuse(3);
    for number in 0..5 {
        // Who was told tries again; nobody else has to.
        loop {
            match near.publish(named(&room, &format!("m{number}"), "x")).await {
                Ok(_) => break,
                Err(error) => assert_eq!(error, PublishError::Full),
            }
        }
    }
    far.record.until("all of them", |record| record.seqs(&room) == [1, 2, 3, 4, 5, 6]).await;
    let refused = far.record.all().iter().filter(|given| matches!(given, Given::Refused(_))).count();
    assert_eq!(refused, 3, "the case has shown nothing");
}

async fn no_message_comes_before_its_lane_is_ready(stage: &mut Stage) {
    let node = stage.unstarted().await;
    node.record.hold_lanes(true);
    let room = room("chat:a");
    let starting = node.try_start();
    let meanwhile = async {
        node.record.until("lanes to be announced", |record| !record.all().is_empty()).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let given = node.record.all();
        assert!(given.iter().all(|given| matches!(given, Given::Lane(..))), "{given:?}");
        node.record.hold_lanes(false);
    };
    let (started, ()) = tokio::join!(starting, meanwhile);
    started.expect("the node starts");
    node.open(&room).await;
    node.say(&room, "x").await;
    node.record.until("the message", |record| record.seqs(&room) == [1]).await;
}

async fn a_node_without_room_does_not_hold_up_others(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    near.open(&room).await;
    far.open(&room).await;
    far.record.refuse(usize::MAX);
    for _ in 0..20 {
        near.say(&room, "x").await;
    }
    near.record.until("all of them", |record| record.messages(&room).len() == 20).await;
    assert!(far.record.messages(&room).is_empty());
    far.record.refuse(0);
    far.record.until("all of them", |record| record.messages(&room).len() == 20).await;
}

async fn a_full_node_catches_up_in_order(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let rooms = rooms_of_one_lane(2);
    for room in &rooms {
        far.open(room).await;
    }
    for turn in 0..60 {
        if turn % 10 == 0 {
            far.record.refuse(7);
        }
        near.say(&rooms[turn % 2], "x").await;
    }
    for room in &rooms {
        far.record.until("all of them", |record| record.messages(room).len() == 30).await;
    }
}
