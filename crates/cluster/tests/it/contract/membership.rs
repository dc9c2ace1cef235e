//! `Membership`: which nodes live.

use std::collections::BTreeSet;
use std::time::Duration;

use turnpike_cluster::{Incarnation, Lease, RelayOffer};

use super::stage::{Node, eventually, limited};
use super::{Stage, cases, on_every_ground, on_several_nodes};

on_every_ground! {
    a_node_lives_and_holds_its_lease
    a_node_that_announces_its_drain_is_seen_to
    a_relay_that_is_offered_is_seen_by_all_until_it_is_not
    incarnations_are_never_used_twice
}

on_several_nodes! {
    all_nodes_see_each_other
    who_watches_is_told
    alone_a_node_that_leaves_is_gone_at_once
    alone_a_node_that_died_is_missed_within_its_lease_and_a_second
    a_drain_is_seen_by_all
}

fn own(node: &Node) -> Incarnation {
    node.cluster().membership.own()
}

async fn living(node: &Node, expected: &BTreeSet<Incarnation>) {
    let nodes = node.cluster().membership.nodes();
    let now = async || nodes.borrow().iter().map(|node| node.incarnation).collect::<BTreeSet<_>>();
    eventually("the nodes that live", now, |now| now == expected).await;
}

async fn a_node_lives_and_holds_its_lease(stage: &mut Stage) {
    for node in stage.all().await {
        let membership = node.cluster().membership;
        assert_eq!(*membership.lease().borrow(), Lease::Held);
        let nodes = membership.nodes();
        assert_eq!(nodes.borrow().iter().filter(|node| node.incarnation == membership.own()).count(), 1);
        assert!(nodes.borrow().iter().all(|node| !node.draining));
    }
}

async fn a_node_that_announces_its_drain_is_seen_to(stage: &mut Stage) {
    let (near, _) = stage.two().await;
    let membership = near.cluster().membership;
    let nodes = membership.nodes();
    for draining in [true, false] {
        limited("the announcement", membership.announce(draining).wait()).await.unwrap();
        let seen = async || {
            nodes.borrow().iter().find(|node| node.incarnation == own(&near)).map(|node| node.draining)
        };
        eventually("it to be seen", seen, |seen| *seen == Some(draining)).await;
    }
}

async fn a_relay_that_is_offered_is_seen_by_all_until_it_is_not(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let (offering, seeing) = (near.cluster().membership, far.cluster().membership.nodes());
    let seen = async || {
        let nodes = seeing.borrow();
        nodes.iter().find(|node| node.incarnation == own(&near)).map(|node| node.relay.clone())
    };
    let offer = RelayOffer { has_room: true, ..RelayOffer::default() };
    let full = RelayOffer {
        url: Some("https://relay.example".into()),
        link: Some("192.0.2.1:4433".parse().unwrap()),
        load_permille: 1_000,
        sessions: 7,
        sessions_max: 7,
        has_room: false,
        alone: true,
    };
    for relay in [Some(offer), Some(full), None] {
        limited("the offer", offering.offer(relay.clone()).wait()).await.unwrap();
        eventually("it to be seen", seen, |seen| *seen == Some(relay.clone())).await;
    }
}

async fn incarnations_are_never_used_twice(stage: &mut Stage) {
    let first = stage.node().await;
    let before = own(&first);
    first.kill();
    drop(first);
    assert_ne!(own(&*stage.node().await), before);
}

async fn all_nodes_see_each_other(stage: &mut Stage) {
    let all = stage.all().await;
    let expected = all.iter().map(|node| own(node)).collect();
    for node in &all {
        living(node, &expected).await;
    }
}

async fn who_watches_is_told(stage: &mut Stage) {
    let first = stage.node().await;
    let mut nodes = first.cluster().membership.nodes();
    let second = stage.node().await;
    let told = nodes.wait_for(|nodes| nodes.iter().any(|node| node.incarnation == own(&second)));
    limited("word of the second node", told).await.unwrap();
    second.kill();
    let told = nodes.wait_for(|nodes| nodes.len() == 1);
    limited("word of its end", told).await.unwrap();
}

async fn alone_a_node_that_leaves_is_gone_at_once(stage: &mut Stage) {
    let all = stage.all().await;
    let expected: BTreeSet<_> = all.iter().map(|node| own(node)).collect();
    for node in &all {
        living(node, &expected).await;
    }
    limited("a node to leave", all[0].cluster().membership.leave().wait()).await.unwrap();
    let left = tokio::time::Instant::now();
    let rest = all[1..].iter().map(|node| own(node)).collect();
    for node in &all[1..] {
        living(node, &rest).await;
    }
    // A lease that runs out takes three seconds.
    assert!(left.elapsed() < Duration::from_millis(2_500), "after {:?}", left.elapsed());
}

async fn alone_a_node_that_died_is_missed_within_its_lease_and_a_second(stage: &mut Stage) {
    let all = stage.all().await;
    let expected: BTreeSet<_> = all.iter().map(|node| own(node)).collect();
    for node in &all {
        living(node, &expected).await;
    }
    all[0].kill();
    let died = tokio::time::Instant::now();
    let rest = all[1..].iter().map(|node| own(node)).collect();
    for node in &all[1..] {
        living(node, &rest).await;
    }
    // A second more for a machine that is busy.
    assert!(died.elapsed() < Duration::from_secs(5), "after {:?}", died.elapsed());
    for node in &all[1..] {
        assert_eq!(*node.cluster().membership.lease().borrow(), Lease::Held);
    }
}

async fn a_drain_is_seen_by_all(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    limited("the announcement", near.cluster().membership.announce(true).wait()).await.unwrap();
    let mut nodes = far.cluster().membership.nodes();
    let seen =
        nodes.wait_for(|nodes| nodes.iter().any(|node| node.incarnation == own(&near) && node.draining));
    limited("it to be seen", seen).await.unwrap();
}
