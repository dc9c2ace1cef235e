//! `Bulletin`: what every node must know.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use turnpike_cluster::{NOTICE_KEY_BYTES_MAX, NOTICE_VALUE_BYTES_MAX, NotPosted, Notice, Notices, Topic};

use super::stage::{Node, eventually, limited};
use super::{Stage, cases, on_every_ground, on_several_nodes, on_what_lasts};

on_every_ground! {
    what_is_posted_is_known_everywhere
    a_listener_is_told_what_holds_and_then_what_comes
    a_later_notice_takes_the_place_of_an_earlier
    what_is_lifted_holds_no_more
    what_has_ended_is_not_told
    topics_are_apart
    too_large_a_notice_is_refused
    any_text_comes_through
}

on_several_nodes! {
    a_node_that_starts_knows_what_holds_at_once
    all_nodes_end_with_the_same_notice
}

on_what_lasts! {
    notices_outlive_the_process
}

const LONG: Duration = Duration::from_mins(10);

pub(crate) fn after(time: Duration) -> u64 {
    (SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + time).as_millis() as u64
}

pub(crate) fn ban(key: &str, value: &str) -> Notice {
    Notice::new(Topic::Ban, key, value, after(LONG))
}

pub(crate) async fn post(node: &Node, notice: Notice) {
    limited("a notice", node.cluster().bulletin.post(notice).wait()).await.unwrap();
}

fn listen(node: &Node) -> Notices {
    node.cluster().bulletin.listen(Topic::Ban)
}

async fn next(notices: &mut Notices) -> Notice {
    limited("a notice to be told", notices.next()).await.expect("the plane is there")
}

fn holding(node: &Node) -> Vec<(String, String)> {
    let all = node.cluster().bulletin.holding(Topic::Ban);
    let mut all: Vec<_> = all.iter().map(|one| (one.key.to_string(), one.value.to_string())).collect();
    all.sort_unstable();
    all
}

async fn holds(node: &Node, expected: &[(&str, &str)]) {
    let expected: Vec<_> =
        expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    eventually("the notices that hold", async || holding(node), |found| *found == expected).await;
}

async fn what_is_posted_is_known_everywhere(stage: &mut Stage) {
    let all = stage.all().await;
    let mut listeners: Vec<Notices> = all.iter().map(|node| listen(node)).collect();
    let notice = ban("user:alice", "spam");
    post(&all[0], notice.clone()).await;
    assert_eq!(holding(&all[0]), [("user:alice".to_owned(), "spam".to_owned())], "here at once");
    for listener in &mut listeners {
        assert_eq!(next(listener).await, notice);
    }
}

async fn a_listener_is_told_what_holds_and_then_what_comes(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let (first, second, third) = (ban("a", "1"), ban("b", "2"), ban("c", "3"));
    post(&near, first.clone()).await;
    post(&near, second.clone()).await;
    holds(&far, &[("a", "1"), ("b", "2")]).await;
    let mut listener = listen(&far);
    let mut early: Vec<Notice> = std::iter::from_fn(|| listener.at_hand()).collect();
    early.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    assert_eq!(early, [first, second]);
    post(&near, third.clone()).await;
    assert_eq!(next(&mut listener).await, third);
    assert_eq!(listener.at_hand(), None);
}

async fn a_later_notice_takes_the_place_of_an_earlier(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let mut listener = listen(&far);
    for value in ["1", "2", "3"] {
        post(&near, ban("a", value)).await;
    }
    let mut told = Vec::new();
    while told.last().is_none_or(|value| value != "3") {
        told.push(next(&mut listener).await.value.to_string());
    }
    assert!(told.is_sorted(), "{told:?}");
    holds(&near, &[("a", "3")]).await;
    // By whoever: the latest counts.
    post(&far, ban("a", "4")).await;
    holds(&near, &[("a", "4")]).await;
}

async fn what_is_lifted_holds_no_more(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let mut listener = listen(&far);
    post(&near, ban("a", "1")).await;
    assert_eq!(&*next(&mut listener).await.key, "a");
    post(&near, Notice::lift(Topic::Ban, "a")).await;
    assert!(next(&mut listener).await.is_lifting());
    assert_eq!((holding(&near), holding(&far)), (Vec::new(), Vec::new()));
    post(&near, ban("a", "2")).await;
    assert_eq!(&*next(&mut listener).await.value, "2", "and can be posted again");
    post(&far, Notice::lift(Topic::Ban, "never")).await;
}

