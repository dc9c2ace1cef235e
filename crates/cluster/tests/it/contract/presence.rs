//! `Presence`: rows of nodes, the versions in which they change, and their end.

use std::collections::BTreeSet;

use serde_json::value::RawValue;
use turnpike_cluster::{Change, Incarnation, PresenceDelta, Roster, Row, RowKey, Signal, Status};
use turnpike_wire::RoomId;

use super::stage::{Node, eventually, limited};
use super::{Stage, cases, on_every_ground, on_several_nodes, room, user};

on_every_ground! {
    a_row_is_there_when_it_was_written
    a_row_changes_and_goes
    rows_of_one_user_are_one_a_device
    a_room_without_rows_is_empty
    rows_belong_to_their_room
    a_node_is_told_of_its_own_at_once_and_without_a_version
    versions_only_rise
    who_was_there_was_last_seen_when_the_last_row_went
    a_row_that_stands_in_no_way_changed_harms_nothing
    a_thousand_rows_in_one_call
}

on_several_nodes! {
    changes_are_told_to_every_node_in_the_order_of_their_version
    the_told_and_the_read_agree
    rows_belong_to_the_node_that_wrote_them
    rows_of_a_dead_node_go_and_all_are_told
    rows_of_a_node_that_left_go
}

fn key(who: &str, device: &str) -> RowKey {
    RowKey { user: user(who), device: device.into() }
}

fn row(status: Status) -> Row {
    Row { status, activity: None }
}

fn there(who: &str, device: &str, status: Status) -> Change {
    Change { key: key(who, device), row: Some(row(status)) }
}

fn gone(who: &str, device: &str) -> Change {
    Change { key: key(who, device), row: None }
}

async fn apply(node: &Node, room: &RoomId, changes: Vec<Change>) {
    limited("a change", node.cluster().presence.apply(room, changes).wait()).await.unwrap();
}

async fn read(node: &Node, room: &RoomId) -> Roster {
    limited("a roster", node.cluster().presence.read(room).wait()).await.unwrap()
}

fn own(node: &Node) -> Incarnation {
    node.cluster().membership.own()
}

/// Written so that it can be compared, whatever the order.
fn written(roster: &Roster) -> BTreeSet<String> {
    roster.rows.iter().map(|row| format!("{row:?}")).collect()
}

fn deltas(node: &Node, room: &RoomId) -> Vec<PresenceDelta> {
    let delta = |signal| match signal {
        Signal::Presence(delta) => Some(delta),
        _ => None,
    };
    node.record.signals(room).into_iter().filter_map(delta).collect()
}

