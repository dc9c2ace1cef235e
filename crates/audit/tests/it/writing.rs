//! What is written is what was said, in order, durable when promised, and verifies.

use std::sync::atomic::Ordering;

use turnpike_audit::{Audit, Event, Kind, Object, Outcome, TEXT_BYTES_MAX, Verdict, segments};

use crate::place::{Place, Witness, login, signer, trust};

#[test]
fn a_log_that_was_closed_is_sound() {
    let place = Place::new();
    let (audit, closing) = place.open();
    audit.note(Event::new(Kind::NodeStarted, Outcome::Success));
    let recorded = audit.decide_blocking(login("alice")).unwrap();
    closing.close();
    let text = place.text();
    let line = text.lines().nth(recorded.seq.unwrap() as usize).unwrap();
    assert!(line.contains("\"activity\":\"login\"") && line.contains("\"alice\"]"), "{text}");
    let report = place.verify();
    assert_eq!((report.verdict, report.finding.clone()), (Verdict::Sound, None), "{report:?}");
    // Opened, checkpoint, started, login, closed, checkpoint.
    assert_eq!((report.first, report.size, report.checkpoints, report.signed), (0, 6, 2, 6));
}

#[test]
fn the_chain_goes_on_over_restarts() {
    let place = Place::new();
    for run in 1..4 {
        let (audit, closing) = place.open();
        for _ in 0..10 {
            audit.note(login("alice"));
        }
        closing.close();
        let report = place.verify();
        assert_eq!(
            (report.verdict, report.segments, report.size),
            (Verdict::Sound, run, run * 14),
            "{report:?}"
        );
    }
}

#[test]
fn files_rotate_by_size() {
    let place = Place::new();
    let settings = turnpike_audit::Settings { segment_bytes_max: 4_096, ..place.settings() };
    let (audit, closing) = Audit::open(&settings, vec![signer(1)], Box::new(())).unwrap();
    for _ in 0..40 {
        audit.decide_blocking(login("alice")).unwrap();
    }
    closing.close();
    assert!(segments(place.path()).unwrap().len() > 3);
    let report = place.verify();
    assert_eq!(report.verdict, Verdict::Sound, "{report:?}");
}

#[test]
fn the_largest_event_is_a_record_that_verifies() {
    let place = Place::new();
    let (audit, closing) = place.open();
    let long = "\"".repeat(2 * TEXT_BYTES_MAX);
    let long = long.as_str();
    let mut event = login(long)
        .role(long)
        .key(long)
        .address(long)
        .agent(long)
        .country(long)
        .origin(long)
        .transport(long)
        .request(long)
        .method(long)
        .route(long)
        .reason(long)
        .connection(long)
        .on(Object::Room, long);
    for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m"] {
        event = event.detail(name, vec![long.into(); 20]);
    }
    audit.decide_blocking(event).unwrap();
    let plain =
        Event::new(Kind::Detected, Outcome::Success).detail("score", u64::MAX).detail("low", i64::MIN);
    audit
        .decide_blocking(plain.detail("signals", vec!["flood".into(), "scan".into()]).detail("b", true))
        .unwrap();
    closing.close();
    assert!(place.text().contains("\"detail\":{\"cut\":true}"));
    assert!(place.text().lines().all(|line| line.len() <= turnpike_audit::LINE_BYTES_MAX));
    let report = place.verify();
    assert_eq!(report.verdict, Verdict::Sound, "{report:?}");
}

#[test]
fn refusals_of_one_origin_are_merged_and_a_full_queue_says_what_it_dropped() {
    let place = Place::new();
    let settings = turnpike_audit::Settings { queue_records_max: 16, ..place.settings() };
    let (audit, closing) = Audit::open(&settings, vec![signer(1)], Box::new(())).unwrap();
    for _ in 0..12 {
        audit.note(Event::new(Kind::LimitTripped, Outcome::Refused).address("192.0.2.9"));
    }
    audit.decide_blocking(login("alice")).unwrap();
    for _ in 0..1_000 {
        audit.note(login("bob"));
    }
    closing.close();
    let text = place.text();
    assert_eq!(text.matches("\"activity\":\"tripped\"").count(), 2, "{text}");
    assert!(text.contains("\"count\":11"), "{text}");
    let dropped = audit.figures().dropped.load(Ordering::Relaxed);
    assert!(dropped > 0 && text.contains("\"activity\":\"dropped\""));
    assert_eq!(1_000 - dropped, text.matches("\"bob\"]").count() as u64);
    assert_eq!(place.verify().verdict, Verdict::Sound);
}

