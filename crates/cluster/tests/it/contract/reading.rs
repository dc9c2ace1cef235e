//! `Broker::read`: ranges, pages and their limits.

use turnpike_cluster::{Continuity, LanePosition, Page, Range};
use turnpike_wire::Position;

use super::stage::{Node, message, rooms_of_one_lane, texts};
use super::{Stage, cases, on_every_ground, room};

on_every_ground! {
    a_room_that_never_was_is_empty_and_whole
    the_latest_come_oldest_first
    what_is_after_a_position
    what_is_after_a_place_of_the_lane
    what_is_after_a_number
    what_is_before_a_number
    nothing_is_after_the_head
    pages_forward_give_everything_once
    pages_backward_give_everything_once
    any_number_is_found_in_a_long_room
    one_message_is_read_however_large
    bytes_bound_a_page
    everything_published_before_is_in_the_page
    a_page_is_whole_under_load
    the_standing_knows_the_lane
}

async fn filled(stage: &mut Stage, count: usize) -> (std::sync::Arc<Node>, turnpike_wire::RoomId) {
    let (near, far) = stage.two().await;
    let rooms = rooms_of_one_lane(2);
    for number in 1..=count {
        near.say(&rooms[0], &number.to_string()).await;
        if number % 3 == 0 {
            near.say(&rooms[1], "elsewhere in the lane").await;
        }
    }
    (far, rooms[0].clone())
}

fn seqs(page: &Page) -> Vec<u64> {
    page.messages.iter().map(|message| message.seq).collect()
}

async fn a_room_that_never_was_is_empty_and_whole(stage: &mut Stage) {
    let (near, _) = stage.two().await;
    let room = room("chat:never");
    let epoch = near.read(&room, Range::Latest).await.standing.epoch;
    for range in [
        Range::Latest,
        Range::AfterSeq(0),
        Range::Before(u64::MAX),
        Range::Before(0),
        Range::After(Position { epoch, seq: 0 }),
    ] {
        let page = near.read(&room, range).await;
        assert!(page.messages.is_empty() && !page.more, "{range:?}: {page:?}");
        assert_eq!(page.continuity, Continuity::Whole, "{range:?}");
        assert_eq!(
            (page.standing.seq, page.standing.pos, page.standing.epoch),
            (0, 0, page.standing.lane.epoch)
        );
    }
}

async fn the_latest_come_oldest_first(stage: &mut Stage) {
    let (node, room) = filled(stage, 10).await;
    let page = node.read_up_to(&room, Range::Latest, 4, 1 << 20).await;
    assert_eq!((seqs(&page), page.more), (vec![7, 8, 9, 10], true));
    assert_eq!(texts(&page.messages), ["7", "8", "9", "10"]);
    let page = node.read(&room, Range::Latest).await;
    assert_eq!((seqs(&page), page.more), ((1..=10).collect(), false));
    assert_eq!(page.continuity, Continuity::Whole);
}

async fn what_is_after_a_position(stage: &mut Stage) {
    let (node, room) = filled(stage, 10).await;
    let epoch = node.read(&room, Range::Latest).await.standing.epoch;
    for seq in 0..=10 {
        let page = node.read(&room, Range::After(Position { epoch, seq })).await;
        assert_eq!((seqs(&page), page.more), ((seq + 1..=10).collect(), false));
        assert_eq!(page.continuity, Continuity::Whole, "after {seq}");
    }
}

async fn what_is_after_a_place_of_the_lane(stage: &mut Stage) {
    let (node, room) = filled(stage, 10).await;
    let all = node.read(&room, Range::Latest).await;
    let from = LanePosition { epoch: all.messages[0].at.epoch, pos: 0 };
    for pos in 0..=all.standing.lane.pos {
        let page = node.read(&room, Range::AfterLane(LanePosition { pos, ..from })).await;
        let expected: Vec<u64> =
            all.messages.iter().filter(|message| message.at.pos > pos).map(|message| message.seq).collect();
        assert_eq!((seqs(&page), page.continuity), (expected, Continuity::Whole), "after {pos}");
    }
    let page = node.read_up_to(&room, Range::AfterLane(from), 3, 1 << 20).await;
    assert_eq!((seqs(&page), page.more), (vec![1, 2, 3], true));
}

