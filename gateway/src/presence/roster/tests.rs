use proptest::prelude::*;
use turnpike_cluster::Row;
use turnpike_wire::presence::{Activity, Status};

use super::*;

const OWN: Incarnation = Incarnation(1);
const OTHER: Incarnation = Incarnation(2);
const THIRD: Incarnation = Incarnation(3);

fn key(user: &str, device: &str) -> RowKey {
    RowKey { user: UserId::parse(user).unwrap(), device: device.into() }
}

fn row(status: Status) -> Row {
    look(status).to_row()
}

fn look(status: Status) -> Look {
    Look { status, activity: None }
}

fn delta(incarnation: Incarnation, version: u64, rows: &[(&str, &str, Option<Status>)]) -> PresenceDelta {
    let rows = rows.iter().map(|(user, device, status)| (key(user, device), status.map(row))).collect();
    PresenceDelta { incarnation, version: Some(version), gone: false, rows }
}

/// A roster that has been read when nobody was there.
fn roster() -> Roster {
    let mut roster = Roster::new(OWN);
    assert!(roster.needs_reading());
    roster.begin_reading();
    roster.was_read(Read { version: 10, rows: Vec::new() }, &HashSet::new(), 0, &mut Vec::new());
    assert!(!roster.needs_reading());
    roster
}

fn hear(roster: &mut Roster, delta: &PresenceDelta, now_ms: u64) -> Vec<Changed> {
    let mut changes = Vec::new();
    roster.heard(delta, &HashSet::new(), now_ms, &mut changes);
    changes
}

fn status(roster: &Roster, user: &str) -> Option<Status> {
    roster.look(user).map(|look| look.status)
}

#[test]
fn a_user_looks_like_the_best_of_their_devices() {
    let mut roster = roster();
    let heard = hear(&mut roster, &delta(OTHER, 11, &[("alice", "phone", Some(Status::Away))]), 0);
    assert_eq!(heard.len(), 1);
    let heard = hear(&mut roster, &delta(THIRD, 12, &[("alice", "laptop", Some(Status::Busy))]), 0);
    assert_eq!(heard, [(key("alice", "").user, Some(look(Status::Away)))]);
    assert_eq!((status(&roster, "alice"), roster.count()), (Some(Status::Busy), 1));
    assert_eq!(hear(&mut roster, &delta(THIRD, 13, &[("alice", "phone", Some(Status::Away))]), 0), []);
    let heard = hear(&mut roster, &delta(THIRD, 14, &[("alice", "laptop", None)]), 0);
    assert_eq!((heard.len(), status(&roster, "alice")), (1, Some(Status::Away)));
    let members: Vec<Member> = roster.members_after(None).collect();
    assert_eq!(members[0].devices, [Box::from("phone")], "one device on two nodes is one");
}

