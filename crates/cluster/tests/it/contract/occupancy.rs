//! `Occupancy`: which rooms somebody is in, and who reports it.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use turnpike_cluster::Turn;
use turnpike_wire::RoomId;

use super::stage::{Node, eventually, limited};
use super::{Stage, cases, on_every_ground, on_several_nodes, room};

on_every_ground! {
    a_room_is_occupied_once_and_vacated_once
    a_change_is_owed_until_it_is_told
    who_comes_back_before_it_is_told_has_a_later_turn
}

on_several_nodes! {
    a_room_is_occupied_as_long_as_one_node_has_somebody_there
    of_several_nodes_one_reports
    what_the_dead_said_holds_no_more
    what_the_dead_owe_another_reports
    a_dead_node_vacates_nothing_that_others_are_in
}

async fn enter(node: &Node, room: &RoomId) -> Option<Turn> {
    limited("to enter", node.cluster().occupancy.enter(room).wait()).await.unwrap()
}

async fn leave(node: &Node, room: &RoomId) -> Option<Turn> {
    limited("to leave", node.cluster().occupancy.leave(room).wait()).await.unwrap()
}

async fn told(node: &Node, room: &RoomId, turn: Turn) {
    limited("to tell", node.cluster().occupancy.told(room, turn).wait()).await.unwrap();
}

async fn take_over(node: &Node) -> Vec<(RoomId, Turn)> {
    limited("to take over", node.cluster().occupancy.take_over().wait()).await.unwrap()
}

async fn a_room_is_occupied_once_and_vacated_once(stage: &mut Stage) {
    let node = stage.node().await;
    let (a, b) = (room("a"), room("b"));
    let mut last = 0;
    for _ in 0..3 {
        let occupied = enter(&node, &a).await.unwrap();
        assert!(occupied.occupied && occupied.number > last, "{occupied:?} after {last}");
        told(&node, &a, occupied).await;
        assert_eq!(enter(&node, &a).await, None, "it was told");
        assert!(enter(&node, &b).await.is_some());
        let vacated = leave(&node, &a).await.unwrap();
        assert!(!vacated.occupied && vacated.number > occupied.number);
        told(&node, &a, vacated).await;
        let of_b = leave(&node, &b).await.unwrap();
        told(&node, &b, of_b).await;
        last = vacated.number;
    }
    assert_eq!(take_over(&node).await, []);
}

async fn a_change_is_owed_until_it_is_told(stage: &mut Stage) {
    let node = stage.node().await;
    let a = room("a");
    let occupied = enter(&node, &a).await.unwrap();
    assert_eq!(enter(&node, &a).await, Some(occupied), "said again, because the answer was lost");
    told(&node, &a, Turn { number: occupied.number - 1, ..occupied }).await;
    assert_eq!(enter(&node, &a).await, Some(occupied), "another was told");
    told(&node, &a, occupied).await;
    let vacated = leave(&node, &a).await.unwrap();
    assert_eq!(leave(&node, &a).await, Some(vacated));
    told(&node, &a, vacated).await;
}

async fn who_comes_back_before_it_is_told_has_a_later_turn(stage: &mut Stage) {
    let node = stage.node().await;
    let a = room("a");
    let first = enter(&node, &a).await.unwrap();
    let vacated = leave(&node, &a).await.unwrap();
    let second = enter(&node, &a).await.unwrap();
    assert!(second.occupied && second.number > vacated.number && vacated.number > first.number);
    // Late, and no longer the last word.
    told(&node, &a, first).await;
    told(&node, &a, vacated).await;
    assert_eq!(enter(&node, &a).await, Some(second));
}

async fn a_room_is_occupied_as_long_as_one_node_has_somebody_there(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let a = room("a");
    let occupied = enter(&near, &a).await.unwrap();
    told(&near, &a, occupied).await;
    assert_eq!(enter(&far, &a).await, None);
    assert_eq!(leave(&near, &a).await, None);
    assert_eq!(enter(&near, &a).await, None);
    assert_eq!(leave(&far, &a).await, None);
    let vacated = leave(&near, &a).await.unwrap();
    assert!(!vacated.occupied && vacated.number > occupied.number);
    // Before the near one has told it.
    let again = enter(&far, &a).await.unwrap();
    assert!(again.occupied && again.number > vacated.number);
    told(&near, &a, vacated).await;
    assert_eq!(enter(&far, &a).await, Some(again));
}

async fn of_several_nodes_one_reports(stage: &mut Stage) {
    let all = stage.all().await;
    for number in 0..10 {
        let name = room(&format!("r{number}"));
        for change in [true, false] {
            let turns =
                join_all(all.iter().map(async |node| {
                    if change { enter(node, &name).await } else { leave(node, &name).await }
                }));
            let turns: Vec<Turn> = turns.await.into_iter().flatten().collect();
            assert_eq!(turns.len(), 1, "{turns:?}");
            assert_eq!(turns[0].occupied, change);
        }
    }
}

async fn what_the_dead_said_holds_no_more(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let names: BTreeSet<RoomId> = (0..300).map(|number| room(&format!("r{number}"))).collect();
    for name in &names {
        let occupied = enter(&far, name).await.unwrap();
        told(&far, name, occupied).await;
    }
    assert_eq!(take_over(&near).await, [], "it lives");
    far.kill();
    let mut vacated = BTreeSet::new();
    eventually(
        "the rooms to be vacated",
        async || {
            for (name, turn) in take_over(&near).await {
                assert!(!turn.occupied && vacated.insert(name.clone()), "{name} twice");
                told(&near, &name, turn).await;
            }
            vacated.len()
        },
        |count| *count == names.len(),
    )
    .await;
    assert_eq!(vacated, names);
    assert_eq!(take_over(&near).await, []);
}

async fn what_the_dead_owe_another_reports(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let (a, b) = (room("a"), room("b"));
    let occupied = enter(&far, &a).await.unwrap();
    assert_eq!(enter(&near, &a).await, None, "the other is to report it");
    let entered = enter(&far, &b).await.unwrap();
    told(&far, &b, entered).await;
    let vacated = leave(&far, &b).await.unwrap();
    far.kill();
    let mut owed = Vec::new();
    eventually(
        "the debts to be taken over",
        async || {
            owed.extend(take_over(&near).await);
            owed.len()
        },
        |count| *count == 2,
    )
    .await;
    owed.sort_by(|(one, _), (other, _)| one.cmp(other));
    assert_eq!(owed, [(a.clone(), occupied), (b.clone(), vacated)], "the same turns");
    told(&near, &a, occupied).await;
    told(&near, &b, vacated).await;
    assert!(leave(&near, &a).await.is_some_and(|turn| !turn.occupied));
}

async fn a_dead_node_vacates_nothing_that_others_are_in(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let (a, b) = (room("a"), room("b"));
    for name in [&a, &b] {
        let occupied = enter(&far, name).await.unwrap();
        told(&far, name, occupied).await;
    }
    assert_eq!(enter(&near, &a).await, None);
    far.kill();
    eventually(
        "the other room to be vacated",
        async || take_over(&near).await,
        |found| match &found[..] {
            [] => false,
            [(name, turn)] => *name == b && !turn.occupied,
            more => panic!("{more:?}"),
        },
    )
    .await;
    assert!(leave(&near, &a).await.is_some_and(|turn| !turn.occupied));
}
