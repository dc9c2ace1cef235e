//! Homes among nodes, links and a directory that the test plays.

mod played;

use std::sync::Arc;
use std::time::{Duration, Instant};

use turnpike_cluster::Incarnation;
use turnpike_wire::media::relay::{FromRelay, Role, TO_GATEWAYS, TO_RELAYS, ToRelay};
use turnpike_wire::{Code, RoomId};

use self::played::{OWN, Stage, node};
use super::{NotHere, neighbours};
use crate::carry::{FeedNews, PipeId};
use crate::link::NotAttached;
use crate::{Notice, Place, Places};

const BROKEN: Duration = Duration::from_secs(20);

fn stream() -> RoomId {
    "live:a".parse().unwrap()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + BROKEN;
    while !holds() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn those_who_come_together_wait_for_one_attachment() {
    let stage = Stage::linked(&[node(2), node(3)]);
    stage.lives_at(2);
    let watching = (0..10).map(|_| {
        let homes = Arc::clone(&stage.homes);
        tokio::spawn(async move { homes.bring(&stream()).await })
    });
    let watching: Vec<_> = watching.collect();
    until("it is asked for", || stage.links.attached() == [2]).await;
    stage.links.answer(Ok(PipeId(7)));
    for watching in watching {
        watching.await.unwrap().unwrap();
    }
    stage.homes.bring(&stream()).await.unwrap();
    assert_eq!(stage.links.attached(), [2], "once for all");
}

#[tokio::test]
async fn a_home_that_gives_to_as_many_as_it_may_names_others() {
    let stage = Stage::linked(&[node(2), node(3), node(4), node(5)]);
    stage.lives_at(2);
    stage.loaded(3, 500);
    stage.links.answer(Err(NotAttached::Elsewhere(vec![3, 4, OWN])));
    stage.links.answer(Err(NotAttached::Loop));
    stage.links.answer(Ok(PipeId(7)));
    stage.homes.bring(&stream()).await.unwrap();
    assert_eq!(stage.links.attached(), [2, 4, 3], "who has less to do first, and nobody itself");
}

#[tokio::test]
async fn what_nobody_publishes_is_refused_at_once_and_nothing_is_left_of_it() {
    let stage = Stage::linked(&[node(2)]);
    let refused = stage.homes.bring(&stream()).await.unwrap_err();
    assert_eq!(refused.code, Code::NoSuchStream);
    stage.lives_at(2);
    stage.links.answer(Err(NotAttached::NoSuchStream));
    assert_eq!(stage.homes.bring(&stream()).await.unwrap_err().code, Code::NoSuchStream);
    stage.links.answer(Ok(PipeId(7)));
    stage.homes.bring(&stream()).await.unwrap();
}

#[tokio::test]
async fn a_stream_whose_other_end_goes_is_fetched_from_where_it_is_by_then() {
    let stage = Stage::linked(&[node(2), node(3)]);
    stage.lives_at(2);
    stage.links.answer(Ok(PipeId(7)));
    stage.homes.bring(&stream()).await.unwrap();
    stage.lives_at(3);
    stage.links.answer(Ok(PipeId(8)));
    let begun = Instant::now();
    stage.hear(FeedNews::Over(PipeId(7))).await;
    until("it is asked for again", || stage.links.attached() == [2, 3]).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "at once");
    // The news of a pipe that is no more changes nothing.
    stage.hear(FeedNews::Blocked(PipeId(7))).await;
    // A home that is dead, and nobody else yet: it is tried for as long as somebody watches.
    stage.face.watch(&stream(), 1);
    for _ in 0..3 {
        stage.links.answer(Err(NotAttached::Unreachable));
    }
    stage.hear(FeedNews::Blocked(PipeId(8))).await;
    stage.links.answer(Ok(PipeId(9)));
    until("it is tried again and again", || stage.links.attached().len() == 6).await;
    stage.homes.bring(&stream()).await.unwrap();
    // It is published here: there is nothing to fetch any more.
    stage.lives_at(OWN);
    stage.hear(FeedNews::Over(PipeId(9))).await;
    until("nothing is attached", || !stage.is_attached()).await;
    assert_eq!(stage.links.attached().len(), 6);
}

