//! `Broker::open`, `close` and `level`.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use turnpike_cluster::{Continuity, Range};

use super::recorder::Given;
use super::stage::{message, rooms_of_one_lane};
use super::{Stage, cases, on_every_ground, on_several_nodes, room};

on_every_ground! {
    an_open_room_is_given_every_message
    a_room_that_is_not_open_is_given_none
    a_room_opens_where_it_stands
    an_empty_room_opens_at_nothing
    who_opens_an_open_room_waits_for_the_same
    what_was_published_before_is_in_the_standing_or_delivered
    opening_under_load_neither_loses_nor_doubles
    opening_and_closing_under_load_neither_loses_nor_doubles
    nothing_comes_after_a_room_was_closed
    a_room_closed_while_it_opens_stays_closed
    a_closed_room_opens_again_where_it_stands_then
    closing_what_is_not_open_does_nothing
    when_level_everything_before_has_been_delivered
    level_says_how_far_it_is_verified
    level_of_a_room_without_messages_is_verified
    what_is_verified_is_no_older_than_what_was_published
    many_rooms_are_followed_at_once
}

on_several_nodes! {
    another_nodes_rooms_are_its_own
    a_node_that_opens_later_agrees_with_one_that_opened_before
}

async fn an_open_room_is_given_every_message(stage: &mut Stage) {
    let all = stage.all().await;
    let room = room("chat:a");
    for node in &all {
        node.open(&room).await;
    }
    for number in 0..50 {
        all[number % all.len()].say(&room, "x").await;
    }
    for node in &all {
        node.record.until("all of them", |record| record.messages(&room).len() == 50).await;
        assert_eq!(node.record.seqs(&room), (1..=50).collect::<Vec<_>>());
    }
}

async fn a_room_that_is_not_open_is_given_none(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let rooms = rooms_of_one_lane(2);
    far.open(&rooms[1]).await;
    near.say(&rooms[0], "x").await;
    near.say(&rooms[1], "x").await;
    far.level(&rooms[1]).await;
    assert!(far.record.messages(&rooms[0]).is_empty());
    assert_eq!(far.record.seqs(&rooms[1]), [1]);
}

async fn a_room_opens_where_it_stands(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    let mut last = None;
    for _ in 0..5 {
        last = Some(near.say(&room, "x").await);
    }
    let last = last.unwrap();
    far.open(&room).await;
    let standing = far.record.opened(&room)[0];
    assert_eq!((standing.epoch, standing.seq), (last.epoch, 5));
    assert!(standing.pos > 0 && standing.lane.pos >= standing.pos);
    assert_eq!(far.read(&room, Range::Latest).await.messages.last().unwrap().at.pos, standing.pos);
    near.say(&room, "x").await;
    far.record.until("the next", |record| record.seqs(&room) == [6]).await;
}

async fn an_empty_room_opens_at_nothing(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let rooms = rooms_of_one_lane(2);
    near.say(&rooms[1], "elsewhere in the lane").await;
    far.open(&rooms[0]).await;
    let standing = far.record.opened(&rooms[0])[0];
    assert_eq!((standing.seq, standing.pos), (0, 0));
    assert_eq!(standing.epoch, standing.lane.epoch);
    assert!(standing.lane.pos >= 1);
}

async fn who_opens_an_open_room_waits_for_the_same(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    near.say(&room, "x").await;
    join_all((0..8).map(|_| far.open(&room))).await;
    far.open(&room).await;
    assert_eq!(far.record.opened(&room).len(), 1);
    near.say(&room, "x").await;
    far.record.until("the message", |record| record.seqs(&room) == [2]).await;
}

async fn what_was_published_before_is_in_the_standing_or_delivered(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    for number in 0..30 {
        let room = room(&format!("chat:{number}"));
        let mut last = 0;
        for _ in 0..number % 4 {
            last = near.say(&room, "x").await.seq;
        }
        far.open(&room).await;
        let standing = far.record.opened(&room)[0].seq;
        let delivered = far.record.seqs(&room).last().copied().unwrap_or(standing);
        assert!(delivered >= last, "{room} is at {delivered}, {last} was answered before");
    }
}

