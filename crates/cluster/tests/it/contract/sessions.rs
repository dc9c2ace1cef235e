//! `Sessions`: who may return, and which node has them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use turnpike_cluster::{
    Base, BaseId, Control, LANES, LanePosition, RoomRecord, SessionId, SessionRecord, Taken,
};

use super::stage::{Node, eventually, limited};
use super::{Stage, cases, on_every_ground, on_several_nodes, on_what_lasts, room, user};

on_every_ground! {
    a_record_comes_back_as_it_was_put
    the_latest_record_is_the_one_that_is_taken
    there_is_no_session_that_was_never_put
    who_takes_its_own_is_not_told
    a_removed_record_is_gone
    a_removed_record_can_be_put_again
    a_base_comes_back_as_it_was_put
    there_is_no_base_that_was_never_put
    records_outlive_the_process_or_nothing_is_kept_of_them
}

on_several_nodes! {
    who_takes_a_record_has_it_and_the_other_is_told
    of_several_takers_one_gets_it_from_its_owner
    what_was_taken_cannot_be_put_by_its_earlier_owner
    what_was_taken_cannot_be_removed_by_its_earlier_owner
    a_put_that_races_with_a_take_is_refused_or_taken
    who_lost_a_record_may_take_it_back
    bases_are_everybodys
    a_record_outlives_its_dead_node
    a_record_of_a_dead_node_goes_after_the_window
}

on_what_lasts! {
    what_lasts_says_so
}

fn record(name: &str, pos: u64) -> SessionRecord {
    let at = |pos| LanePosition { epoch: 1_790_000_000_000, pos };
    SessionRecord {
        user: user(name),
        identity: r#"{"role":"user","é":"\u0000"}"#.into(),
        rooms: vec![
            RoomRecord { room: room("chat:a"), joined: at(pos), presence: true },
            RoomRecord { room: room("user:alice"), joined: at((1 << 53) - 1), presence: false },
        ],
    }
}

fn id(name: &str) -> SessionId {
    name.into()
}

async fn put(node: &Node, id: &SessionId, record: &SessionRecord) -> bool {
    limited("a record to be put", node.cluster().sessions.put(id, record).wait()).await.unwrap()
}

async fn take(node: &Node, id: &SessionId) -> Option<Taken> {
    limited("a record to be taken", node.cluster().sessions.take(id).wait()).await.unwrap()
}

async fn remove(node: &Node, id: &SessionId) {
    limited("a record to be removed", node.cluster().sessions.remove(id).wait()).await.unwrap();
}

fn own(node: &Node) -> turnpike_cluster::Incarnation {
    node.cluster().membership.own()
}

/// Where nothing needs to be put, nothing is asked for either.
async fn keeping(stage: &mut Stage) -> Option<(Arc<Node>, Arc<Node>)> {
    let (near, far) = stage.two().await;
    near.cluster().sessions.outlive_the_process().then_some((near, far))
}

async fn a_record_comes_back_as_it_was_put(stage: &mut Stage) {
    let Some((near, far)) = keeping(stage).await else { return };
    assert!(put(&near, &id("c1"), &record("alice", 7)).await);
    let taken = take(&far, &id("c1")).await.unwrap();
    assert_eq!(taken, Taken { record: record("alice", 7), from: own(&near) });
}

async fn the_latest_record_is_the_one_that_is_taken(stage: &mut Stage) {
    let Some((near, far)) = keeping(stage).await else { return };
    for pos in 0..10 {
        assert!(put(&near, &id("c1"), &record("alice", pos)).await);
    }
    assert_eq!(take(&far, &id("c1")).await.unwrap().record, record("alice", 9));
}

async fn there_is_no_session_that_was_never_put(stage: &mut Stage) {
    let (near, _) = stage.two().await;
    assert_eq!(take(&near, &id("never")).await, None);
    // Nor has asking made one.
    assert_eq!(take(&near, &id("never")).await, None);
}

async fn who_takes_its_own_is_not_told(stage: &mut Stage) {
    let Some((near, _)) = keeping(stage).await else { return };
    put(&near, &id("c1"), &record("alice", 1)).await;
    assert_eq!(take(&near, &id("c1")).await.unwrap().from, own(&near));
    near.level(&opened(&near).await).await;
    assert!(near.record.controls().is_empty());
}

