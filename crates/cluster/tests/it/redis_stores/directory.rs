//! Names: one owner at a time, and numbers that only rise.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use turnpike_cluster::{Claim, Claimed, QuotaLimit};

use super::stage::{Node, nodes, until};

fn claim(name: &str, lease_ms: u64) -> Claim {
    Claim { name: name.to_owned(), lease_ms, value: "at some place".to_owned(), over: None }
}

fn claimed<'a>(node: &'a Node, name: &str, lease_ms: u64) -> BoxFuture<'a, Claimed> {
    let claim = claim(name, lease_ms);
    async move { node.plane.directory.claim(&claim).wait().await.unwrap() }.boxed()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_claim_a_name_one_has_it() {
    let nodes = nodes(5).await;
    let claims = (0..50).map(|number| claimed(&nodes[number % 5], "stream:a", 30_000));
    let owners = join_all(claims).await;
    assert!(owners.iter().all(|owner| *owner == owners[0]), "{owners:?}");
    // A renewal keeps the number.
    let owner = nodes.iter().find(|node| node.own() == owners[0].owner).unwrap();
    assert_eq!(claimed(owner, "stream:a", 30_000).await.fence, owners[0].fence);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_owner_has_a_higher_number() {
    let nodes = nodes(2).await;
    let mut last = 0;
    for turn in 0..6 {
        let node = &nodes[turn % 2];
        // What is looked at is given back; what is not lapses.
        let lease_ms = if turn % 2 == 0 { 30_000 } else { 200 };
        let claimed = until("the name to be free", async || {
            let claimed = claimed(node, "stream:a", lease_ms).await;
            (claimed.owner == node.own()).then_some(claimed)
        })
        .await;
        assert!(claimed.fence > last);
        last = claimed.fence;
        let other = &nodes[(turn + 1) % 2];
        // Whoever has another's number gives nothing back.
        other.plane.directory.release("stream:a", last).wait().await.unwrap();
        if turn % 2 == 0 {
            assert_eq!(other.plane.directory.find("stream:a").wait().await.unwrap(), Some(claimed));
            node.plane.directory.release("stream:a", last).wait().await.unwrap();
            assert_eq!(other.plane.directory.find("stream:a").wait().await.unwrap(), None);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_has_every_name_once_in_pages_that_are_not_too_long() {
    let nodes = nodes(1).await;
    let names: Vec<String> = (0..300).map(|number| format!("stream:{number}")).collect();
    join_all(names.iter().map(|name| claimed(&nodes[0], name, 60_000))).await;
    for number in 0..50 {
        claimed(&nodes[0], &format!("lapsed:{number}"), 1).await;
    }
    claimed(&nodes[0], "streams", 60_000).await;
    let mut listed = Vec::new();
    let mut cursor = String::new();
    loop {
        let (page, next) = nodes[0].plane.directory.list("stream:", &cursor, 7).wait().await.unwrap();
        assert!(page.len() <= 7);
        assert!(next.is_none() || page.len() == 7);
        listed.extend(page.into_iter().map(|(name, _)| name));
        match next {
            Some(next) => cursor = next,
            None => break,
        }
    }
    let mut names = names;
    names.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, names);
    let (rest, _) = nodes[0].plane.directory.list("lapsed:", "", 100).wait().await.unwrap();
    assert_eq!(rest, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_a_dead_node_are_free_before_their_lease_is_over() {
    let mut nodes = nodes(2).await;
    let dead = nodes.pop().unwrap();
    assert_eq!(claimed(&dead, "stream:a", 600_000).await.owner, dead.own());
    let (name, day, gone) = ("kept:a", 24 * 3_600_000, dead.own());
    assert_eq!(claimed(&dead, name, day).await.owner, gone);
    drop(dead);
    until("the name to be free", async || {
        (claimed(&nodes[0], "stream:a", 1_000).await.owner == nodes[0].own()).then_some(())
    })
    .await;
    // What is claimed for a day is to be found when its node is gone.
    assert_eq!(claimed(&nodes[0], name, day).await.owner, gone);
    let found = nodes[0].plane.directory.find(name).wait().await.unwrap();
    assert_eq!(found.map(|found| found.owner), Some(gone));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_together_are_granted_no_more_than_there_is() {
    let nodes = nodes(3).await;
    let limit = QuotaLimit { burst: 100, per_second: 0.0 };
    let takes = (0..60).map(|number| nodes[number % 3].plane.quota.take("user:a", 7, &limit).wait());
    let granted: u64 = join_all(takes).await.into_iter().map(Result::unwrap).sum();
    // Of an answer that was lost, and asked for again, nobody has anything.
    let calls: u64 = nodes.iter().map(|node| node.commands("turnpike_quota_take")).sum();
    assert!(granted == 100 || (granted < 100 && calls > 60), "{granted} in {calls} calls");
    nodes[0].plane.quota.give_back("user:a", 5, &limit).wait().await.unwrap();
    assert!(nodes[1].plane.quota.take("user:a", 50, &limit).wait().await.unwrap() >= 5);

    let refilled = QuotaLimit { burst: 10, per_second: 100.0 };
    assert_eq!(nodes[0].plane.quota.take("user:b", 50, &refilled).wait().await.unwrap(), 10);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(nodes[0].plane.quota.take("user:b", 50, &refilled).wait().await.unwrap(), 10, "never above");
}