async fn opening_under_load_neither_loses_nor_doubles(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let rooms = rooms_of_one_lane(6);
    let over = AtomicBool::new(false);
    let load = async {
        let mut published = vec![0; rooms.len()];
        while !over.load(Ordering::SeqCst) {
            let broker = near.cluster().broker;
            let batch =
                rooms.iter().flat_map(|room| (0..5).map(|_| broker.publish(message(room, "x")).wait()));
            for (index, receipt) in join_all(batch.collect::<Vec<_>>()).await.into_iter().enumerate() {
                published[index / 5] = receipt.unwrap().seq;
            }
            tokio::task::yield_now().await;
        }
        published
    };
    let opening = async {
        for room in &rooms {
            far.open(room).await;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        over.store(true, Ordering::SeqCst);
    };
    let (published, ()) = tokio::join!(load, opening);
    for (room, last) in rooms.iter().zip(published) {
        far.level(room).await;
        let opened = far.record.opened(room)[0].seq;
        assert_eq!(far.record.seqs(room), (opened + 1..=last).collect::<Vec<_>>());
    }
}

/// The recorder's own check is what decides here.
async fn opening_and_closing_under_load_neither_loses_nor_doubles(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let rooms = rooms_of_one_lane(3);
    let over = AtomicBool::new(false);
    let load = async {
        while !over.load(Ordering::SeqCst) {
            let broker = near.cluster().broker;
            let batch = rooms.iter().map(|room| broker.publish(message(room, "x")).wait());
            assert!(join_all(batch.collect::<Vec<_>>()).await.iter().all(Result::is_ok));
            tokio::task::yield_now().await;
        }
    };
    let turning = async {
        for turn in 0..40 {
            for room in &rooms {
                far.open(room).await;
                if turn % 3 != 0 {
                    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                }
                far.close(room);
            }
        }
        for room in &rooms {
            far.open(room).await;
        }
        over.store(true, Ordering::SeqCst);
    };
    tokio::join!(load, turning);
    for room in &rooms {
        far.level(room).await;
        let head = near.read(room, Range::Latest).await.standing.seq;
        let last = far.record.seqs(room).last().copied();
        assert_eq!(last.max(far.record.opened(room).last().map(|standing| standing.seq)), Some(head));
    }
}

async fn nothing_comes_after_a_room_was_closed(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let rooms = rooms_of_one_lane(2);
    far.open(&rooms[0]).await;
    far.open(&rooms[1]).await;
    let broker = near.cluster().broker;
    let publications: Vec<_> = (0..100).map(|_| broker.publish(message(&rooms[0], "x")).wait()).collect();
    far.close(&rooms[0]);
    join_all(publications).await;
    near.say(&rooms[1], "x").await;
    far.record.until("the other room's", |record| record.seqs(&rooms[1]) == [1]).await;
    let all = far.record.all();
    let closed = all.iter().position(|given| *given == Given::Closed(rooms[0].clone())).unwrap();
    let of_closed = |given: &&Given| match given {
        Given::Message(message) => message.room == rooms[0],
        Given::Verified(room, _) | Given::Broken(room, _) | Given::Opened(room, _) => *room == rooms[0],
        _ => false,
    };
    assert_eq!(all[closed..].iter().find(of_closed), None);
}

async fn a_room_closed_while_it_opens_stays_closed(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    for room in rooms_of_one_lane(10) {
        let broker = far.cluster().broker;
        let opening = broker.open(&room);
        far.close(&room);
        // Whether it was opened first is open; that it is over is not.
        let _ = super::stage::limited("opening to end", opening.wait()).await;
        near.say(&room, "x").await;
        far.open(&room).await;
        near.say(&room, "y").await;
        far.level(&room).await;
        assert_eq!(far.record.seqs(&room), [2]);
        far.close(&room);
    }
}

async fn a_closed_room_opens_again_where_it_stands_then(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    far.open(&room).await;
    near.say(&room, "x").await;
    far.record.until("the first", |record| record.seqs(&room) == [1]).await;
    far.close(&room);
    near.say(&room, "x").await;
    near.say(&room, "x").await;
    far.open(&room).await;
    assert_eq!(far.record.opened(&room).last().unwrap().seq, 3);
    near.say(&room, "x").await;
    far.record.until("the fourth", |record| record.seqs(&room) == [1, 4]).await;
}

async fn closing_what_is_not_open_does_nothing(stage: &mut Stage) {
    let (near, _) = stage.two().await;
    let room = room("chat:a");
    near.close(&room);
    near.close(&room);
    near.open(&room).await;
    near.say(&room, "x").await;
    near.record.until("the message", |record| record.seqs(&room) == [1]).await;
}

async fn when_level_everything_before_has_been_delivered(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    far.open(&room).await;
    for number in 1..=20 {
        let receipt = near.say(&room, "x").await;
        far.level(&room).await;
        assert_eq!(far.record.seqs(&room).last(), Some(&receipt.seq), "the message before call {number}");
    }
}

async fn level_says_how_far_it_is_verified(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let rooms = rooms_of_one_lane(2);
    far.open(&rooms[0]).await;
    near.say(&rooms[0], "x").await;
    for _ in 0..10 {
        near.say(&rooms[1], "elsewhere in the lane").await;
    }
    let head = near.read(&rooms[1], Range::Latest).await.standing.lane;
    far.level(&rooms[0]).await;
    assert!(far.record.verified(&rooms[0]).unwrap() >= head);
}

async fn level_of_a_room_without_messages_is_verified(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    far.open(&room).await;
    far.level(&room).await;
    assert!(far.record.verified(&room).is_some());
    near.say(&room, "x").await;
    far.record.until("the first", |record| record.seqs(&room) == [1]).await;
}

async fn what_is_verified_is_no_older_than_what_was_published(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let rooms = rooms_of_one_lane(3);
    for room in &rooms {
        far.open(room).await;
    }
    for turn in 0..10 {
        let room = &rooms[turn % 3];
        near.say(room, "x").await;
        far.level(room).await;
        let last = far.record.messages(room).last().unwrap().at;
        assert!(far.record.verified(room).unwrap() >= last);
    }
}

async fn many_rooms_are_followed_at_once(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let rooms: Vec<_> = (0..200).map(|number| room(&format!("chat:{number}"))).collect();
    join_all(rooms.iter().map(|room| far.open(room))).await;
    let broker = near.cluster().broker;
    let publications =
        rooms.iter().flat_map(|room| (0..3).map(|_| broker.publish(message(room, "x")).wait()));
    assert!(join_all(publications.collect::<Vec<_>>()).await.iter().all(Result::is_ok));
    for room in &rooms {
        far.record.until("three a room", |record| record.seqs(room) == [1, 2, 3]).await;
    }
}

async fn another_nodes_rooms_are_its_own(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    near.open(&room).await;
    far.open(&room).await;
    far.close(&room);
    near.say(&room, "x").await;
    near.record.until("the message", |record| record.seqs(&room) == [1]).await;
    near.level(&room).await;
    assert!(far.record.messages(&room).is_empty());
}

async fn a_node_that_opens_later_agrees_with_one_that_opened_before(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    near.open(&room).await;
    for _ in 0..10 {
        near.say(&room, "x").await;
    }
    far.open(&room).await;
    for _ in 0..10 {
        far.say(&room, "x").await;
    }
    near.level(&room).await;
    far.level(&room).await;
    let late = far.record.messages(&room);
    assert_eq!(late.len(), 10);
    assert_eq!(near.record.messages(&room)[10..], late[..]);
    let page = far.read(&room, Range::AfterSeq(0)).await;
    assert_eq!(page.continuity, Continuity::Whole);
    assert_eq!(page.messages, near.record.messages(&room));
}