/// Something that comes behind whatever was on the way.
async fn opened(node: &Node) -> turnpike_wire::RoomId {
    let room = room("chat:behind");
    node.open(&room).await;
    room
}

async fn a_removed_record_is_gone(stage: &mut Stage) {
    let Some((near, far)) = keeping(stage).await else { return };
    put(&near, &id("c1"), &record("alice", 1)).await;
    put(&near, &id("c2"), &record("bob", 1)).await;
    remove(&near, &id("c1")).await;
    remove(&near, &id("never")).await;
    assert_eq!(take(&far, &id("c1")).await, None);
    assert_eq!(take(&far, &id("c2")).await.unwrap().record, record("bob", 1));
}

async fn a_removed_record_can_be_put_again(stage: &mut Stage) {
    let Some((near, far)) = keeping(stage).await else { return };
    put(&near, &id("c1"), &record("alice", 1)).await;
    remove(&near, &id("c1")).await;
    assert!(put(&near, &id("c1"), &record("alice", 2)).await);
    assert_eq!(take(&far, &id("c1")).await.unwrap().record, record("alice", 2));
}

fn base() -> Base {
    Base(std::array::from_fn(|lane| LanePosition {
        epoch: (1 << 53) - 1 - lane as u64,
        pos: if lane == 0 { 0 } else { 1 << (lane * 3) },
    }))
}

async fn a_base_comes_back_as_it_was_put(stage: &mut Stage) {
    let Some((near, far)) = keeping(stage).await else { return };
    assert_eq!(base().0.len(), LANES);
    for number in [0, 1, u64::MAX] {
        limited("a base", near.cluster().sessions.put_base(BaseId(number), &base()).wait()).await.unwrap();
        let found = limited("a base", far.cluster().sessions.base(BaseId(number)).wait()).await.unwrap();
        assert_eq!(found, Some(base()));
    }
}

async fn there_is_no_base_that_was_never_put(stage: &mut Stage) {
    let (near, _) = stage.two().await;
    assert_eq!(limited("a base", near.cluster().sessions.base(BaseId(77)).wait()).await.unwrap(), None);
}

async fn records_outlive_the_process_or_nothing_is_kept_of_them(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let lasting = near.cluster().sessions.outlive_the_process();
    assert_eq!(far.cluster().sessions.outlive_the_process(), lasting);
}

async fn who_takes_a_record_has_it_and_the_other_is_told(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    put(&near, &id("c1"), &record("alice", 1)).await;
    take(&far, &id("c1")).await.unwrap();
    let told = [Control::Taken { session: id("c1") }];
    near.record.until("the word that it was taken", |record| record.controls() == told).await;
    assert!(far.record.controls().is_empty());
    assert!(put(&far, &id("c1"), &record("alice", 2)).await, "the taker has it");
}

async fn of_several_takers_one_gets_it_from_its_owner(stage: &mut Stage) {
    let all = stage.all().await;
    for number in 0..20 {
        let id = id(&format!("c{number}"));
        put(&all[0], &id, &record("alice", number)).await;
        let takers: Vec<_> = all[1..].iter().flat_map(|node| [node, node]).collect();
        let taken = join_all(takers.iter().map(|node| take(node, &id))).await;
        let from: Vec<_> = taken.iter().map(|taken| taken.as_ref().unwrap().from).collect();
        assert_eq!(from.iter().filter(|from| **from == own(&all[0])).count(), 1, "{from:?}");
        // The others have it from one who took it, and in the end it is one node's.
        assert!(from.iter().all(|from| all.iter().any(|node| own(node) == *from)));
        let mut owners = 0;
        for node in &all {
            owners += usize::from(put(node, &id, &record("alice", 99)).await);
        }
        assert_eq!(owners, 1);
    }
}

async fn what_was_taken_cannot_be_put_by_its_earlier_owner(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    put(&near, &id("c1"), &record("alice", 1)).await;
    take(&far, &id("c1")).await.unwrap();
    assert!(!put(&near, &id("c1"), &record("alice", 2)).await);
    assert_eq!(take(&far, &id("c1")).await.unwrap(), Taken { record: record("alice", 1), from: own(&far) });
}

