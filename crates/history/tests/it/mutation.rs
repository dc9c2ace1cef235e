//! Whatever is changed in a history that keeps all laws is found.

use proptest::prelude::*;
use turnpike_history::{Event, Law, What, check};

use crate::model::{everybody, history, steps};
use crate::story::ROOM;

/// Changes the history at a place that `choice` points out, and says which laws that must break, any of them. None: there
/// is nothing of the kind in it.
type Mutation = fn(&mut Vec<Event>, usize) -> Option<&'static [Law]>;

const MUTATIONS: &[(&str, Mutation)] = &[
    ("a message is taken out of the log", |events, choice| {
        let at = one(events, choice, |what| matches!(what, What::Logged { .. }))?;
        events.remove(at);
        Some(&[Law::P1])
    }),
    ("a message stands twice in the log", |events, choice| {
        let at = one(events, choice, |what| matches!(what, What::Logged { .. }))?;
        let again = events[at].clone();
        events.insert(at + 1, again);
        Some(&[Law::P2])
    }),
    ("two messages change places in the log", |events, choice| {
        let at = one(events, choice, |what| matches!(what, What::Logged { .. }))?;
        let next = (at + 1..events.len()).find(|next| matches!(events[*next].what, What::Logged { .. }))?;
        let (first, second) = (events[at].what.clone(), events[next].what.clone());
        (events[at].what, events[next].what) = (second, first);
        Some(&[Law::P3])
    }),
    ("the log holds another payload", |events, choice| {
        let at = one(events, choice, |what| matches!(what, What::Logged { .. }))?;
        let What::Logged { body, .. } = &mut events[at].what else { return None };
        body.push('!');
        Some(&[Law::P1])
    }),
    ("a delivery is left out", |events, choice| {
        let at = one(events, choice, |what| matches!(what, What::Message { .. }))?;
        let removed = events.remove(at);
        let What::Message { seq, .. } = &removed.what else { return None };
        // The last before a loss was announced, or before the room was left, is nobody's to miss.
        let mut after = events[at..].iter().filter(|event| event.who == removed.who);
        let missed = after.find(|event| {
            matches!(event.what, What::Message { .. } | What::Resync { .. } | What::Leave { .. } | What::End)
        });
        match missed.map(|event| &event.what) {
            Some(What::Message { seq: next, .. }) if next > seq => Some(&[Law::P6]),
            None => Some(&[Law::P12]),
            _ => None,
        }
    }),
    ("a delivery comes twice", |events, choice| {
        let at = one(events, choice, |what| matches!(what, What::Message { .. }))?;
        let again = events[at].clone();
        events.insert(at + 1, again);
        Some(&[Law::P7])
    }),
    ("two deliveries change places", |events, choice| {
        let at = one(events, choice, |what| matches!(what, What::Message { .. }))?;
        let who = events[at].who.clone();
        let mut after = (at + 1..events.len()).filter(|next| events[*next].who == who);
        let next = after.find(|next| {
            matches!(events[*next].what, What::Message { .. } | What::Resync { .. } | What::Leave { .. })
        })?;
        if !matches!(events[next].what, What::Message { .. }) {
            return None;
        }
        let (first, second) = (events[at].what.clone(), events[next].what.clone());
        (events[at].what, events[next].what) = (second, first);
        Some(&[Law::P7])
    }),
    ("a delivery has another payload", |events, choice| {
        let at = one(events, choice, |what| matches!(what, What::Message { .. }))?;
        let What::Message { body, .. } = &mut events[at].what else { return None };
        body.push('!');
        Some(&[Law::P9])
    }),
    ("a position is used for another message", |events, choice| {
        let at = one(events, choice, |what| matches!(what, What::Message { .. }))?;
        let other = events.iter().find_map(|event| match &event.what {
            What::Send { id, body, .. } => Some((id.clone(), body.clone())),
            _ => None,
        })?;
        let What::Message { id, body, .. } = &mut events[at].what else { return None };
        if *id == other.0 {
            return None;
        }
        (*id, *body) = other;
        // What was taken back may have been given to one alone; who had the other message has it twice then.
        Some(&[Law::P5, Law::P2])
    }),
    ("a message is invented", |events, choice| {
        let at = one(events, choice, |what| matches!(what, What::Message { .. }))?;
        let What::Message { id, .. } = &mut events[at].what else { return None };
        "nobody's".clone_into(id);
        Some(&[Law::P9])
    }),
    ("a loss is not announced", |events, choice| {
        let at = one(events, choice, |what| matches!(what, What::Resync { .. }))?;
        let who = events.remove(at).who;
        // Who leaves does not care.
        if events[at..].iter().any(|event| event.who == who && matches!(event.what, What::Leave { .. })) {
            return None;
        }
        // Either the number comes again, or what was taken back is held for kept.
        Some(&[Law::P6, Law::P7])
    }),
    ("an ack names another position", |events, choice| {
        let at = one(events, choice, |what| {
            matches!(what, What::Ack { level: turnpike_history::Level::Replicated, .. })
        })?;
        let What::Ack { seq, .. } = &mut events[at].what else { return None };
        *seq += 1;
        Some(&[Law::P1])
    }),
    ("a publisher is never answered", |events, choice| {
        let at = one(events, choice, |what| matches!(what, What::Ack { .. }))?;
        events.remove(at);
        Some(&[Law::P12])
    }),
    ("a mark goes beyond the head", |events, choice| {
        let at = one(events, choice, |what| matches!(what, What::Receipt { .. }))?;
        let What::Receipt { received, .. } = &mut events[at].what else { return None };
        *received = 1_000_000;
        Some(&[Law::P10])
    }),
    ("more is read than received", |events, choice| {
        let at = one(events, choice, |what| matches!(what, What::Receipt { .. }))?;
        let What::Receipt { received, read, .. } = &mut events[at].what else { return None };
        *read = *received + 1;
        Some(&[Law::P10])
    }),
    ("a ghost", |events, choice| {
        let at = one(events, choice, |what| matches!(what, What::Presence { left, .. } if !left.is_empty()))?;
        let What::Presence { left, .. } = &mut events[at].what else { return None };
        left.clear();
        // It stays too long, and then joins though it is there.
        Some(&[Law::PR1])
    }),
    ("somebody who is there is shown to leave", |events, choice| {
        let at = one(events, choice, |what| matches!(what, What::Receipt { .. }))?;
        let seen = everybody().into_iter().find(|user| *user != events[at].who)?;
        // Unless it is true, or the next list makes it good.
        let changes = |event: &Event| {
            let moves =
                matches!(event.what, What::Disconnect { .. } | What::Leave { .. } | What::Session { .. });
            event.who == seen && moves || matches!(event.what, What::Members { .. } | What::Presence { .. })
        };
        if events[at..].iter().any(changes)
            || events[..at].iter().any(|event| matches!(event.what, What::Disconnect { .. }))
        {
            return None;
        }
        let shown = What::Presence {
            room: ROOM.to_owned(),
            version: None,
            joined: Vec::new(),
            left: vec![seen.to_owned()],
        };
        let event = Event { what: shown, ..events[at].clone() };
        events.insert(at, event);
        Some(&[Law::PR2, Law::PR5, Law::PR4, Law::PR7])
    }),
    ("somebody joins twice", |events, choice| {
        let at =
            one(events, choice, |what| matches!(what, What::Presence { joined, .. } if !joined.is_empty()))?;
        let again = events[at].clone();
        events.insert(at, again);
        Some(&[Law::PR4])
    }),
    ("the typist is told", |events, choice| {
        let at = one(events, choice, |what| matches!(what, What::TypingStart { .. }))?;
        let who = events[at].who.clone();
        let shown = What::Typing { room: ROOM.to_owned(), users: vec![who] };
        let event = Event { what: shown, ..events[at].clone() };
        events.insert(at + 1, event);
        Some(&[Law::TY3])
    }),
    ("an indicator stays", |events, choice| {
        let at = one(events, choice, |what| matches!(what, What::Typing { users, .. } if users.is_empty()))?;
        let who = events[at].who.clone();
        // Until a further one is shown or the connection is lost, which may be soon.
        let ends = |event: &&Event| {
            event.who == who
                && matches!(event.what, What::Typing { .. } | What::Disconnect { .. } | What::Leave { .. })
        };
        let until = events[at + 1..].iter().find(ends).map_or(u64::MAX, |event| event.at_us);
        let stays = until > events[at].at_us + 7_000_000;
        events.remove(at);
        stays.then_some(&[Law::TY1])
    }),
];