async fn what_is_after_a_number(stage: &mut Stage) {
    let (node, room) = filled(stage, 10).await;
    let page = node.read_up_to(&room, Range::AfterSeq(4), 3, 1 << 20).await;
    assert_eq!((seqs(&page), page.more), (vec![5, 6, 7], true));
    let page = node.read(&room, Range::AfterSeq(7)).await;
    assert_eq!((seqs(&page), page.more), (vec![8, 9, 10], false));
}

async fn what_is_before_a_number(stage: &mut Stage) {
    let (node, room) = filled(stage, 10).await;
    let page = node.read_up_to(&room, Range::Before(8), 3, 1 << 20).await;
    assert_eq!((seqs(&page), page.more), (vec![5, 6, 7], true));
    let page = node.read_up_to(&room, Range::Before(4), 3, 1 << 20).await;
    assert_eq!((seqs(&page), page.more), (vec![1, 2, 3], false));
    let page = node.read(&room, Range::Before(1)).await;
    assert_eq!((seqs(&page), page.more), (vec![], false));
    let page = node.read_up_to(&room, Range::Before(1_000_000), 2, 1 << 20).await;
    assert_eq!((seqs(&page), page.more), (vec![9, 10], true));
}

async fn nothing_is_after_the_head(stage: &mut Stage) {
    let (node, room) = filled(stage, 10).await;
    let standing = node.read(&room, Range::Latest).await.standing;
    for range in [
        Range::After(Position { epoch: standing.epoch, seq: 10 }),
        Range::AfterSeq(10),
        Range::AfterLane(LanePosition { epoch: standing.epoch, pos: standing.pos }),
        Range::AfterLane(standing.lane),
    ] {
        let page = node.read(&room, range).await;
        assert_eq!((seqs(&page), page.more), (vec![], false), "{range:?}");
        assert_eq!(page.continuity, Continuity::Whole, "{range:?}");
        assert_eq!(page.standing, standing);
    }
}

async fn pages_forward_give_everything_once(stage: &mut Stage) {
    let (node, room) = filled(stage, 50).await;
    let epoch = node.read(&room, Range::Latest).await.standing.epoch;
    let (mut read, mut at) = (Vec::new(), 0);
    loop {
        let page = node.read_up_to(&room, Range::After(Position { epoch, seq: at }), 7, 1 << 20).await;
        assert_eq!(page.continuity, Continuity::Whole);
        read.extend(seqs(&page));
        at = *read.last().unwrap();
        if !page.more {
            break;
        }
        assert_eq!(page.messages.len(), 7);
    }
    assert_eq!(read, (1..=50).collect::<Vec<_>>());
}

async fn pages_backward_give_everything_once(stage: &mut Stage) {
    let (node, room) = filled(stage, 50).await;
    let mut page = node.read_up_to(&room, Range::Latest, 7, 1 << 20).await;
    let mut read = seqs(&page);
    while page.more {
        page = node.read_up_to(&room, Range::Before(read[0]), 7, 1 << 20).await;
        read.splice(0..0, seqs(&page));
    }
    assert_eq!(read, (1..=50).collect::<Vec<_>>());
}

/// The room's messages lie unevenly among those of its lane.
async fn any_number_is_found_in_a_long_room(stage: &mut Stage) {
    const COUNT: u64 = 200;
    let (near, far) = stage.two().await;
    let rooms = rooms_of_one_lane(2);
    let broker = near.cluster().broker;
    let mut published = Vec::new();
    for number in 0..COUNT {
        let between = if number % 37 == 5 { 60 } else { number % 3 };
        for _ in 0..between {
            published.push(broker.publish(message(&rooms[1], "elsewhere in the lane")).wait());
        }
        published.push(broker.publish(message(&rooms[0], "here")).wait());
    }
    for published in futures_util::future::join_all(published).await {
        published.unwrap();
    }
    for number in 1..=COUNT {
        let page = far.read_up_to(&rooms[0], Range::AfterSeq(number), 3, 1 << 20).await;
        let expected: Vec<u64> = (number + 1..=COUNT).take(3).collect();
        assert_eq!((seqs(&page), page.more), (expected, number + 3 < COUNT), "after {number}");
        let page = far.read_up_to(&rooms[0], Range::Before(number), 3, 1 << 20).await;
        let expected: Vec<u64> = (number.saturating_sub(3).max(1)..number).collect();
        assert_eq!((seqs(&page), page.more), (expected, number > 4), "before {number}");
    }
}