#[test]
fn one_directory_has_one_owner() {
    let place = Place::new();
    let (audit, closing) = place.open();
    assert!(Audit::open(&place.settings(), vec![signer(1)], Box::new(())).is_err());
    closing.close();
    assert!(audit.decide_blocking(login("late")).is_err());
    place.open().1.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_from_many_tasks_are_all_there_and_numbered_as_they_stand() {
    let place = Place::new();
    let (audit, closing) = place.open();
    let tasks: Vec<_> = (0..64)
        .map(|task| {
            let audit = audit.clone();
            tokio::spawn(async move {
                let mut numbers = Vec::new();
                for index in 0..20 {
                    let user = format!("user-{task}-{index}");
                    numbers.push((audit.decide(login(&user)).await.unwrap().seq.unwrap(), user));
                }
                numbers
            })
        })
        .collect();
    let mut numbers = Vec::new();
    for task in tasks {
        numbers.extend(task.await.unwrap());
    }
    tokio::task::spawn_blocking(|| closing.close()).await.unwrap();
    let text = place.text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(numbers.len(), 64 * 20);
    for (seq, user) in numbers {
        assert!(lines[seq as usize].contains(&format!("{user}\"]")), "{seq} {user}");
    }
}

#[test]
fn checkpoints_reach_the_anchor_and_vouch_for_the_end() {
    let place = Place::new();
    let witness = Witness::default();
    let (audit, closing) =
        Audit::open(&place.settings(), vec![signer(1)], Box::new(witness.clone())).unwrap();
    audit.decide_blocking(login("alice")).unwrap();
    closing.close();
    let notes = witness.notes();
    assert_eq!(notes.len(), 2);
    assert_eq!(place.verify_with(trust(), true).verdict, Verdict::TailNotAnchored);
    let with =
        |anchors: &[turnpike_audit::Note]| turnpike_audit::Trust { anchors: anchors.to_vec(), ..trust() };
    let report = place.verify_with(with(&notes), true);
    assert_eq!((report.verdict, report.tail.anchored), (Verdict::Sound, Some(4)), "{report:?}");
}

#[test]
fn another_nodes_log_vouches_for_this_one() {
    let [place, other] = [Place::new(), Place::new()];
    let witness = Witness::default();
    let (audit, closing) =
        Audit::open(&place.settings(), vec![signer(1)], Box::new(witness.clone())).unwrap();
    audit.decide_blocking(login("alice")).unwrap();
    closing.close();
    let (audit, closing) = Audit::open(&other.settings(), vec![signer(2)], Box::new(())).unwrap();
    for note in witness.notes() {
        assert!(audit.witness(&note, signer(1).public()));
        assert!(!audit.witness(&note, signer(2).public()));
    }
    closing.close();
    let anchors = turnpike_audit::anchors_in(other.path()).unwrap();
    let report = place.verify_with(turnpike_audit::Trust { anchors, ..trust() }, true);
    assert_eq!((report.verdict, report.tail.anchored), (Verdict::Sound, Some(4)), "{report:?}");
}

#[test]
fn planted_secrets_do_not_stand_in_the_log() {
    let place = Place::new();
    let (audit, closing) = place.open();
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl";
    let event = login("alice").reason(token).agent(format!("Bearer {token}")).route(token).detail("x", token);
    audit.decide_blocking(event).unwrap();
    closing.close();
    let text = place.text();
    assert!(!text.contains("c2lnbmF0dXJl") && text.contains("[token]"));
    assert!(!text.contains("PRIVATE"), "the private key");
}