#[tokio::test]
async fn what_nobody_watches_is_detached_but_not_while_somebody_comes() {
    let stage = Stage::linked(&[node(2)]);
    stage.lives_at(2);
    stage.links.answer(Ok(PipeId(7)));
    stage.homes.bring(&stream()).await.unwrap();
    stage.hear(FeedNews::Unwatched(PipeId(7))).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(stage.is_attached() && stage.links.detached().is_empty(), "somebody has just asked");
    stage.long_ago();
    stage.hear(FeedNews::Unwatched(PipeId(7))).await;
    until("it is detached", || stage.links.detached() == [PipeId(7)]).await;
    assert!(!stage.is_attached());
    // Nor is a lost one looked for when nobody would see it.
    stage.links.answer(Ok(PipeId(8)));
    stage.homes.bring(&stream()).await.unwrap();
    stage.long_ago();
    stage.links.answer(Err(NotAttached::Unreachable));
    stage.hear(FeedNews::Over(PipeId(8))).await;
    until("it is given up", || !stage.is_attached()).await;
}

#[tokio::test]
async fn a_drain_moves_viewers_then_publishers_and_ends_the_rest() {
    let stage = Stage::linked(&[node(2)]);
    stage.face.has(Role::Viewer, 60);
    stage.face.has(Role::Publisher, 2);
    let (homes, window) = (Arc::clone(&stage.homes), Duration::from_secs(2));
    let begun = Instant::now();
    let drain = tokio::spawn(async move { homes.drain(window).await });
    until("all viewers are told", || stage.face.told(Role::Viewer).len() == 60).await;
    assert!(stage.homes.is_leaving());
    let told = stage.face.told(Role::Viewer);
    assert!(told.last().unwrap().0 - told[0].0 >= Duration::from_millis(200), "not all at once: {told:?}");
    assert!(matches!(told[0].1, Notice::Moving { until } if until > begun + window / 2));
    assert!(stage.face.told(Role::Publisher).is_empty(), "while viewers are here");
    // All but one have begun elsewhere.
    stage.face.has(Role::Viewer, 1);
    until("publishers are told in any case", || stage.face.told(Role::Publisher).len() == 2).await;
    assert!(begun.elapsed() >= window * 6 / 10, "{:?}", begun.elapsed());
    stage.face.has(Role::Publisher, 0);
    assert_eq!(drain.await.unwrap(), 1, "who stays to the end is ended");
    assert!(begun.elapsed() >= window);
    assert_eq!(stage.face.dismissed().len(), 1);
    assert_eq!(stage.face.told(Role::Viewer).len(), 60, "nobody is told twice");
}

#[tokio::test]
async fn a_drain_is_over_when_nobody_is_left() {
    let stage = Stage::linked(&[node(2)]);
    let begun = Instant::now();
    assert_eq!(stage.homes.drain(Duration::from_mins(1)).await, 0);
    stage.face.has(Role::Publisher, 1);
    let homes = Arc::clone(&stage.homes);
    let drain = tokio::spawn(async move { homes.drain(Duration::from_mins(1)).await });
    until("without viewers, publishers at once", || stage.face.told(Role::Publisher).len() == 1).await;
    stage.face.has(Role::Publisher, 0);
    assert_eq!(drain.await.unwrap(), 0);
    assert!(begun.elapsed() < BROKEN);
}

