//! `Post`: letters from node to node, and an `Exchange` of them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use turnpike_cluster::{Asked, Exchange, Incarnation, LETTER_BYTES_MAX, Letter, Letters, NotSent, Terms};

use super::stage::{Node, eventually, limited};
use super::{Stage, cases, on_every_ground, on_several_nodes};

on_every_ground! {
    a_letter_comes_as_it_was_and_says_from_whom
    letters_keep_their_order
    each_subject_has_its_own_letters
    who_listens_later_gets_what_comes_later
    a_letter_that_is_too_large_is_refused
    a_letter_to_nobody_is_lost_and_counted
    a_reader_that_does_not_read_loses_letters_and_nothing_else
}

on_several_nodes! {
    a_letter_comes_to_one_node_alone
    each_node_answers_what_it_was_asked
}

fn own(node: &Node) -> Incarnation {
    node.cluster().membership.own()
}

fn send(from: &Node, to: &Node, subject: &'static str, words: &[u8]) -> Result<(), NotSent> {
    from.cluster().post.send(own(to), subject, Bytes::copy_from_slice(words))
}

/// Sent again until there is room.
async fn push(from: &Node, to: &Node, subject: &'static str, words: &[u8]) {
    eventually("room for a letter", async || send(from, to, subject, words), Result::is_ok).await.unwrap();
}

async fn next(letters: &mut Letters) -> Letter {
    limited("a letter", letters.recv()).await.expect("the box is open")
}

async fn a_letter_comes_as_it_was_and_says_from_whom(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let mut letters = far.cluster().post.listen("words");
    let large = vec![7; LETTER_BYTES_MAX];
    for words in [&b"\0\xff"[..], b"", &large, b"short"] {
        send(&near, &far, "words", words).unwrap();
        assert_eq!(
            next(&mut letters).await,
            Letter { from: own(&near), words: Bytes::copy_from_slice(words) }
        );
        send(&far, &far, "words", words).unwrap();
        assert_eq!(next(&mut letters).await.from, own(&far));
    }
}

async fn letters_keep_their_order(stage: &mut Stage) {
    const COUNT: u32 = 2_000;
    let (near, far) = stage.two().await;
    let mut letters = far.cluster().post.listen("words");
    for number in 0..COUNT {
        push(&near, &far, "words", &number.to_be_bytes()).await;
    }
    let (mut last, mut come) = (None, 0);
    // A connection that broke meanwhile has taken some with it; the end is told again until it comes.
    while last != Some(COUNT) {
        push(&near, &far, "words", &COUNT.to_be_bytes()).await;
        let number = u32::from_be_bytes(next(&mut letters).await.words[..].try_into().unwrap());
        assert!(last.is_none_or(|last| number > last), "{number} after {last:?}");
        last = Some(number);
        come += 1;
    }
    assert!(come > COUNT / 2, "{come}");
}

async fn each_subject_has_its_own_letters(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let (mut one, mut other) = (far.cluster().post.listen("one"), far.cluster().post.listen("other"));
    send(&near, &far, "neither", b"0").unwrap();
    send(&near, &far, "one", b"1").unwrap();
    send(&near, &far, "other", b"2").unwrap();
    assert_eq!(&*next(&mut one).await.words, b"1");
    assert_eq!(&*next(&mut other).await.words, b"2");
    assert!(one.try_recv().is_err() && other.try_recv().is_err());
}

async fn who_listens_later_gets_what_comes_later(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let mut first = far.cluster().post.listen("words");
    send(&near, &far, "words", b"1").unwrap();
    assert_eq!(&*next(&mut first).await.words, b"1");
    let mut second = far.cluster().post.listen("words");
    send(&near, &far, "words", b"2").unwrap();
    assert_eq!(&*next(&mut second).await.words, b"2");
    assert_eq!(limited("the end of the first", first.recv()).await, None);
}

async fn a_letter_that_is_too_large_is_refused(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let mut letters = far.cluster().post.listen("words");
    let large = vec![7; LETTER_BYTES_MAX + 1];
    assert_eq!(send(&near, &far, "words", &large), Err(NotSent::TooLarge));
    assert_eq!(send(&far, &far, "words", &large), Err(NotSent::TooLarge));
    send(&near, &far, "words", b"1").unwrap();
    assert_eq!(&*next(&mut letters).await.words, b"1");
}

async fn a_letter_to_nobody_is_lost_and_counted(stage: &mut Stage) {
    let (near, _) = stage.two().await;
    let post = near.cluster().post;
    post.send(own(&near), "nobody listens", Bytes::new()).unwrap();
    assert_eq!(post.lost(), 1);
    post.send(Incarnation(7), "words", Bytes::new()).unwrap();
    eventually("the loss to be counted", async || post.lost(), |lost| *lost == 2).await;
}

async fn a_reader_that_does_not_read_loses_letters_and_nothing_else(stage: &mut Stage) {
    let (near, far) = stage.two().await;
    let (mut stalled, mut awake) = (far.cluster().post.listen("stalled"), far.cluster().post.listen("awake"));
    for number in 0..10_000_u32 {
        push(&near, &far, "stalled", &number.to_be_bytes()).await;
    }
    push(&near, &far, "awake", b"1").await;
    assert_eq!(&*next(&mut awake).await.words, b"1");
    eventually("the rest to be lost", async || far.cluster().post.lost(), |lost| *lost > 0).await;
    let mut waited = 0;
    while stalled.try_recv().is_ok() {
        waited += 1;
    }
    assert!((1..10_000).contains(&waited), "{waited}");
}

async fn a_letter_comes_to_one_node_alone(stage: &mut Stage) {
    let all: Vec<Arc<Node>> = stage.all().await;
    let mut boxes: Vec<Letters> = all.iter().map(|node| node.cluster().post.listen("words")).collect();
    for (number, node) in all.iter().enumerate() {
        send(&all[0], node, "words", &[number as u8]).unwrap();
    }
    for (number, letters) in boxes.iter_mut().enumerate() {
        assert_eq!(next(letters).await.words[..], [number as u8]);
        assert!(letters.try_recv().is_err());
    }
}

async fn each_node_answers_what_it_was_asked(stage: &mut Stage) {
    const TERMS: Terms = Terms {
        again_after: Duration::from_millis(500),
        asked_times: 20,
        waiting_max: 100,
        remembered_max: 100,
    };
    let all: Vec<Arc<Node>> = stage.all().await;
    let nodes: Vec<Arc<Exchange<u64, u64>>> = all
        .iter()
        .map(|node| {
            let (post, mut letters) = (node.cluster().post, node.cluster().post.listen("sums"));
            let (exchange, own) = (Arc::new(Exchange::new(post, "sums", TERMS)), own(node).0);
            let answers = Arc::clone(&exchange);
            tokio::spawn(async move {
                while let Some(letter) = letters.recv().await {
                    if let Some(Asked { question, asker }) = answers.take(&letter) {
                        answers.answer(asker, own ^ question);
                    }
                }
            });
            exchange
        })
        .collect();
    for number in 0..20 {
        for (asks, node) in nodes.iter().flat_map(|asks| all.iter().map(move |node| (asks, node))) {
            let answer = limited("an answer", asks.ask(own(node), &number)).await;
            assert_eq!(answer, Some(own(node).0 ^ number));
        }
    }
}
