//! `Directory`: which node owns a name.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use turnpike_cluster::{Claim, Claimed, Over};

use super::stage::{Node, eventually, limited};
use super::{Stage, cases, on_every_ground, on_several_nodes};

on_every_ground! {
    a_claimed_name_is_found
    a_claim_is_renewed_by_its_owner
    a_name_that_was_given_back_is_free
    the_next_owner_has_a_higher_fence
    only_the_claim_that_holds_is_given_back
    a_claim_ends_with_its_lease
    a_renewed_claim_does_not_end
    names_are_listed_by_their_prefix
}

on_several_nodes! {
    another_nodes_claim_is_not_taken_away
    of_several_claimants_one_gets_it
    after_the_lease_another_may_have_it
    fences_rise_whoever_owns
    who_is_known_to_be_dead_is_not_waited_for
}

const LONG_MS: u64 = 60_000;

async fn claim(node: &Node, name: &str, lease_ms: u64, value: &str) -> Claimed {
    let claim = Claim { name: name.to_owned(), lease_ms, value: value.to_owned(), over: None };
    limited("a claim", node.cluster().directory.claim(&claim).wait()).await.unwrap()
}

async fn who_is_known_to_be_dead_is_not_waited_for(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let first = claim(&near, "live:a", LONG_MS, "one").await;
    let claim_over = async |owner, unrenewed_ms| {
        let (name, value, over) = ("live:a".to_owned(), "two".to_owned(), Some(Over { owner, unrenewed_ms }));
        let claim = Claim { name, lease_ms: LONG_MS, value, over };
        limited("a claim", far.cluster().directory.claim(&claim).wait()).await.unwrap()
    };
    let own = far.cluster().membership.own();
    assert_eq!(claim_over(own, 0).await.owner, first.owner, "of somebody else it says nothing");
    assert_eq!(claim_over(first.owner, LONG_MS).await.owner, first.owner, "it was renewed since");
    let second = claim_over(first.owner, 0).await;
    assert_eq!((second.owner, second.fence > first.fence), (own, true));
    assert_eq!(claim(&near, "live:a", LONG_MS, "three").await, second, "who was there after all is told");
}

async fn release(node: &Node, name: &str, fence: u64) {
    limited("a release", node.cluster().directory.release(name, fence).wait()).await.unwrap();
}

async fn find(node: &Node, name: &str) -> Option<Claimed> {
    limited("a name", node.cluster().directory.find(name).wait()).await.unwrap()
}