#[tokio::test]
async fn a_relay_that_leaves_is_asked_for_the_name_and_gives_it() {
    let stage = Stage::linked(&[node(2)]);
    stage.lives_at(2);
    let Err(NotHere::Elsewhere(home)) = stage.homes.claim(&stream()).await else { panic!("it is not free") };
    assert_eq!(home, Incarnation(2));
    assert!(stage.post.letters().is_empty(), "one that stays is not asked");
    stage.drains(2);
    let homes = Arc::clone(&stage.homes);
    let claim = tokio::spawn(async move { homes.claim(&stream()).await });
    until("it is asked", || !stage.post.letters().is_empty()).await;
    let (to, subject, words) = stage.post.letters()[0].clone();
    let words: Vec<ToRelay> = serde_json::from_slice(&words).unwrap();
    assert_eq!((to, subject, words), (Incarnation(2), TO_RELAYS, vec![ToRelay::Yield { stream: stream() }]));
    stage.lives_at(OWN);
    claim.await.unwrap().unwrap();
    // And the other side: only who leaves gives a name away, and does not take it back.
    stage.homes.yields(&stream()).await;
    assert!(stage.directory.released().is_empty());
    stage.homes.leaving.send_replace(true);
    stage.homes.yields(&stream()).await;
    assert_eq!(stage.directory.released().len(), 1);
    let claims = stage.directory.claims();
    stage.face.publish(&stream());
    stage.homes.offer(&mut None).await;
    assert_eq!(stage.directory.claims(), claims, "it is the other's");
}

#[tokio::test]
async fn who_comes_over_http_is_sent_to_where_there_is_room() {
    let stage = Stage::linked(&[node(2), node(3)]);
    stage.lives_at(2);
    stage.links.answer(Ok(PipeId(7)));
    assert_eq!(stage.homes.to_watch(&stream()).await.unwrap(), Place::Here, "it is fetched");
    assert_eq!(stage.links.attached(), [2]);
    stage.loaded(2, 200);
    stage.face.has(Role::Viewer, 100);
    stage.homes.offer(&mut None).await;
    let at = |number: u64| Place::At(format!("http://media-{number}.example.org"));
    assert_eq!(stage.homes.to_watch(&stream()).await.unwrap(), at(2), "full: home");
    stage.drains(2);
    assert_eq!(stage.homes.to_watch(&stream()).await.unwrap(), at(3));
    stage.drains(3);
    assert_eq!(stage.homes.to_watch(&stream()).await.unwrap(), Place::Here, "it will say so itself");
    stage.homes.leaving.send_replace(true);
    assert_eq!(stage.homes.to_watch(&stream()).await.unwrap_err().code, Code::NoRelay);
    assert_eq!(stage.homes.to_publish(&stream()).await.unwrap_err().code, Code::NoRelay);
    assert_eq!(stage.homes.another(&stream()), None);
    stage.nodes(&[node(4)]);
    assert_eq!(stage.homes.to_publish(&stream()).await.unwrap(), at(4));
    assert_eq!(stage.homes.another(&stream()), Some("http://media-4.example.org".to_owned()));
}

#[tokio::test]
async fn neighbours_are_watched_and_gateways_told_of_those_lost() {
    let stage = Stage::linked(&[node(2), node(3), node(4)]);
    let (lost, hears) = tokio::sync::mpsc::channel(4);
    let cluster = stage.cluster.clone();
    tokio::spawn(neighbours::look_around(Arc::downgrade(&stage.homes), cluster, hears));
    until("two are watched", || stage.links.watched() == [2, 3]).await;
    stage.nodes(&[node(3), node(4)]);
    until("others, when those change", || stage.links.watched() == [3, 4]).await;
    // Of one that has said goodbye nobody is told.
    lost.send(2).await.unwrap();
    lost.send(3).await.unwrap();
    until("gateways are told", || stage.post.letters().len() == 2).await;
    for (to, subject, words) in stage.post.letters() {
        let words: Vec<FromRelay> = serde_json::from_slice(&words).unwrap();
        assert_eq!((subject, words), (TO_GATEWAYS, vec![FromRelay::Lost { relay: 3 }]));
        assert_ne!(to, Incarnation(3), "not the lost one itself");
    }
}
