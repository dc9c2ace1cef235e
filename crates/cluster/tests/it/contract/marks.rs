//! `Marks`: how far users and devices have got.

use futures_util::future::join_all;
use turnpike_cluster::{Mark, Signal};
use turnpike_wire::RoomId;

use super::stage::{Node, limited};
use super::{Stage, cases, on_every_ground, on_what_lasts, room, user};

on_every_ground! {
    a_mark_is_there_when_it_was_raised
    marks_only_rise
    marks_are_never_beyond_the_head
    read_is_never_more_than_received
    only_those_who_have_a_mark_are_answered
    what_moved_is_told_and_nothing_else
    marks_raised_everywhere_at_once_end_at_the_highest
    marks_belong_to_their_room
    a_cursor_is_there_when_it_was_advanced
    cursors_only_rise
    cursors_are_never_beyond_the_head
    cursors_are_one_a_device
}

on_what_lasts! {
    marks_and_cursors_outlive_the_node
}

fn mark(who: &str, received: u64, read: u64) -> Mark {
    Mark { user: user(who), received, read }
}

async fn raise(node: &Node, room: &RoomId, marks: Vec<Mark>) {
    limited("marks to be raised", node.cluster().marks.mark(room, marks).wait()).await.unwrap();
}

async fn marks(node: &Node, room: &RoomId, who: &[&str]) -> Vec<Mark> {
    let users: Vec<_> = who.iter().map(|name| user(name)).collect();
    let mut marks = limited("marks", node.cluster().marks.marks(room, &users).wait()).await.unwrap();
    marks.sort_by(|one, other| one.user.cmp(&other.user));
    marks
}

async fn advance(node: &Node, who: &str, device: &str, seq: u64) {
    limited("a cursor to advance", node.cluster().marks.advance(&user(who), device, seq).wait())
        .await
        .unwrap();
}

async fn cursor(node: &Node, who: &str, device: &str) -> Option<u64> {
    limited("a cursor", node.cluster().marks.cursor(&user(who), device).wait()).await.unwrap()
}

async fn room_of(node: &Node, name: &str, messages: usize) -> RoomId {
    let room = room(name);
    for _ in 0..messages {
        node.say(&room, "x").await;
    }
    room
}

async fn a_mark_is_there_when_it_was_raised(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room_of(&near, "chat:a", 10).await;
    raise(&near, &room, vec![mark("alice", 7, 3), mark("bob", 10, 10)]).await;
    assert_eq!(marks(&far, &room, &["alice", "bob"]).await, [mark("alice", 7, 3), mark("bob", 10, 10)]);
}

async fn marks_only_rise(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room_of(&near, "chat:a", 10).await;
    raise(&near, &room, vec![mark("alice", 7, 3)]).await;
    for (low, expected) in [
        (mark("alice", 5, 3), mark("alice", 7, 3)),
        (mark("alice", 0, 0), mark("alice", 7, 3)),
        (mark("alice", 8, 1), mark("alice", 8, 3)),
        (mark("alice", 8, 5), mark("alice", 8, 5)),
        (mark("alice", 2, 2), mark("alice", 8, 5)),
    ] {
        raise(&far, &room, vec![low]).await;
        assert_eq!(marks(&near, &room, &["alice"]).await, [expected]);
    }
}

async fn marks_are_never_beyond_the_head(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room_of(&near, "chat:a", 5).await;
    raise(
        &far,
        &room,
        vec![mark("alice", 6, 6), mark("bob", u64::MAX, u64::MAX), mark("carol", (1 << 53) - 1, 4)],
    )
    .await;
    let found = marks(&near, &room, &["alice", "bob", "carol"]).await;
    assert!(found.iter().all(|mark| mark.received <= 5 && mark.read <= mark.received), "{found:?}");
    // What it was asked for beyond is not made good when the room gets there.
    near.say(&room, "x").await;
    let found = marks(&near, &room, &["alice", "bob", "carol"]).await;
    assert!(found.iter().all(|mark| mark.received <= 5), "{found:?}");
}

async fn read_is_never_more_than_received(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room_of(&near, "chat:a", 10).await;
    for (received, read) in [(2, 7), (0, 9), (3, 4), (10, 10)] {
        raise(&near, &room, vec![mark("alice", received, read)]).await;
        let found = marks(&far, &room, &["alice"]).await;
        assert!(found.iter().all(|mark| mark.read <= mark.received), "{found:?}");
    }
    assert_eq!(marks(&far, &room, &["alice"]).await, [mark("alice", 10, 10)]);
}

async fn only_those_who_have_a_mark_are_answered(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room_of(&near, "chat:a", 3).await;
    raise(&near, &room, vec![mark("alice", 3, 0)]).await;
    assert_eq!(marks(&far, &room, &["bob", "alice"]).await, [mark("alice", 3, 0)]);
    assert_eq!(marks(&far, &room, &["bob"]).await, []);
    assert_eq!(marks(&far, &room, &[]).await, []);
}

