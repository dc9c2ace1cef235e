//! `Broker::rooms`.

use std::collections::BTreeMap;

use super::stage::{Node, limited};
use super::{Stage, cases, on_every_ground, room};

on_every_ground! {
    all_rooms_are_listed_with_their_standings
    pages_list_every_room
    no_rooms_are_one_empty_page
}

async fn listed(node: &Node, max: usize) -> BTreeMap<String, u64> {
    let (mut rooms, mut cursor) = (BTreeMap::new(), String::new());
    loop {
        let page =
            limited("a page of rooms", node.cluster().broker.rooms(&cursor, max).wait()).await.unwrap();
        rooms.extend(page.0.into_iter().map(|(room, standing)| (room.as_str().to_owned(), standing.seq)));
        match page.1 {
            Some(next) => cursor = next,
            None => return rooms,
        }
    }
}

async fn all_rooms_are_listed_with_their_standings(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let mut expected = BTreeMap::new();
    for number in 0..30 {
        let room = room(&format!("chat:{number}"));
        for _ in 0..=number % 3 {
            near.say(&room, "x").await;
        }
        expected.insert(room.as_str().to_owned(), number % 3 + 1);
    }
    assert_eq!(listed(&far, 1_000).await, expected);
}

async fn pages_list_every_room(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    for number in 0..100 {
        near.say(&room(&format!("chat:{number}")), "x").await;
    }
    for max in [1, 7, 100] {
        assert_eq!(listed(&far, max).await.len(), 100, "{max} a page");
    }
}

async fn no_rooms_are_one_empty_page(stage: &mut Stage) {
    let (near, _) = stage.two().await;
    assert_eq!(listed(&near, 10).await, BTreeMap::new());
}
