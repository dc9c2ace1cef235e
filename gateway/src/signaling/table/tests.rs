use proptest::prelude::*;
use turnpike_wire::media::{Candidate, Sdp};

use super::*;

/// Connections are numbers, their sockets letters.
type Numbered = Table<u8, char>;

fn user(name: &str) -> UserId {
    name.parse().unwrap()
}

fn session(key: u128) -> MediaSession {
    MediaSession { relay: 7, key }
}

fn viewer() -> (RoomId, Role) {
    ("live:a".parse().unwrap(), Role::Viewer)
}

fn live(viewers: u64, whole: bool) -> SessionEvent {
    let state = StreamState { phase: Phase::Live, viewers, ..StreamState::ended(None) };
    SessionEvent::State { state, whole }
}

fn ended() -> SessionEvent {
    SessionEvent::State { state: StreamState::ended(None), whole: false }
}

fn offer() -> SessionEvent {
    SessionEvent::Offer { sdp: Sdp::parse("v=0").unwrap() }
}

/// A connection `1` of alice's, at socket `a`, that knows of its sessions.
fn with(sessions: &[u128]) -> Numbered {
    let mut table = Numbered::default();
    for key in sessions {
        table.reserve(1, 'a', &user("alice"), 16).unwrap();
        table.attach(1, session(*key), viewer(), 0).unwrap();
        table.give_back(1);
        assert_eq!(table.opened(session(*key)), []);
    }
    table
}