async fn a_row_is_there_when_it_was_written(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    let activity = RawValue::from_string(r#"{"playing":"chess","é":[1,null]}"#.to_owned()).unwrap();
    let row = Row { status: Status::Busy, activity: Some(activity) };
    apply(&near, &room, vec![Change { key: key("alice", "phone"), row: Some(row.clone()) }]).await;
    let roster = read(&far, &room).await;
    assert_eq!(roster.rows, [(own(&near), key("alice", "phone"), row)]);
}

async fn a_row_changes_and_goes(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    for status in [Status::Online, Status::Away, Status::Invisible] {
        apply(&near, &room, vec![there("alice", "phone", status)]).await;
        assert_eq!(read(&far, &room).await.rows, [(own(&near), key("alice", "phone"), row(status))]);
    }
    apply(&near, &room, vec![gone("alice", "phone")]).await;
    assert!(read(&far, &room).await.rows.is_empty());
}

async fn rows_of_one_user_are_one_a_device(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    apply(&near, &room, vec![there("alice", "phone", Status::Away), there("alice", "", Status::Online)])
        .await;
    assert_eq!(read(&far, &room).await.rows.len(), 2);
    apply(&near, &room, vec![gone("alice", "phone")]).await;
    assert_eq!(read(&far, &room).await.rows, [(own(&near), key("alice", ""), row(Status::Online))]);
}

async fn a_room_without_rows_is_empty(stage: &mut Stage) {
    let (near, _) = stage.two().await;
    assert!(read(&near, &room("chat:never")).await.rows.is_empty());
    apply(&near, &room("chat:a"), Vec::new()).await;
    apply(&near, &room("chat:a"), vec![gone("alice", "phone")]).await;
    assert!(read(&near, &room("chat:a")).await.rows.is_empty());
}

async fn rows_belong_to_their_room(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let rooms = super::stage::rooms_of_one_lane(2);
    apply(&near, &rooms[0], vec![there("alice", "phone", Status::Online)]).await;
    apply(&near, &rooms[1], vec![there("bob", "phone", Status::Online)]).await;
    apply(&near, &rooms[1], vec![gone("alice", "phone")]).await;
    assert_eq!(read(&far, &rooms[0]).await.rows[0].1, key("alice", "phone"));
    assert_eq!(read(&far, &rooms[1]).await.rows[0].1, key("bob", "phone"));
}

async fn a_node_is_told_of_its_own_at_once_and_without_a_version(stage: &mut Stage) {
    let (near, _) = stage.two().await;
    let room = room("chat:a");
    near.open(&room).await;
    let applied = near.cluster().presence.apply(&room, vec![there("alice", "phone", Status::Online)]);
    let expected = PresenceDelta {
        incarnation: own(&near),
        version: None,
        gone: false,
        rows: vec![(key("alice", "phone"), Some(row(Status::Online)))],
    };
    // Before the store has answered.
    assert_eq!(deltas(&near, &room).first(), Some(&expected));
    limited("the store's answer", applied.wait()).await.unwrap();
}

async fn versions_only_rise(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    let mut version = read(&far, &room).await.version;
    for number in 0..20 {
        let (node, device) = if number % 2 == 0 { (&near, "even") } else { (&far, "odd") };
        let change =
            if number % 4 < 2 { there("alice", device, Status::Online) } else { gone("alice", device) };
        apply(node, &room, vec![change]).await;
        let now = read(&near, &room).await.version;
        assert!(now > version, "{now} after {version}");
        version = now;
    }
    assert_eq!(read(&near, &room).await.version, version, "reading is no change");
}

async fn who_was_there_was_last_seen_when_the_last_row_went(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    let seen = async |node: &Node| {
        limited("an answer", node.cluster().presence.last_seen(&room, &user("alice")).wait()).await.unwrap()
    };
    let now =
        || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    assert_eq!(seen(&near).await, None);
    apply(&near, &room, vec![there("alice", "phone", Status::Online)]).await;
    apply(&far, &room, vec![there("alice", "desk", Status::Online)]).await;
    apply(&near, &room, vec![gone("alice", "phone")]).await;
    let before = now();
    apply(&far, &room, vec![gone("alice", "desk")]).await;
    let at = seen(&near).await.expect("she was there");
    assert!((before - 1_000..=now() + 1_000).contains(&at), "{at} is not about {before}");
}

async fn a_row_that_stands_in_no_way_changed_harms_nothing(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    for _ in 0..3 {
        apply(&near, &room, vec![there("alice", "phone", Status::Online)]).await;
    }
    assert_eq!(read(&far, &room).await.rows.len(), 1);
}

async fn a_thousand_rows_in_one_call(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    let changes = (0..1_000).map(|number| there(&format!("user-{number}"), "phone", Status::Online));
    apply(&near, &room, changes.collect()).await;
    assert_eq!(read(&far, &room).await.rows.len(), 1_000);
}

async fn changes_are_told_to_every_node_in_the_order_of_their_version(stage: &mut Stage) {
    let all = stage.all().await;
    let room = room("chat:a");
    for node in &all {
        node.open(&room).await;
    }
    let version = read(&all[0], &room).await.version;
    for number in 0..30 {
        let node = &all[number % all.len()];
        apply(node, &room, vec![there(&format!("user-{number}"), "phone", Status::Online)]).await;
    }
    for node in &all {
        let foreign = |record: &super::recorder::Recorder| {
            let of_others =
                |signal: &Signal| matches!(signal, Signal::Presence(delta) if delta.version.is_some());
            record.signals(&room).into_iter().filter(of_others).collect::<Vec<_>>()
        };
        let last = |record: &super::recorder::Recorder| match foreign(record).last() {
            Some(Signal::Presence(delta)) => delta.version,
            _ => None,
        };
        // The last is told with its version to all but possibly the node that wrote it.
        node.record.until("nearly all changes", |record| last(record) >= Some(version + 29)).await;
        let versions: Vec<u64> = deltas(node, &room).iter().filter_map(|delta| delta.version).collect();
        assert!(versions.is_sorted_by(|one, next| one < next), "{versions:?}");
    }
}

async fn the_told_and_the_read_agree(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    far.open(&room).await;
    for number in 0..40 {
        let device = format!("d{}", number % 7);
        let change =
            if number % 3 == 2 { gone("alice", &device) } else { there("alice", &device, Status::Online) };
        apply(&near, &room, vec![change]).await;
    }
    let roster = read(&near, &room).await;
    far.record
        .until("the last version", |record| {
            record.signals(&room).iter().any(
                |signal| matches!(signal, Signal::Presence(delta) if delta.version == Some(roster.version)),
            )
        })
        .await;
    let mut told = std::collections::BTreeMap::new();
    for delta in deltas(&far, &room) {
        for (key, row) in delta.rows {
            match row {
                Some(row) => drop(told.insert(key, (delta.incarnation, row))),
                None => drop(told.remove(&key)),
            }
        }
    }
    let told: BTreeSet<String> =
        told.into_iter().map(|(key, (node, row))| format!("{:?}", (node, key, row))).collect();
    assert_eq!(told, written(&roster));
}

async fn rows_belong_to_the_node_that_wrote_them(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    apply(&near, &room, vec![there("alice", "phone", Status::Away)]).await;
    apply(&far, &room, vec![there("alice", "phone", Status::Online)]).await;
    let both = read(&near, &room).await;
    assert_eq!(both.rows.len(), 2, "one each: {both:?}");
    apply(&far, &room, vec![gone("alice", "phone")]).await;
    assert_eq!(read(&near, &room).await.rows, [(own(&near), key("alice", "phone"), row(Status::Away))]);
}

async fn rows_of_a_dead_node_go_and_all_are_told(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    far.open(&room).await;
    apply(&near, &room, vec![there("alice", "phone", Status::Online), there("bob", "phone", Status::Online)])
        .await;
    apply(&far, &room, vec![there("carol", "phone", Status::Online)]).await;
    let dead = own(&near);
    near.kill();
    let left =
        eventually("the rows to go", async || read(&far, &room).await, |roster| roster.rows.len() == 1).await;
    assert_eq!(left.rows[0].1, key("carol", "phone"));
    far.record
        .until("word of it", |record| {
            record.signals(&room).iter().any(|signal| {
                matches!(signal, Signal::Presence(delta) if delta.gone && delta.incarnation == dead && delta.version.is_some())
            })
        })
        .await;
}

async fn rows_of_a_node_that_left_go(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    apply(&near, &room, vec![there("alice", "phone", Status::Online)]).await;
    limited("a node to leave", near.cluster().membership.leave().wait()).await.unwrap();
    eventually("the rows to go", async || read(&far, &room).await, |roster| roster.rows.is_empty()).await;
}
