//! `Broker::read`: a history reaches back to a known point, and what is beyond it is told.

use turnpike_cluster::{Continuity, LanePosition, Range};
use turnpike_wire::Position;

use super::stage::{message, texts};
use super::{Stage, cases, on_every_ground, on_what_lasts, room};

on_every_ground! {
    what_is_no_longer_kept_is_gone_and_never_a_hole
    from_where_history_begins_it_is_whole
    before_what_is_kept_there_is_nothing_more
    a_place_of_an_epoch_that_never_was_is_not_whole
    a_place_beyond_the_head_is_not_whole
    another_rooms_trimming_takes_nothing
}

on_what_lasts! {
    a_place_before_the_node_came_back_is_whole
}

async fn trimmed(stage: &mut Stage) -> (std::sync::Arc<super::stage::Node>, turnpike_wire::RoomId, u64) {
    stage.terms.room_messages_max = 20;
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    // Far beyond the bound: how exactly it is kept is the implementation's.
    for _ in 0..20 {
        let broker = near.cluster().broker;
        let batch: Vec<_> = (0..50).map(|_| broker.publish(message(&room, "x")).wait()).collect();
        assert!(futures_util::future::join_all(batch).await.iter().all(Result::is_ok));
    }
    let page = far.read(&room, Range::Latest).await;
    assert_eq!(page.standing.seq, 1_000);
    let first = page.messages[0].seq;
    assert!(first > 1 && page.messages.len() >= 20, "nothing was trimmed, or too much: {first}");
    (far, room, first)
}

async fn what_is_no_longer_kept_is_gone_and_never_a_hole(stage: &mut Stage) {
    let (node, room, first) = trimmed(stage).await;
    let standing = node.read(&room, Range::Latest).await.standing;
    let epoch = standing.epoch;
    for range in [
        Range::After(Position { epoch, seq: 0 }),
        Range::After(Position { epoch, seq: first - 2 }),
        Range::AfterLane(LanePosition { epoch, pos: 0 }),
    ] {
        let page = node.read(&room, range).await;
        assert_eq!(page.continuity, Continuity::Gone, "{range:?}");
        assert_eq!(
            page.messages.first().map(|message| message.seq),
            Some(first),
            "{range:?}: the rest is given"
        );
        assert!(page.messages.is_sorted_by(|one, next| one.seq + 1 == next.seq));
        assert_eq!(page.messages.last().map(|message| message.seq), Some(1_000));
    }
    // Who asks for a number whatever was before gets what there is.
    let page = node.read(&room, Range::AfterSeq(0)).await;
    assert_eq!(page.messages[0].seq, first);
}

async fn from_where_history_begins_it_is_whole(stage: &mut Stage) {
    let (node, room, first) = trimmed(stage).await;
    let page = node.read(&room, Range::Latest).await;
    let epoch = page.standing.epoch;
    for range in [
        Range::After(Position { epoch, seq: first - 1 }),
        Range::After(Position { epoch, seq: first }),
        Range::AfterLane(page.messages[0].at),
        Range::After(Position { epoch, seq: 1_000 }),
    ] {
        let page = node.read(&room, range).await;
        assert_eq!(page.continuity, Continuity::Whole, "{range:?}");
        assert_eq!(page.messages.last().map_or(1_000, |message| message.seq), 1_000);
    }
}

async fn before_what_is_kept_there_is_nothing_more(stage: &mut Stage) {
    let (node, room, first) = trimmed(stage).await;
    let page = node.read(&room, Range::Before(first)).await;
    assert!(page.messages.is_empty() && !page.more, "{page:?}");
    let page = node.read_up_to(&room, Range::Before(first + 5), 10, 1 << 20).await;
    assert_eq!(
        page.messages.iter().map(|message| message.seq).collect::<Vec<_>>(),
        (first..first + 5).collect::<Vec<_>>()
    );
    assert!(!page.more);
}

async fn a_place_of_an_epoch_that_never_was_is_not_whole(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    for _ in 0..5 {
        near.say(&room, "x").await;
    }
    let epoch = far.read(&room, Range::Latest).await.standing.epoch;
    for range in [
        Range::After(Position { epoch: 1, seq: 3 }),
        Range::After(Position { epoch: epoch - 1, seq: 3 }),
        Range::After(Position { epoch: epoch + 1, seq: 3 }),
        Range::AfterLane(LanePosition { epoch: epoch + 1, pos: 3 }),
        Range::AfterLane(LanePosition { epoch: 1, pos: 3 }),
    ] {
        let page = far.read(&room, range).await;
        assert_ne!(page.continuity, Continuity::Whole, "{range:?}");
    }
}

async fn a_place_beyond_the_head_is_not_whole(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    for _ in 0..5 {
        near.say(&room, "x").await;
    }
    let standing = far.read(&room, Range::Latest).await.standing;
    for range in [
        Range::After(Position { epoch: standing.epoch, seq: 9 }),
        Range::AfterLane(LanePosition { pos: standing.lane.pos + 9, ..standing.lane }),
    ] {
        let page = far.read(&room, range).await;
        assert_ne!(page.continuity, Continuity::Whole, "{range:?}");
        assert!(page.messages.is_empty() || page.messages[0].seq <= 6, "{range:?}");
    }
}

async fn another_rooms_trimming_takes_nothing(stage: &mut Stage) {
    stage.terms.room_messages_max = 20;
    let (near, far) = stage.two().await;
    let rooms = super::stage::rooms_of_one_lane(2);
    near.say(&rooms[0], "first").await;
    for _ in 0..10 {
        let broker = near.cluster().broker;
        let batch: Vec<_> = (0..50).map(|_| broker.publish(message(&rooms[1], "x")).wait()).collect();
        futures_util::future::join_all(batch).await;
    }
    let epoch = far.read(&rooms[0], Range::Latest).await.standing.epoch;
    let page = far.read(&rooms[0], Range::AfterLane(LanePosition { epoch, pos: 0 })).await;
    assert_eq!((texts(&page.messages), page.continuity), (vec!["first".to_owned()], Continuity::Whole));
}

async fn a_place_before_the_node_came_back_is_whole(stage: &mut Stage) {
    let node = stage.node().await;
    let room = room("chat:a");
    for _ in 0..5 {
        node.say(&room, "before").await;
    }
    let third = node.read(&room, Range::Latest).await.messages[2].clone();
    node.kill();
    drop(node);
    let again = stage.node().await;
    again.say(&room, "after").await;
    for range in
        [Range::After(Position { epoch: third.at.epoch, seq: third.seq }), Range::AfterLane(third.at)]
    {
        let page = again.read(&room, range).await;
        assert_eq!(texts(&page.messages), ["before", "before", "after"], "{range:?}");
        assert_eq!(page.continuity, Continuity::Whole, "{range:?}");
    }
}