fn event(heard: Heard<char>) -> SessionEvent {
    match heard {
        Heard::To(told) => told.event,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_connection_has_so_many_sessions_and_no_more() {
    let alice = user("alice");
    let mut table = Numbered::default();
    for key in 0..3 {
        table.reserve(1, 'a', &alice, 3).unwrap();
        table.attach(1, session(key), viewer(), 0).unwrap();
        table.give_back(1);
    }
    assert_eq!(table.reserve(1, 'a', &alice, 3), Err(NoPlace));
    table.remove(session(0));
    table.reserve(1, 'a', &alice, 3).unwrap();
    assert_eq!(table.reserve(1, 'a', &alice, 3), Err(NoPlace), "what is asked for counts");
    table.give_back(1);
    table.reserve(1, 'a', &alice, 3).unwrap();
    assert_eq!(table.reserve(1, 'b', &alice, 9), Err(NoPlace), "of an earlier socket");
}

#[test]
fn what_comes_before_the_client_knows_of_the_session_comes_after_that() {
    let mut table = Numbered::default();
    table.reserve(1, 'a', &user("alice"), 16).unwrap();
    table.attach(1, session(1), viewer(), 0).unwrap();
    let candidate = |candidate| SessionEvent::Candidate { candidate };
    for (number, event) in [live(1, false), offer(), candidate(None), live(2, false), offer(), live(3, false)]
        .into_iter()
        .enumerate()
    {
        assert_eq!(table.hear(session(1), number as u64 + 1, event), Heard::Later);
    }
    let told: Vec<SessionEvent> = table.opened(session(1)).into_iter().map(|told| told.event).collect();
    assert_eq!(told, [candidate(None), offer(), live(3, false)]);
    assert_eq!(event(table.hear(session(1), 7, live(4, false))), live(4, false), "and now at once");
    assert_eq!(table.opened(session(1)), [], "once");

    table.attach(1, session(2), viewer(), 0).unwrap();
    let mid = Some("0".parse::<u8>().unwrap()).map(|_| turnpike_wire::media::Mid::parse("0").unwrap());
    for number in 1..10_000 {
        let one = Candidate {
            candidate: turnpike_wire::media::Text::clipped("candidate"),
            sdp_mid: mid.clone(),
            sdp_m_line_index: None,
            username_fragment: None,
        };
        table.hear(session(2), number, candidate(Some(one)));
    }
    assert!(table.opened(session(2)).len() <= CANDIDATES_MAX + 1);

    table.attach(1, session(3), viewer(), 0).unwrap();
    table.hear(session(3), 1, live(1, false));
    table.hear(session(3), 2, ended());
    assert_eq!(table.opened(session(3)).into_iter().map(|told| told.event).collect::<Vec<_>>(), [ended()]);
    assert_eq!(table.hear(session(3), 3, live(1, false)), Heard::Unknown, "it is over");
}

#[test]
fn events_are_counted_and_what_was_missed_is_known() {
    let mut table = with(&[1]);
    let heard = |table: &Numbered| table.kept()[&7][0].heard;
    assert_eq!(event(table.hear(session(1), 1, live(1, false))), live(1, false));
    assert_eq!(table.hear(session(1), 1, live(1, false)), Heard::Old, "twice");
    assert_eq!(heard(&table), 1);
    // 2 is lost. What comes is told all the same, and the relay learns that something is missing.
    event(table.hear(session(1), 3, live(3, false)));
    assert_eq!(table.hear(session(1), 2, live(2, false)), Heard::Old, "late");
    event(table.hear(session(1), 4, offer()));
    assert_eq!(heard(&table), 1);
    event(table.hear(session(1), 5, live(3, true)));
    assert_eq!(heard(&table), 5, "this one made up for it");
    assert_eq!(table.hear(session(2), 1, live(1, false)), Heard::Unknown);
}

#[test]
fn who_comes_back_has_the_sessions_and_learns_what_ended() {
    let mut table = with(&[1, 2]);
    table.away(1, 'b', 500);
    assert!(matches!(table.hear(session(1), 1, live(1, false)), Heard::To(_)), "another socket is away");
    table.away(1, 'a', 500);
    assert_eq!(table.hear(session(1), 2, live(1, false)), Heard::Later);
    assert_eq!(table.hear(session(2), 1, ended()), Heard::Later);
    assert_eq!(table.kept()[&7].len(), 1, "what is over is not kept");
    assert_eq!(table.sweep(499), []);
    let (sessions, told) = table.back(1, 'b');
    assert_eq!(sessions, [session(1)]);
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].socket, told[0].session), ('b', session(2)));
    assert!(matches!(&told[0].event, SessionEvent::State { state, .. } if state.phase == Phase::Ended));
    assert_eq!(table.sweep(1_000), []);
    assert_eq!(table.gone(1, 'a'), [], "the end of the earlier socket");
    assert!(matches!(table.hear(session(1), 3, live(1, false)), Heard::To(Told { socket: 'b', .. })));
    assert_eq!(table.gone(1, 'b'), [session(1)]);
    assert_eq!((table.sessions(), table.connections.len()), (0, 0));
}

#[test]
fn who_does_not_come_back_has_nothing_left() {
    let mut table = with(&[1, 2]);
    table.away(1, 'a', 500);
    table.hear(session(2), 1, ended());
    assert_eq!(table.sweep(500), [session(1)], "the other has ended already");
    assert_eq!((table.sessions(), table.connections.len()), (0, 0));
    assert_eq!(table.back(1, 'b'), (Vec::new(), Vec::new()));
    assert_eq!(table.attach(1, session(3), viewer(), 0), Err(NoPlace), "an answer that came too late");
}

#[test]
fn a_session_goes_to_another_connection_of_its_user_and_to_nobody_else() {
    let mut table = with(&[1]);
    assert_eq!(table.has(1, &user("alice"), session(1)), Some(true));
    assert_eq!(table.has(2, &user("alice"), session(1)), Some(false));
    assert_eq!(table.has(2, &user("bob"), session(1)), None);
    assert_eq!(table.has(2, &user("bob"), session(9)), Some(false), "the relay knows whose it is");
    table.reserve(2, 'b', &user("alice"), 16).unwrap();
    table.attach(2, session(1), viewer(), 40).unwrap();
    table.give_back(2);
    assert!(matches!(table.hear(session(1), 1, live(1, false)), Heard::To(Told { socket: 'b', .. })));
    assert_eq!(table.gone(1, 'a'), [], "it is the other's now");
    assert_eq!(table.gone(2, 'b'), [session(1)]);
}