async fn one_message_is_read_however_large(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    for text in ["small", &"large".repeat(20_000), "small"] {
        near.say(&room, text).await;
    }
    for (range, expected) in
        [(Range::AfterSeq(1), 2), (Range::Before(3), 2), (Range::Latest, 3), (Range::AfterSeq(0), 1)]
    {
        for (messages_max, bytes_max) in [(10, 1), (1, 1 << 20), (10, 0)] {
            let page = far.read_up_to(&room, range, messages_max, bytes_max).await;
            assert_eq!(seqs(&page), [expected], "{range:?}, {messages_max} messages, {bytes_max} bytes");
            assert!(page.more);
        }
    }
}

async fn bytes_bound_a_page(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    // No two alike, so that compressing them saves nothing.
    let text = |number: u32| {
        (0..3_000u32)
            .map(|at| char::from(33 + (at.wrapping_mul(0x9e37_79b1 ^ number) >> 20) as u8 % 90))
            .collect::<String>()
    };
    for number in 0..20 {
        near.say(&room, &text(number)).await;
    }
    for range in [Range::AfterSeq(0), Range::Latest, Range::Before(21)] {
        let page = far.read_up_to(&room, range, 100, 20_000).await;
        assert!((3..=7).contains(&page.messages.len()), "{range:?}: {}", page.messages.len());
        assert!(page.more);
        let last = if range == Range::AfterSeq(0) { page.messages.len() as u64 } else { 20 };
        assert_eq!(page.messages.last().unwrap().seq, last);
    }
}

async fn everything_published_before_is_in_the_page(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    for number in 1..=50 {
        let receipt = near.say(&room, "x").await;
        assert_eq!(receipt.seq, number);
        let page = far.read_up_to(&room, Range::Latest, 1, 1 << 20).await;
        assert_eq!((page.standing.seq, page.messages[0].seq), (number, number));
    }
}

async fn a_page_is_whole_under_load(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    let load = async {
        for _ in 0..20 {
            let broker = near.cluster().broker;
            let batch: Vec<_> = (0..20).map(|_| broker.publish(message(&room, "x")).wait()).collect();
            futures_util::future::join_all(batch).await;
        }
    };
    let reading = async {
        let mut last = 0;
        while last < 400 {
            // An answer that is at hand at once leaves nobody else the time to publish.
            tokio::task::yield_now().await;
            for range in [Range::Latest, Range::AfterSeq(last)] {
                let page = far.read(&room, range).await;
                assert!(
                    page.messages.is_sorted_by(|one, next| one.seq + 1 == next.seq),
                    "a hole: {:?}",
                    seqs(&page)
                );
                assert_eq!(
                    page.messages.last().map_or(page.standing.seq, |message| message.seq),
                    page.standing.seq
                );
                assert!(page.standing.seq >= last, "it went back");
                last = page.standing.seq;
            }
        }
    };
    tokio::join!(load, super::stage::limited("the readers to see it all", reading));
}

async fn the_standing_knows_the_lane(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let rooms = rooms_of_one_lane(2);
    near.say(&rooms[0], "x").await;
    let before = far.read(&rooms[0], Range::Latest).await.standing;
    assert_eq!(before.pos, before.lane.pos);
    near.say(&rooms[1], "x").await;
    let after = far.read(&rooms[0], Range::Latest).await.standing;
    assert_eq!((after.epoch, after.seq, after.pos), (before.epoch, before.seq, before.pos));
    assert!(after.lane > before.lane);
}
