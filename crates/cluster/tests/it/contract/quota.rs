//! `Quota`: all nodes together never give out more than there is.

use std::time::Duration;

use futures_util::future::join_all;
use turnpike_cluster::QuotaLimit;

use super::stage::{Node, limited};
use super::{Stage, cases, on_every_ground};

on_every_ground! {
    a_full_bucket_gives_its_burst_and_no_more
    what_is_left_is_given_when_more_is_wanted
    takers_at_the_same_time_never_get_more_than_there_is
    a_bucket_fills_with_time_and_no_faster
    a_bucket_never_holds_more_than_its_burst
    what_is_given_back_can_be_taken_again
    what_is_given_back_never_makes_more_than_the_burst
    keys_have_buckets_of_their_own
    nothing_wanted_is_nothing_taken
}

/// Fills so slowly that a test does not see it.
const STILL: QuotaLimit = QuotaLimit { burst: 100, per_second: 0.000_1 };

async fn take(node: &Node, key: &str, wanted: u64, limit: &QuotaLimit) -> u64 {
    limited("a grant", node.cluster().quota.take(key, wanted, limit).wait()).await.unwrap()
}

async fn give_back(node: &Node, key: &str, unused: u64, limit: &QuotaLimit) {
    limited("a return", node.cluster().quota.give_back(key, unused, limit).wait()).await.unwrap();
}

async fn a_full_bucket_gives_its_burst_and_no_more(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    assert_eq!(take(&near, "user:alice", 60, &STILL).await, 60);
    assert_eq!(take(&far, "user:alice", 40, &STILL).await, 40);
    assert_eq!(take(&near, "user:alice", 1, &STILL).await, 0);
}

async fn what_is_left_is_given_when_more_is_wanted(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    assert_eq!(take(&near, "user:alice", 90, &STILL).await, 90);
    assert_eq!(take(&far, "user:alice", u64::MAX, &STILL).await, 10);
}

async fn takers_at_the_same_time_never_get_more_than_there_is(stage: &mut Stage) {
    let all = stage.all().await;
    let takers = (0..60).map(|number| take(&all[number % all.len()], "user:alice", 7, &STILL));
    let granted = join_all(takers.collect::<Vec<_>>()).await;
    assert_eq!(granted.iter().sum::<u64>(), 100, "{granted:?}");
}

async fn a_bucket_fills_with_time_and_no_faster(stage: &mut Stage) {
    let all = stage.all().await;
    let limit = QuotaLimit { burst: 50, per_second: 100.0 };
    let start = tokio::time::Instant::now();
    let (mut granted, mut turns) = (0, 0);
    // What came meanwhile, but for what a full bucket could not hold.
    let (mut gained, mut last) = (50.0, start);
    while start.elapsed() < Duration::from_secs(1) || turns < 20 {
        granted += take(&all[turns % all.len()], "user:alice", 30, &limit).await;
        turns += 1;
        gained += (last.elapsed().as_secs_f64() * 100.0).min(50.0);
        last = tokio::time::Instant::now();
        // Counted after the grant, so it can only be too generous by what one call takes.
        let due = 50.0 + start.elapsed().as_secs_f64() * 100.0 + 2.0;
        assert!(granted as f64 <= due, "{granted} of {due} that were due");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(granted as f64 >= gained * 0.6, "only {granted} of {gained}");
}

async fn a_bucket_never_holds_more_than_its_burst(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let limit = QuotaLimit { burst: 5, per_second: 1_000.0 };
    take(&near, "user:alice", 5, &limit).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(take(&far, "user:alice", 1_000, &limit).await <= 5);
}

async fn what_is_given_back_can_be_taken_again(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    assert_eq!(take(&near, "user:alice", 100, &STILL).await, 100);
    give_back(&near, "user:alice", 30, &STILL).await;
    assert_eq!(take(&far, "user:alice", 100, &STILL).await, 30);
}

async fn what_is_given_back_never_makes_more_than_the_burst(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    take(&near, "user:alice", 10, &STILL).await;
    give_back(&near, "user:alice", 1_000_000, &STILL).await;
    give_back(&near, "user:never", 1_000_000, &STILL).await;
    assert_eq!(take(&far, "user:alice", 1_000, &STILL).await, 100);
    assert_eq!(take(&far, "user:never", 1_000, &STILL).await, 100);
}

async fn keys_have_buckets_of_their_own(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    assert_eq!(take(&near, "user:alice", 100, &STILL).await, 100);
    assert_eq!(take(&far, "user:bob", 100, &STILL).await, 100);
}

async fn nothing_wanted_is_nothing_taken(stage: &mut Stage) {
    let (near, _) = stage.two().await;
    assert_eq!(take(&near, "user:alice", 0, &STILL).await, 0);
    give_back(&near, "user:alice", 0, &STILL).await;
    assert_eq!(take(&near, "user:alice", 100, &STILL).await, 100);
}
