//! `Broker::publish`: a message that its sender names by an id stands in the room once.

use std::time::Duration;

use futures_util::future::join_all;
use turnpike_cluster::{Publication, PublishError, Range};

use super::stage::{message, named};
use super::{Stage, cases, on_every_ground, on_what_lasts, room, user};

on_every_ground! {
    a_repetition_is_answered_as_the_first
    a_repetition_is_not_delivered
    repetitions_at_the_same_time_on_all_nodes_stand_once
    a_repetition_before_the_first_was_answered_stands_once
    a_repetition_with_another_body_changes_nothing
    ids_belong_to_their_sender
    ids_belong_to_their_room
    without_an_id_every_publication_is_new
    the_window_outlives_the_history
    what_is_too_old_to_be_recognised_is_refused
    within_the_window_it_is_recognised_and_behind_it_refused
}

on_what_lasts! {
    ids_outlive_the_node
}

async fn a_repetition_is_answered_as_the_first(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    near.say(&room, "before").await;
    let first = near.publish(named(&room, "m1", "x")).await.unwrap();
    assert!(!first.duplicate);
    near.say(&room, "after").await;
    for node in [&near, &far] {
        let again = node.publish(Publication { age_ms: 1_000, ..named(&room, "m1", "x") }).await.unwrap();
        assert!(again.duplicate);
        assert_eq!(turnpike_cluster::Receipt { duplicate: false, ..again }, first);
    }
}

async fn a_repetition_is_not_delivered(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    far.open(&room).await;
    for _ in 0..5 {
        near.publish(named(&room, "m1", "x")).await.unwrap();
    }
    near.say(&room, "last").await;
    far.level(&room).await;
    assert_eq!(far.record.seqs(&room), [1, 2]);
    assert_eq!(far.read(&room, Range::Latest).await.messages.len(), 2);
}

async fn repetitions_at_the_same_time_on_all_nodes_stand_once(stage: &mut Stage) {
    let all = stage.all().await;
    let room = room("chat:a");
    for number in 0..30 {
        let publication = named(&room, &format!("m{number}"), "x");
        let attempts = all.iter().flat_map(|node| (0..3).map(|_| node.publish(publication.clone())));
        let receipts = join_all(attempts.collect::<Vec<_>>()).await;
        let receipts: Vec<_> = receipts.into_iter().map(Result::unwrap).collect();
        assert_eq!(receipts.iter().filter(|receipt| !receipt.duplicate).count(), 1, "{receipts:?}");
        assert!(receipts.iter().all(|receipt| receipt.seq == number + 1), "{receipts:?}");
        assert!(receipts.iter().all(|receipt| receipt.ts == receipts[0].ts), "{receipts:?}");
    }
    assert_eq!(all[0].read(&room, Range::Latest).await.standing.seq, 30);
}

async fn a_repetition_before_the_first_was_answered_stands_once(stage: &mut Stage) {
    let (near, _) = stage.two().await;
    let room = room("chat:a");
    let broker = near.cluster().broker;
    let attempts: Vec<_> =
        (0..40).map(|number| broker.publish(named(&room, &format!("m{}", number / 2), "x"))).collect();
    let receipts = join_all(attempts.into_iter().map(turnpike_cluster::Soon::wait)).await;
    for (number, pair) in receipts.chunks(2).enumerate() {
        let (first, again) = (pair[0].as_ref().unwrap(), pair[1].as_ref().unwrap());
        assert_eq!((first.seq, first.duplicate), (number as u64 + 1, false));
        assert_eq!((again.seq, again.duplicate), (number as u64 + 1, true));
    }
}

async fn a_repetition_with_another_body_changes_nothing(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    near.publish(named(&room, "m1", "first")).await.unwrap();
    far.publish(named(&room, "m1", "second")).await.unwrap();
    assert_eq!(super::stage::texts(&near.read(&room, Range::Latest).await.messages), ["first"]);
}

async fn ids_belong_to_their_sender(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    near.publish(named(&room, "m1", "alice's")).await.unwrap();
    let other = Publication { from: user("bob"), ..named(&room, "m1", "bob's") };
    let receipt = far.publish(other).await.unwrap();
    assert_eq!((receipt.seq, receipt.duplicate), (2, false));
    // Nor can two senders and ids be put together so that they read the same.
    for (from, id) in [("a:b", "c"), ("a", "b:c"), ("a.b", "c"), ("a", "b.c"), ("a-b", "c"), ("a", "b-c")] {
        let other = Publication { from: user(from), ..named(&room, id, "x") };
        assert!(!near.publish(other).await.unwrap().duplicate, "{from} {id}");
    }
}