async fn what_has_ended_is_not_told(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    post(&near, Notice::new(Topic::Ban, "short", "x", after(Duration::from_millis(1_500)))).await;
    post(&near, ban("long", "x")).await;
    holds(&far, &[("long", "x")]).await;
    let mut listener = listen(&near);
    assert_eq!(&*next(&mut listener).await.key, "long");
    assert_eq!(listener.at_hand(), None);
    post(&near, Notice::new(Topic::Ban, "past", "x", 1)).await;
    assert_eq!(holding(&near), [("long".to_owned(), "x".to_owned())]);
}

async fn topics_are_apart(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let mut revoked = far.cluster().bulletin.listen(Topic::Revoked);
    post(&near, ban("a", "ban")).await;
    let notice = Notice::new(Topic::Revoked, "a", "revoked", after(LONG));
    post(&near, notice.clone()).await;
    assert_eq!(next(&mut revoked).await, notice);
    post(&near, Notice::lift(Topic::Revoked, "a")).await;
    assert!(next(&mut revoked).await.is_lifting());
    holds(&far, &[("a", "ban")]).await;
}

async fn too_large_a_notice_is_refused(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let (key, value) = ("k".repeat(NOTICE_KEY_BYTES_MAX), "v".repeat(NOTICE_VALUE_BYTES_MAX));
    for notice in [ban(&format!("{key}k"), "x"), ban("a", &format!("{value}v"))] {
        let refused = limited("an answer", near.cluster().bulletin.post(notice).wait()).await;
        assert_eq!(refused, Err(NotPosted::TooLarge));
    }
    post(&near, ban(&key, &value)).await;
    holds(&far, &[(&key, &value)]).await;
}

async fn any_text_comes_through(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let texts = ["a b\u{0}c", "\"\\\n", "é\u{1f600}", "7 8 9"];
    for text in texts {
        post(&near, ban(text, text)).await;
    }
    let mut expected = texts.map(|text| (text, text));
    expected.sort_unstable();
    holds(&far, &expected).await;
}

async fn a_node_that_starts_knows_what_holds_at_once(stage: &mut Stage) {
    let all = stage.all().await;
    // More than one page of either kind of reading.
    for number in 0..700 {
        post(&all[number % all.len()], ban(&format!("user:{number}"), "x")).await;
    }
    post(&all[0], Notice::lift(Topic::Ban, "user:0")).await;
    let late = stage.unstarted().await;
    let known = late.cluster().bulletin.holding(Topic::Ban);
    assert_eq!(known.len(), 699);
    let mut listener = listen(&late);
    assert_eq!(std::iter::from_fn(|| listener.at_hand()).filter(|notice| !notice.is_lifting()).count(), 699);
}

async fn all_nodes_end_with_the_same_notice(stage: &mut Stage) {
    let all = stage.all().await;
    let posting = (0..60).map(|number| {
        let node = &all[number % all.len()];
        let notice = if number % 7 == 3 {
            Notice::lift(Topic::Ban, "user:alice")
        } else {
            ban("user:alice", &number.to_string())
        };
        post(node, notice)
    });
    futures_util::future::join_all(posting).await;
    eventually(
        "one and the same everywhere",
        async || all.iter().map(|node| holding(node)).collect::<Vec<_>>(),
        |held| held.windows(2).all(|pair| pair[0] == pair[1]),
    )
    .await;
}

async fn notices_outlive_the_process(stage: &mut Stage) {
    let before = stage.node().await;
    post(&before, ban("a", "1")).await;
    post(&before, ban("b", "2")).await;
    post(&before, Notice::new(Topic::Ban, "short", "x", after(Duration::from_millis(300)))).await;
    post(&before, Notice::lift(Topic::Ban, "a")).await;
    before.kill();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let back = stage.node().await;
    holds(&back, &[("b", "2")]).await;
    post(&back, ban("b", "3")).await;
    holds(&back, &[("b", "3")]).await;
}