/// The index of one of the events for which this holds.
fn one(events: &[Event], choice: usize, is_it: impl Fn(&What) -> bool) -> Option<usize> {
    let found: Vec<usize> = (0..events.len()).filter(|index| is_it(&events[*index].what)).collect();
    (!found.is_empty()).then(|| found[choice % found.len()])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn what_keeps_all_laws_breaks_none(steps in steps()) {
        let violations = check(&history(&steps));
        prop_assert!(violations.is_empty(), "{violations:#?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_changed_is_found(steps in steps(), which in 0..MUTATIONS.len(), choice: usize) {
        let mut events = history(&steps);
        let (name, mutate) = MUTATIONS[which];
        if let Some(laws) = mutate(&mut events, choice) {
            let broken: Vec<Law> = check(&events).iter().map(|violation| violation.law).collect();
            prop_assert!(laws.iter().any(|law| broken.contains(law)), "{name}: of {laws:?} only {broken:?}");
        }
    }
}

/// The same as if it had happened in another room.
fn elsewhere(event: &Event) -> Event {
    let line = serde_json::to_string(event).unwrap().replace(&format!("\"{ROOM}\""), "\"chat:elsewhere\"");
    serde_json::from_str(&line).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// A long history is checked so: a room at a time, each with what is about none.
    #[test]
    fn room_by_room_the_same_is_found(steps in steps(), which in 0..MUTATIONS.len(), choice: usize) {
        let sound: Vec<Event> = history(&steps).iter().map(elsewhere).collect();
        let mut broken = history(&steps);
        MUTATIONS[which].1(&mut broken, choice);
        let is_about = |event: &Event| event.what.room().is_some();
        let whole: Vec<Event> = broken.iter().chain(sound.iter().filter(|event| is_about(event))).cloned().collect();
        let laws = |events: &[Event]| -> Vec<Law> { check(events).iter().map(|violation| violation.law).collect() };
        let parts = [laws(&broken), laws(&sound)].concat();
        let mut whole = laws(&whole);
        whole.sort_unstable();
        let mut parts = parts;
        parts.sort_unstable();
        prop_assert_eq!(whole, parts);
    }
}

/// A mutation that never applies would never fail.
#[test]
fn each_mutation_can_be_made() {
    use crate::model::Step;
    let steps = [Step::RolledBack, Step::LeaveAndJoin(1), Step::Send, Step::Send, Step::Type(1), Step::Mark];
    for (name, mutate) in MUTATIONS {
        let applies = (0..50).any(|choice| mutate(&mut history(&steps), choice).is_some());
        assert!(applies, "{name}");
    }
}
