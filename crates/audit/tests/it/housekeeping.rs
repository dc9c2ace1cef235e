//! Files that are packed, erased from, pruned and removed still verify; the same without the log's knowledge does not.

use std::collections::BTreeMap;
use std::time::Duration;

use turnpike_audit::{
    Audit, Event, Filter, Housekeeper, Kept, Kind, Outcome, Problem, Retention, Time, Verdict, segments,
};

use crate::place::{Place, login};

const DAY: Duration = Duration::from_hours(24);

fn retention() -> Retention {
    Retention { otherwise: 400 * DAY, classes: BTreeMap::from([("connection".to_owned(), 90 * DAY)]) }
}

fn in_days(days: u64) -> Time {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Time((now + days as u32 * DAY).as_millis() as u64)
}

fn filled(place: &Place) -> (Audit, turnpike_audit::Closing, Housekeeper) {
    let (audit, closing) = place.open();
    for user in ["alice", "bob", "alice"] {
        audit.decide_blocking(login(user)).unwrap();
        audit.note(Event::new(Kind::ConnectionClosed, Outcome::Success).user(user).detail("bytes_in", 7_u64));
        audit.rotate_blocking();
    }
    let keeper = Housekeeper::new(audit.clone(), place.path(), retention());
    (audit, closing, keeper)
}

/// The lines of all files, packed or not.
fn text(place: &Place) -> String {
    let mut text = String::new();
    for segment in segments(place.path()).unwrap() {
        let mut lines = segment.lines().unwrap();
        while let Some(line) = lines.next_line().unwrap() {
            text.push_str(&String::from_utf8_lossy(line.bytes));
            text.push('\n');
        }
    }
    text
}

#[test]
fn done_files_are_packed_and_read_as_before() {
    let place = Place::new();
    let (_audit, closing, keeper) = filled(&place);
    let before = text(&place);
    assert_eq!(keeper.keep(in_days(0)).unwrap(), Kept { packed: 3, ..Kept::default() });
    assert_eq!(keeper.keep(in_days(0)).unwrap(), Kept::default());
    assert!(text(&place).starts_with(&before));
    closing.close();
    assert_eq!(segments(place.path()).unwrap().iter().filter(|segment| segment.packed).count(), 3);
    assert_eq!(place.verify().verdict, Verdict::Sound);
}

#[test]
fn erased_values_are_gone_everywhere_and_the_chain_holds() {
    let place = Place::new();
    let (audit, closing, keeper) = filled(&place);
    keeper.keep(in_days(0)).unwrap();
    audit.decide_blocking(login("alice")).unwrap();
    let filter = Filter { user: Some("alice".into()), ..Filter::default() };
    let kept = keeper.erase(&filter).unwrap();
    // Three logins with user and address, two ends with a user.
    assert_eq!((kept.rewritten, kept.erased), (3, 3 * 2 + 2));
    assert_eq!(keeper.erase(&filter).unwrap(), Kept::default());
    let bob = Filter { user: Some("bob".into()), ..Filter::default() };
    assert_eq!(keeper.erase(&bob).unwrap().rewritten, 1);
    closing.close();
    assert!(!text(&place).contains("\"alice\"") && !text(&place).contains("\"bob\""));
    let report = place.verify();
    assert_eq!((report.verdict, report.erased), (Verdict::Sound, 11), "{report:?}");
}

#[test]
fn an_old_copy_of_an_erased_file_is_found() {
    let place = Place::new();
    let (_audit, closing, keeper) = filled(&place);
    keeper.keep(in_days(0)).unwrap();
    let old = segments(place.path()).unwrap()[0].clone();
    let bytes = std::fs::read(&old.path).unwrap();
    keeper.erase(&Filter { user: Some("alice".into()), ..Filter::default() }).unwrap();
    closing.close();
    assert_eq!(place.verify().verdict, Verdict::Sound);
    std::fs::write(&old.path, bytes).unwrap();
    let report = place.verify();
    assert_eq!(report.verdict, Verdict::Tampered);
    assert_eq!(report.finding.unwrap().problem, Problem::Restored);
}

#[test]
fn records_go_by_class_and_age_and_files_when_nothing_is_left() {
    let place = Place::new();
    let (_audit, closing, keeper) = filled(&place);
    keeper.keep(in_days(0)).unwrap();
    let kept = keeper.keep(in_days(100)).unwrap();
    assert_eq!((kept.rewritten, kept.pruned, kept.retired), (3, 3, 0));
    assert_eq!(keeper.keep(in_days(100)).unwrap(), Kept::default(), "only once");
    assert!(!text(&place).contains("bytes_in") && text(&place).contains("\"alice\"]"));
    let report = place.verify();
    assert_eq!((report.finding, report.husks), (None, 3));

    let kept = keeper.keep(in_days(500)).unwrap();
    assert_eq!(kept.retired, 3);
    closing.close();
    let report = place.verify();
    assert_eq!((report.verdict, report.segments), (Verdict::Sound, 1), "{report:?}");
    assert!(report.first > 0);
    // One more than the log knows of.
    place.open().1.close();
    std::fs::remove_file(&segments(place.path()).unwrap()[0].path).unwrap();
    assert_eq!(place.verify().verdict, Verdict::Gap);
}

#[test]
fn what_a_crash_interrupts_is_finished_or_undone_at_the_next_start() {
    let place = Place::new();
    let (_audit, closing, keeper) = filled(&place);
    keeper.keep(in_days(0)).unwrap();
    let old = segments(place.path()).unwrap()[0].clone();
    let bytes = std::fs::read(&old.path).unwrap();
    keeper.erase(&Filter { user: Some("alice".into()), ..Filter::default() }).unwrap();
    closing.close();
    // As if the record had been written, and the name not yet changed.
    let draft = place.path().join(format!("{}.draft", old.name));
    std::fs::rename(&old.path, &draft).unwrap();
    std::fs::write(&old.path, &bytes).unwrap();
    std::fs::write(place.path().join(format!("{}.packing", old.name)), "half").unwrap();
    place.open().1.close();
    assert!(!draft.exists());
    assert_eq!(place.verify().verdict, Verdict::Sound);

    // As if nothing had been recorded yet.
    std::fs::copy(&segments(place.path()).unwrap()[1].path, place.path().join(format!("{}.draft", old.name)))
        .unwrap();
    std::fs::write(place.path().join(format!("{}.draft", segments(place.path()).unwrap()[1].name)), "half")
        .unwrap();
    place.open().1.close();
    assert_eq!(place.verify().verdict, Verdict::Sound);
    assert!(!draft.exists());
}