#[test]
fn what_is_granted_no_more_is_taken() {
    let mut table = with(&[1]);
    table.reserve(1, 'a', &user("alice"), 16).unwrap();
    table.attach(1, session(2), ("live:b".parse().unwrap(), Role::Publisher), 0).unwrap();
    table.opened(session(2));
    let denied = table.deny(1, |stream, role| &**stream == "live:b" && role == Role::Viewer);
    assert_eq!(denied.iter().map(|(session, _)| *session).collect::<Vec<_>>(), [session(1), session(2)]);
    assert!(denied.iter().all(|(_, told)| told.is_some()));
    assert_eq!(table.sessions(), 0);
}

#[derive(Debug, Clone)]
enum Step {
    Reserve(u8, char),
    GiveBack(u8),
    Attach(u8, u128),
    Hear(u128, u64, bool),
    Opened(u128),
    End(u128),
    Away(u8, char, u64),
    Gone(u8, char),
    Back(u8, char),
    Deny(u8),
    Forget(u8),
    Sweep(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (id, socket, key) = (0u8..3, proptest::char::range('a', 'c'), 0u128..5);
    let step = prop_oneof![
        (id.clone(), socket.clone()).prop_map(|(id, socket)| Step::Reserve(id, socket)),
        id.clone().prop_map(Step::GiveBack),
        (id.clone(), key.clone()).prop_map(|(id, key)| Step::Attach(id, key)),
        (key.clone(), 0u64..20, any::<bool>()).prop_map(|(key, number, over)| Step::Hear(key, number, over)),
        key.clone().prop_map(Step::Opened),
        key.prop_map(Step::End),
        (id.clone(), socket.clone(), 0u64..100).prop_map(|(id, socket, ms)| Step::Away(id, socket, ms)),
        (id.clone(), socket.clone()).prop_map(|(id, socket)| Step::Gone(id, socket)),
        (id.clone(), socket).prop_map(|(id, socket)| Step::Back(id, socket)),
        id.clone().prop_map(Step::Deny),
        id.prop_map(Step::Forget),
        (0u64..100).prop_map(Step::Sweep),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    /// Whatever happens: a session is in one list, that of the connection that it says; nobody who has nothing and asks for
    /// nothing is remembered.
    #[test]
    fn the_books_balance(steps in steps()) {
        let mut table = Numbered::default();
        for step in steps {
            match step {
                Step::Reserve(id, socket) => drop(table.reserve(id, socket, &user("alice"), 3)),
                Step::GiveBack(id) => table.give_back(id),
                Step::Attach(id, key) => drop(table.attach(id, session(key), viewer(), 0)),
                Step::Hear(key, number, over) => {
                    let event = if over { ended() } else { live(number, false) };
                    drop(table.hear(session(key), number, event));
                }
                Step::Opened(key) => drop(table.opened(session(key))),
                Step::End(key) => drop(table.end(session(key), StreamState::ended(None))),
                Step::Away(id, socket, ms) => table.away(id, socket, ms),
                Step::Gone(id, socket) => drop(table.gone(id, socket)),
                Step::Back(id, socket) => drop(table.back(id, socket)),
                Step::Deny(id) => drop(table.deny(id, |_, _| false)),
                Step::Forget(id) => table.forget(id),
                Step::Sweep(ms) => drop(table.sweep(ms)),
            }
            let listed: usize = table.connections.values().map(|connection| connection.sessions.len()).sum();
            prop_assert_eq!(listed, table.sessions.len());
            for (session, held) in &table.sessions {
                prop_assert!(table.connections[&held.of].sessions.contains(session));
            }
            for connection in table.connections.values() {
                prop_assert!(!connection.sessions.is_empty() || connection.reserved > 0);
            }
        }
    }
}