async fn what_was_taken_cannot_be_removed_by_its_earlier_owner(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    put(&near, &id("c1"), &record("alice", 1)).await;
    take(&far, &id("c1")).await.unwrap();
    remove(&near, &id("c1")).await;
    assert!(take(&far, &id("c1")).await.is_some());
}

async fn a_put_that_races_with_a_take_is_refused_or_taken(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    for number in 0..40 {
        let id = id(&format!("c{number}"));
        let later = record("alice", 2);
        put(&near, &id, &record("alice", 1)).await;
        let (kept, taken) = tokio::join!(put(&near, &id, &later), take(&far, &id));
        let expected = record("alice", if kept { 2 } else { 1 });
        assert_eq!(taken.unwrap(), Taken { record: expected, from: own(&near) });
    }
}

async fn who_lost_a_record_may_take_it_back(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    put(&near, &id("c1"), &record("alice", 1)).await;
    take(&far, &id("c1")).await.unwrap();
    assert_eq!(take(&near, &id("c1")).await.unwrap().from, own(&far));
    assert!(put(&near, &id("c1"), &record("alice", 2)).await);
    assert!(!put(&far, &id("c1"), &record("alice", 3)).await);
    assert_eq!(take(&far, &id("c1")).await.unwrap().record, record("alice", 2));
}

async fn bases_are_everybodys(stage: &mut Stage) {
    let all = stage.all().await;
    for (index, node) in all.iter().enumerate() {
        limited("a base", node.cluster().sessions.put_base(BaseId(index as u64), &base()).wait())
            .await
            .unwrap();
    }
    all[0].kill();
    for node in &all[1..] {
        for index in 0..all.len() as u64 {
            let found = limited("a base", node.cluster().sessions.base(BaseId(index)).wait()).await.unwrap();
            assert_eq!(found, Some(base()));
        }
    }
}

async fn a_record_outlives_its_dead_node(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    put(&near, &id("c1"), &record("alice", 1)).await;
    let dead = own(&near);
    near.kill();
    let nodes = far.cluster().membership.nodes();
    eventually(
        "the node to be missed",
        async || nodes.borrow().clone(),
        |nodes| nodes.iter().all(|node| node.incarnation != dead),
    )
    .await;
    assert_eq!(take(&far, &id("c1")).await.unwrap(), Taken { record: record("alice", 1), from: dead });
}

async fn a_record_of_a_dead_node_goes_after_the_window(stage: &mut Stage) {
    stage.terms.recovery = Duration::from_secs(1);
    let (near, far) = stage.two().await;
    put(&near, &id("c1"), &record("alice", 1)).await;
    put(&near, &id("c2"), &record("alice", 1)).await;
    put(&far, &id("c3"), &record("bob", 1)).await;
    // What was taken before is not the dead node's any more.
    take(&far, &id("c2")).await.unwrap();
    near.kill();
    // Asking would take it, so each is asked for once: when the window must be over. Its node is buried after six seconds,
    // and who clears up behind it looks once a second, and then through a thousand buckets.
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(take(&far, &id("c1")).await, None);
    assert!(take(&far, &id("c2")).await.is_some());
    assert!(take(&far, &id("c3")).await.is_some());
}

async fn what_lasts_says_so(stage: &mut Stage) {
    let node = stage.node().await;
    if !node.cluster().sessions.outlive_the_process() {
        return;
    }
    put(&node, &id("c1"), &record("alice", 1)).await;
    limited("a base", node.cluster().sessions.put_base(BaseId(1), &base()).wait()).await.unwrap();
    let before = own(&node);
    node.kill();
    drop(node);
    let again = stage.node().await;
    assert_ne!(own(&again), before, "an incarnation was used twice");
    assert_eq!(take(&again, &id("c1")).await.unwrap(), Taken { record: record("alice", 1), from: before });
    let found = limited("a base", again.cluster().sessions.base(BaseId(1)).wait()).await.unwrap();
    assert_eq!(found, Some(base()));
}