async fn ids_belong_to_their_room(stage: &mut Stage) {
    let (near, _) = stage.two().await;
    for room in super::stage::rooms_of_one_lane(3) {
        let receipt = near.publish(named(&room, "m1", "x")).await.unwrap();
        assert_eq!((receipt.seq, receipt.duplicate), (1, false));
    }
    for (one, id) in [("chat:a:b", "c"), ("chat:a", "b:c")] {
        assert!(!near.publish(named(&room(one), id, "x")).await.unwrap().duplicate);
    }
}

async fn without_an_id_every_publication_is_new(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    let first = near.publish(message(&room, "same")).await.unwrap();
    let second = far.publish(message(&room, "same")).await.unwrap();
    assert_eq!((first.seq, second.seq, second.duplicate), (1, 2, false));
    // An id that was given to one is no reason to refuse another's that is chosen the same.
    let chosen = near.publish(named(&room, &first.id, "x")).await.unwrap();
    assert_eq!(chosen.seq, if chosen.duplicate { 1 } else { 3 });
}

async fn the_window_outlives_the_history(stage: &mut Stage) {
    stage.terms.room_messages_max = 5;
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    let first = near.publish(named(&room, "m1", "x")).await.unwrap();
    for _ in 0..600 {
        drop(near.cluster().broker.publish(message(&room, "more")));
    }
    near.say(&room, "last").await;
    let again = far.publish(named(&room, "m1", "x")).await.unwrap();
    assert_eq!((again.seq, again.duplicate), (first.seq, true));
}

async fn what_is_too_old_to_be_recognised_is_refused(stage: &mut Stage) {
    let window = stage.terms.dedupe.as_millis() as u64;
    let (near, _) = stage.two().await;
    let room = room("chat:a");
    for age_ms in [window, window + 1, 10 * window, u64::MAX] {
        let late = near.publish(Publication { age_ms, ..named(&room, "m1", "x") }).await;
        assert_eq!(late, Err(PublishError::TooOld), "{age_ms}");
    }
    assert_eq!(near.read(&room, Range::Latest).await.standing.seq, 0);
    let young = Publication { age_ms: window / 2 - 1_000, ..named(&room, "m1", "x") };
    assert!(!near.publish(young).await.unwrap().duplicate);
}

/// However late a repetition is, there is never a second copy.
async fn within_the_window_it_is_recognised_and_behind_it_refused(stage: &mut Stage) {
    stage.terms.dedupe = Duration::from_secs(2);
    let (near, far) = stage.two().await;
    let room = room("chat:a");
    let start = tokio::time::Instant::now();
    near.publish(named(&room, "m1", "x")).await.unwrap();
    let mut refused = false;
    while start.elapsed() < Duration::from_millis(4_500) {
        let age_ms = start.elapsed().as_millis() as u64;
        match far.publish(Publication { age_ms, ..named(&room, "m1", "x") }).await {
            // It was on its way for longer than the half of the window that there is for that: the machine stood still.
            Ok(receipt) if !receipt.duplicate && start.elapsed().as_millis() as u64 > age_ms + 1_000 => {
                return;
            }
            Ok(receipt) => assert!(receipt.duplicate && !refused, "after {age_ms} ms: {receipt:?}"),
            Err(error) => {
                assert_eq!(error, PublishError::TooOld);
                assert!(age_ms >= 1_000, "refused after {age_ms} ms");
                refused = true;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(refused);
    assert_eq!(near.read(&room, Range::Latest).await.standing.seq, 1);
}

async fn ids_outlive_the_node(stage: &mut Stage) {
    let node = stage.node().await;
    let room = room("chat:a");
    let first = node.publish(named(&room, "m1", "x")).await.unwrap();
    node.kill();
    drop(node);
    let again = stage.node().await.publish(named(&room, "m1", "x")).await.unwrap();
    assert_eq!((again.seq, again.ts, again.duplicate), (first.seq, first.ts, true));
}