async fn a_claimed_name_is_found(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    assert_eq!(find(&near, "live:a").await, None);
    let claimed = claim(&near, "live:a", LONG_MS, r#"{"address":"é"}"#).await;
    assert_eq!((claimed.owner, &*claimed.value), (near.cluster().membership.own(), r#"{"address":"é"}"#));
    assert_eq!(find(&far, "live:a").await, Some(claimed));
    assert_eq!(find(&far, "live:b").await, None);
}

async fn a_claim_is_renewed_by_its_owner(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let first = claim(&near, "live:a", LONG_MS, "one").await;
    let again = claim(&near, "live:a", LONG_MS, "two").await;
    assert_eq!((again.owner, again.fence, &*again.value), (first.owner, first.fence, "two"));
    assert_eq!(find(&far, "live:a").await, Some(again));
}

async fn a_name_that_was_given_back_is_free(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let claimed = claim(&near, "live:a", LONG_MS, "x").await;
    release(&near, "live:a", claimed.fence).await;
    assert_eq!(find(&far, "live:a").await, None);
    assert_eq!(claim(&far, "live:a", LONG_MS, "x").await.owner, far.cluster().membership.own());
}

async fn the_next_owner_has_a_higher_fence(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let mut fence = 0;
    for number in 0..6 {
        let node = if number % 2 == 0 { &near } else { &far };
        let claimed = claim(node, "live:a", LONG_MS, "x").await;
        assert!(claimed.fence > fence, "{} after {fence}", claimed.fence);
        fence = claimed.fence;
        release(node, "live:a", fence).await;
    }
}

async fn only_the_claim_that_holds_is_given_back(stage: &mut Stage) {
    let (near, _) = stage.two().await;
    let first = claim(&near, "live:a", LONG_MS, "x").await;
    release(&near, "live:a", first.fence).await;
    let second = claim(&near, "live:a", LONG_MS, "y").await;
    release(&near, "live:a", first.fence).await;
    release(&near, "live:b", second.fence).await;
    assert_eq!(find(&near, "live:a").await, Some(second));
}

async fn a_claim_ends_with_its_lease(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    claim(&near, "live:a", 300, "x").await;
    eventually("the claim to end", async || find(&far, "live:a").await, Option::is_none).await;
}

async fn a_renewed_claim_does_not_end(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let first = claim(&near, "live:a", 2_000, "x").await;
    let start = tokio::time::Instant::now();
    let mut last = start;
    while start.elapsed() < std::time::Duration::from_secs(3) {
        let found = find(&far, "live:a").await;
        // A machine that stood still meanwhile has shown nothing.
        assert!(
            found.as_ref() == Some(&first) || last.elapsed() > std::time::Duration::from_millis(1_900),
            "{found:?}"
        );
        claim(&near, "live:a", 2_000, "x").await;
        last = tokio::time::Instant::now();
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

async fn names_are_listed_by_their_prefix(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let mut expected = BTreeMap::new();
    for number in 0..40 {
        let node = if number % 2 == 0 { &near } else { &far };
        let name = format!("live:{number}");
        expected.insert(name.clone(), claim(node, &name, LONG_MS, "x").await.owner);
        claim(node, &format!("vod:{number}"), LONG_MS, "x").await;
    }
    let given_back = claim(&near, "live:free", LONG_MS, "x").await;
    release(&near, "live:free", given_back.fence).await;
    for max in [1, 7, 1_000] {
        let (mut names, mut cursor) = (BTreeMap::new(), String::new());
        loop {
            let page = near.cluster().directory.list("live:", &cursor, max);
            let (page, next) = limited("a page of names", page.wait()).await.unwrap();
            names.extend(page.into_iter().map(|(name, claimed)| (name, claimed.owner)));
            match next {
                Some(next) => cursor = next,
                None => break,
            }
        }
        assert_eq!(names, expected, "{max} a page");
    }
}

async fn another_nodes_claim_is_not_taken_away(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let first = claim(&near, "live:a", LONG_MS, "near").await;
    assert_eq!(claim(&far, "live:a", LONG_MS, "far").await, first);
    release(&far, "live:a", first.fence + 1).await;
    assert_eq!(find(&far, "live:a").await, Some(first));
}

async fn of_several_claimants_one_gets_it(stage: &mut Stage) {
    let all = stage.all().await;
    for number in 0..20 {
        let name = format!("live:{number}");
        let answers = join_all(all.iter().map(|node| claim(node, &name, LONG_MS, "x"))).await;
        let owners: BTreeSet<_> = answers.iter().map(|claimed| (claimed.owner, claimed.fence)).collect();
        assert_eq!(owners.len(), 1, "{owners:?}");
    }
}

async fn after_the_lease_another_may_have_it(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let first = claim(&near, "live:a", 300, "near").await;
    let own = far.cluster().membership.own();
    let second = eventually(
        "the other to get it",
        async || claim(&far, "live:a", LONG_MS, "far").await,
        |claimed| claimed.owner == own,
    )
    .await;
    assert!(second.fence > first.fence);
    // The late owner learns it, and cannot give back what is not its own.
    assert_eq!(claim(&near, "live:a", LONG_MS, "near").await, second);
    release(&near, "live:a", first.fence).await;
    assert_eq!(find(&near, "live:a").await, Some(second));
}

async fn fences_rise_whoever_owns(stage: &mut Stage) {
    let all = stage.all().await;
    let mut fence = 0;
    for turn in 0..9 {
        let node = &all[turn % all.len()];
        let own = node.cluster().membership.own();
        let lease_ms = if turn % 2 == 0 { 200 } else { LONG_MS };
        let claimed = eventually(
            "a claim",
            async || claim(node, "live:a", lease_ms, "x").await,
            |claimed| claimed.owner == own,
        )
        .await;
        assert!(claimed.fence > fence, "{} after {fence}", claimed.fence);
        fence = claimed.fence;
        if lease_ms == LONG_MS {
            release(node, "live:a", fence).await;
        }
    }
}