#[test]
fn what_a_user_does_is_that_of_the_best_device_that_says_so() {
    let mut roster = roster();
    let says = |text: &str| {
        let activity = Activity::parse(text).ok();
        Some(Look { status: Status::Online, activity }.to_row())
    };
    let rows = vec![(key("alice", "a"), Some(row(Status::Online))), (key("alice", "b"), says(r#"{"n":1}"#))];
    let delta = PresenceDelta { incarnation: OTHER, version: Some(11), gone: false, rows };
    hear(&mut roster, &delta, 0);
    assert_eq!(roster.look("alice").unwrap().activity.unwrap().as_str(), r#"{"n":1}"#);
}

#[test]
fn a_missed_version_asks_for_a_reading_and_what_is_heard_meanwhile_counts() {
    let mut roster = roster();
    hear(&mut roster, &delta(OTHER, 13, &[("alice", "phone", Some(Status::Online))]), 0);
    assert!(roster.needs_reading());
    assert_eq!(status(&roster, "alice"), Some(Status::Online), "it is the newest that is known of her");
    roster.begin_reading();
    assert!(!roster.needs_reading());
    hear(&mut roster, &delta(OTHER, 14, &[("bob", "phone", Some(Status::Online))]), 0);
    hear(&mut roster, &delta(OTHER, 15, &[("alice", "phone", None)]), 0);
    let rows = vec![
        (OTHER, key("alice", "phone"), row(Status::Online)),
        (OTHER, key("carol", "phone"), row(Status::Online)),
    ];
    let mut changes = Vec::new();
    roster.was_read(Read { version: 13, rows }, &HashSet::new(), 0, &mut changes);
    assert_eq!((roster.version(), roster.needs_reading()), (Some(15), false));
    let there: Vec<String> = roster.members_after(None).map(|member| member.shown.user.to_string()).collect();
    assert_eq!(there, ["bob", "carol"]);
}

#[test]
fn a_reading_that_does_not_reach_what_was_heard_is_not_believed() {
    let mut roster = roster();
    roster.doubt();
    roster.begin_reading();
    hear(&mut roster, &delta(OTHER, 12, &[("alice", "phone", Some(Status::Online))]), 0);
    roster.was_read(Read { version: 10, rows: Vec::new() }, &HashSet::new(), 0, &mut Vec::new());
    assert_eq!((roster.version(), roster.needs_reading()), (Some(12), true), "11 is missing");
    assert_eq!(status(&roster, "alice"), Some(Status::Online));
}

#[test]
fn own_rows_are_told_by_this_node_alone() {
    let mut roster = roster();
    let mut changes = Vec::new();
    roster.own(&key("alice", "phone"), Some(&look(Status::Busy)), &mut changes);
    // What comes back is what was written before.
    assert_eq!(hear(&mut roster, &delta(OWN, 11, &[("alice", "phone", Some(Status::Online))]), 0), []);
    assert_eq!(hear(&mut roster, &delta(OWN, 12, &[("alice", "phone", None)]), 0), []);
    roster.begin_reading();
    let rows = vec![(OWN, key("zoe", "phone"), row(Status::Online))];
    roster.was_read(Read { version: 12, rows }, &HashSet::new(), 0, &mut changes);
    assert_eq!((status(&roster, "alice"), roster.count(), changes.len()), (Some(Status::Busy), 1, 1));
    let unconfirmed = PresenceDelta { version: None, ..delta(OWN, 0, &[("alice", "phone", None)]) };
    assert_eq!(hear(&mut roster, &unconfirmed, 0), []);
}

#[test]
fn pr7_a_return_within_the_grace_makes_no_event() {
    let mut roster = roster();
    hear(&mut roster, &delta(OTHER, 11, &[("alice", "phone", Some(Status::Online))]), 0);
    let mut changes = Vec::new();
    roster.dead(OTHER, 1_000, &mut changes);
    let dead = HashSet::from([OTHER]);
    // The store says so as well, and what was under way when the node died still arrives.
    let gone = PresenceDelta { gone: true, ..delta(OTHER, 12, &[]) };
    roster.heard(&gone, &dead, 1_500, &mut changes);
    roster.heard(&delta(OTHER, 13, &[("bob", "phone", Some(Status::Online))]), &dead, 1_500, &mut changes);
    assert_eq!(status(&roster, "bob"), None, "the dead have no say");
    roster.heard(
        &delta(THIRD, 14, &[("alice", "phone", Some(Status::Online))]),
        &dead,
        1_000 + GRACE_MS - 1,
        &mut changes,
    );
    roster.expire(60_000, &mut changes);
    assert_eq!((changes, status(&roster, "alice")), (Vec::new(), Some(Status::Online)));
}

#[test]
fn who_does_not_return_is_gone_when_the_grace_is_over() {
    let mut roster = roster();
    hear(&mut roster, &delta(OTHER, 11, &[("alice", "phone", Some(Status::Online))]), 0);
    let mut changes = Vec::new();
    roster.dead(OTHER, 1_000, &mut changes);
    // Told twice, and read in between: the grace is that of the first.
    roster.dead(OTHER, 3_000, &mut changes);
    roster.begin_reading();
    roster.was_read(Read { version: 12, rows: Vec::new() }, &HashSet::from([OTHER]), 3_000, &mut changes);
    assert_eq!(roster.next_expiry(), Some(1_000 + GRACE_MS));
    roster.expire(1_000 + GRACE_MS - 1, &mut changes);
    assert!(changes.is_empty());
    roster.expire(1_000 + GRACE_MS, &mut changes);
    assert_eq!((changes.len(), roster.count(), roster.next_expiry()), (1, 0, None));
}

#[test]
fn pr2_a_node_that_was_wrongly_taken_for_dead_loses_nobody() {
    let mut roster = roster();
    hear(&mut roster, &delta(OTHER, 11, &[("alice", "phone", Some(Status::Online))]), 0);
    let mut changes = Vec::new();
    roster.dead(OTHER, 1_000, &mut changes);
    roster.alive(OTHER);
    roster.expire(60_000, &mut changes);
    assert_eq!((changes, status(&roster, "alice")), (Vec::new(), Some(Status::Online)));
    assert!(roster.needs_reading(), "something of it may have been passed over");
}

#[derive(Debug, Clone)]
enum Step {
    Write {
        node: u64,
        user: u8,
        device: u8,
        status: u8,
    },
    /// The next so many changes get lost.
    Lose(u8),
    BeginReading,
    /// What is read is what the store has when it answers.
    Answer,
    Fail,
    Die(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (2..5_u64, 0..4_u8, 0..2_u8, 0..5_u8)
            .prop_map(|(node, user, device, status)| Step::Write { node, user, device, status }),
        1 => (1..3_u8).prop_map(Step::Lose),
        3 => Just(Step::BeginReading),
        2 => Just(Step::Answer),
        1 => Just(Step::Fail),
        1 => (2..5_u64).prop_map(Step::Die),
    ]
}

proptest! {
    /// PR3: versions never go back. PR5: at rest the set is that of the store. And of each change it is said rightly how
    /// the user looked before, so that joins and leaves alternate (PR4).
    #[test]
    fn pr3_pr4_pr5_whatever_is_lost(steps in proptest::collection::vec(step(), 1..120)) {
        const STATUSES: [Status; 4] = [Status::Online, Status::Busy, Status::Away, Status::Invisible];
        let mut roster = Roster::new(OWN);
        let (mut version, mut rows) = (7, BTreeMap::<(u64, RowKey), Row>::new());
        let mut dead = HashSet::new();
        let mut lost = 0_u8;
        let mut answer: Option<Read> = None;
        let mut seen = BTreeMap::<UserId, Look>::new();
        let mut changes = Vec::new();
        let mut now_ms = 0;
        let read = |version: u64, rows: &BTreeMap<(u64, RowKey), Row>| Read {
            version,
            rows: rows.iter().map(|((node, key), row)| (Incarnation(*node), key.clone(), row.clone())).collect(),
        };
        roster.begin_reading();
        answer.get_or_insert(read(version, &rows));
        for step in steps.into_iter().chain([Step::Fail, Step::BeginReading, Step::Answer]) {
            let before = roster.version();
            now_ms += 100;
            match step {
                Step::Write { node, .. } if dead.contains(&Incarnation(node)) => {}
                Step::Write { node, user, device, status } => {
                    let key = key(&format!("u{user}"), &format!("d{device}"));
                    let new = STATUSES.get(usize::from(status)).map(|status| row(*status));
                    match &new {
                        Some(row) => drop(rows.insert((node, key.clone()), row.clone())),
                        None => drop(rows.remove(&(node, key.clone()))),
                    }
                    version += 1;
                    let delta = PresenceDelta {
                        incarnation: Incarnation(node),
                        version: Some(version),
                        gone: false,
                        rows: vec![(key, new)],
                    };
                    if lost == 0 {
                        roster.heard(&delta, &dead, now_ms, &mut changes);
                    }
                    lost = lost.saturating_sub(1);
                }
                Step::Lose(count) => lost = count,
                Step::BeginReading => {
                    if answer.is_none() {
                        roster.doubt();
                        roster.begin_reading();
                        answer = Some(read(version, &rows));
                    }
                }
                Step::Answer => {
                    if let Some(read) = answer.take() {
                        roster.was_read(read, &dead, now_ms, &mut changes);
                    }
                }
                Step::Fail => {
                    if answer.take().is_some() {
                        roster.reading_failed();
                        prop_assert!(roster.needs_reading());
                    }
                }
                Step::Die(node) => {
                    dead.insert(Incarnation(node));
                    roster.dead(Incarnation(node), now_ms, &mut changes);
                    rows.retain(|(other, _), _| *other != node);
                }
            }
            prop_assert!(roster.version() >= before, "{:?} after {:?}", roster.version(), before);
            for (user, before) in changes.drain(..) {
                prop_assert_eq!(seen.get(&user), before.as_ref());
                match roster.look(&user) {
                    Some(look) => drop(seen.insert(user, look)),
                    None => drop(seen.remove(&user)),
                }
            }
        }
        roster.expire(now_ms + 60_000, &mut changes);
        let mut expected = Roster::new(OWN);
        expected.read_once(read(version, &rows), &dead);
        let members = |roster: &Roster| roster.members_after(None).collect::<Vec<_>>();
        prop_assert_eq!(members(&roster), members(&expected));
        prop_assert_eq!(roster.version(), Some(version));
    }

    /// Nothing that an invisible device does can be told from its not being there.
    #[test]
    fn invisible_devices_leave_no_trace(
        steps in proptest::collection::vec((0..3_u8, 0..2_u8, 0..6_u8, any::<bool>()), 1..60),
    ) {
        let run = |with_hidden: bool| {
            let mut roster = roster();
            let mut changes = Vec::new();
            for (at, (user, device, status, own)) in steps.iter().enumerate() {
                let (name, device) = (format!("u{user}"), format!("d{device}"));
                // One user is never seen.
                let status = match status {
                    _ if *user == 2 => Some(Status::Invisible),
                    0 => Some(Status::Online),
                    1 => Some(Status::Away),
                    2 | 3 => Some(Status::Invisible),
                    _ => None,
                };
                let hidden = *user == 2 && !with_hidden;
                let gone = if hidden || (!with_hidden && status == Some(Status::Invisible)) { None } else { status };
                if *own {
                    let look = gone.map(look);
                    roster.own(&key(&name, &device), look.as_ref(), &mut changes);
                } else {
                    let delta = delta(OTHER, 11 + at as u64, &[(&name, &device, gone)]);
                    roster.heard(&delta, &HashSet::new(), 0, &mut changes);
                }
            }
            (changes, roster.count(), roster.members_after(None).collect::<Vec<_>>())
        };
        prop_assert_eq!(run(true), run(false));
    }
}