async fn what_moved_is_told_and_nothing_else(stage: &mut Stage) {
    let all = stage.all().await;
    let room = room_of(&all[0], "chat:a", 10).await;
    for node in &all {
        node.open(&room).await;
    }
    raise(&all[0], &room, vec![mark("alice", 5, 5), mark("bob", 5, 2)]).await;
    raise(&all[0], &room, vec![mark("alice", 4, 4), mark("bob", 6, 2)]).await;
    raise(&all[0], &room, vec![mark("alice", 5, 5)]).await;
    raise(&all[0], &room, vec![mark("carol", 1, 0)]).await;
    for node in &all {
        let told = |record: &super::recorder::Recorder| -> Vec<Mark> {
            let marks = record.signals(&room).into_iter().filter_map(|signal| match signal {
                Signal::Marks(marks) => Some(marks),
                _ => None,
            });
            marks.flatten().collect()
        };
        node.record.until("the last mark", |record| told(record).contains(&mark("carol", 1, 0))).await;
        let mut told = told(&node.record);
        told[..2].sort_by(|one, other| one.user.cmp(&other.user));
        assert_eq!(told, [mark("alice", 5, 5), mark("bob", 5, 2), mark("bob", 6, 2), mark("carol", 1, 0)]);
    }
}

async fn marks_raised_everywhere_at_once_end_at_the_highest(stage: &mut Stage) {
    let all = stage.all().await;
    let room = room_of(&all[0], "chat:a", 40).await;
    let raising = (0..=40u64)
        .map(|seq| raise(&all[seq as usize % all.len()], &room, vec![mark("alice", 40 - seq, seq)]));
    join_all(raising.collect::<Vec<_>>()).await;
    let found = marks(&all[0], &room, &["alice"]).await;
    assert_eq!(found[0].received, 40);
    assert!(found[0].read <= 40 && found[0].read >= 20, "{found:?}");
}

async fn marks_belong_to_their_room(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let one = room_of(&near, "chat:a", 5).await;
    let other = room_of(&near, "chat:b", 5).await;
    raise(&near, &one, vec![mark("alice", 5, 5)]).await;
    assert_eq!(marks(&far, &other, &["alice"]).await, []);
}

async fn a_cursor_is_there_when_it_was_advanced(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    room_of(&near, "user:alice", 10).await;
    assert_eq!(cursor(&near, "alice", "phone").await, None);
    advance(&near, "alice", "phone", 7).await;
    assert_eq!(cursor(&far, "alice", "phone").await, Some(7));
}

async fn cursors_only_rise(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    room_of(&near, "user:alice", 10).await;
    for (to, expected) in [(4, 4), (2, 4), (0, 4), (9, 9), (9, 9)] {
        advance(&far, "alice", "phone", to).await;
        assert_eq!(cursor(&near, "alice", "phone").await, Some(expected));
    }
}

async fn cursors_are_never_beyond_the_head(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    room_of(&near, "user:alice", 3).await;
    for beyond in [4, u64::MAX] {
        advance(&far, "alice", "phone", beyond).await;
        assert!(cursor(&near, "alice", "phone").await.unwrap_or(0) <= 3);
    }
    // Otherwise the next message would never reach the device.
    near.say(&room("user:alice"), "x").await;
    assert!(cursor(&near, "alice", "phone").await.unwrap_or(0) <= 3);
}

async fn cursors_are_one_a_device(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    room_of(&near, "user:alice", 10).await;
    room_of(&near, "user:bob", 10).await;
    advance(&near, "alice", "phone", 3).await;
    advance(&near, "alice", "desk", 5).await;
    advance(&near, "bob", "phone", 8).await;
    assert_eq!(cursor(&far, "alice", "phone").await, Some(3));
    assert_eq!(cursor(&far, "alice", "desk").await, Some(5));
    assert_eq!(cursor(&far, "bob", "phone").await, Some(8));
    assert_eq!(cursor(&far, "bob", "desk").await, None);
    // A device is not a mark of the room, whatever it is called.
    assert_eq!(marks(&far, &room("user:alice"), &["alice", "phone", "desk"]).await, []);
}

async fn marks_and_cursors_outlive_the_node(stage: &mut Stage) {
    let node = stage.node().await;
    let room = room_of(&node, "user:alice", 10).await;
    raise(&node, &room, vec![mark("alice", 7, 3)]).await;
    advance(&node, "alice", "phone", 4).await;
    node.kill();
    drop(node);
    let again = stage.node().await;
    assert_eq!(marks(&again, &room, &["alice"]).await, [mark("alice", 7, 3)]);
    assert_eq!(cursor(&again, "alice", "phone").await, Some(4));
}
