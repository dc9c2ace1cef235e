//! Connection State Recovery, as the stock client asks for it.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;
use turnpike_cluster::HistoryLimits;
use turnpike_guard::Claims;

use crate::client::{Client, Memory};
use crate::house::{House, claims, grant, signed, token};

/// Rooms in several lanes.
const ROOMS: [&str; 5] = ["chat:a", "chat:b", "chat:c", "chat:general", "chat:room-7"];

async fn gone(house: &House, sockets: u64) {
    house.until("the cut is seen", |house| house.gateway.counters().sockets_now == sockets).await;
}

#[tokio::test]
async fn who_returns_gets_what_was_missed_and_nothing_twice() {
    let house = House::start();
    let mut alice = Client::enter(&house, "alice").await;
    let mut bob = Client::enter(&house, "bob").await;
    for room in ROOMS {
        alice.join(room).await;
        bob.join(room).await;
    }
    bob.say("chat:a", "seen").await;
    assert_eq!(alice.message().await.1, "seen");
    let sid = alice.sid.clone();
    let memory = alice.cut();
    gone(&house, 1).await;
    for (number, room) in ROOMS.iter().chain(&ROOMS).enumerate() {
        bob.say(room, number).await;
    }
    let (mut alice, session) = Client::return_with(&house, "alice", &memory).await;
    assert_eq!((&session["recovered"], &session["connection"]), (&json!(true), &json!(sid)));
    assert_eq!(alice.sid, sid, "the same socket");
    assert_eq!(alice.memory.pid, memory.pid, "the same ticket, which is what recovered means to the client");
    let got: HashSet<u64> = alice.bodies(10).await.iter().map(|body| body.as_u64().unwrap()).collect();
    assert_eq!(got, (0..10).collect::<HashSet<u64>>());
    alice.has_nothing_more().await;
    bob.say("chat:b", "live").await;
    assert_eq!(alice.message().await.1, "live", "and is in the rooms again");
    assert_eq!(alice.say("chat:c", "from me").await["ok"], true);
    assert_eq!(house.metric("turnpike_gateway_sessions_recovered_total", &[]), 1);
}

#[tokio::test]
async fn cut_again_in_the_middle_of_the_replay() {
    let house = House::start();
    let mut alice = Client::enter(&house, "alice").await;
    let mut bob = Client::enter(&house, "bob").await;
    for room in ROOMS {
        alice.join(room).await;
        bob.join(room).await;
    }
    let mut memory = alice.cut();
    gone(&house, 1).await;
    for number in 0..50 {
        bob.say(ROOMS[number % ROOMS.len()], number).await;
    }
    let mut got = Vec::new();
    // Three of the replay at a time, and once none at all.
    for take in [3, 3, 0, 3, 1, 5, 3] {
        let (mut alice, session) = Client::return_with(&house, "alice", &memory).await;
        assert_eq!(session["recovered"], true);
        for body in alice.bodies(take).await {
            got.push(body.as_u64().unwrap());
        }
        memory = alice.cut();
        gone(&house, 1).await;
    }
    bob.say("chat:a", 50).await;
    let (mut alice, _) = Client::return_with(&house, "alice", &memory).await;
    while got.len() < 51 {
        got.push(alice.message().await.1.as_u64().unwrap());
    }
    alice.has_nothing_more().await;
    for (index, room) in ROOMS.iter().enumerate() {
        let is_of_room = |number: &u64| *number < 50 && *number as usize % ROOMS.len() == index;
        let of_room: Vec<u64> = got.iter().copied().filter(is_of_room).collect();
        assert!(of_room.is_sorted(), "{room} in order: {of_room:?}");
    }
    got.sort_unstable();
    assert_eq!(got, (0..=50).collect::<Vec<_>>(), "each once");
}

#[tokio::test]
async fn a_session_is_won_by_the_newest_connection_also_before_the_old_one_is_known_dead() {
    let house = House::start();
    let mut alice = Client::enter(&house, "alice").await;
    alice.join("chat:a").await;
    let memory = alice.memory.clone();
    let (mut again, session) = Client::return_with(&house, "alice", &memory).await;
    assert_eq!(session["recovered"], true);
    let farewell = alice.event().await;
    assert_eq!(
        (&*farewell.name, &farewell.data),
        ("closing", &json!({ "code": 3505, "reason": "replaced" }))
    );
    assert!(alice.next_event().await.is_none(), "the old connection is closed");
    gone(&house, 1).await;
    again.say("chat:a", 1).await;
    assert_eq!(again.message().await.1, 1);
    // The end of the old connection has not ended the session.
    let memory = again.cut();
    gone(&house, 0).await;
    let (_, session) = Client::return_with(&house, "alice", &memory).await;
    assert_eq!(session["recovered"], true);
}

/// The newest need not be the client's latest: an attempt to come back that was cut off is made to its end.
#[tokio::test]
async fn who_has_just_come_back_and_is_replaced_is_told_to_come_again() {
    let house = House::start();
    let memory = Client::enter(&house, "alice").await.cut();
    let (mut alice, _) = Client::return_with(&house, "alice", &memory).await;
    let (ghost, session) = Client::return_with(&house, "alice", &memory).await;
    assert_eq!(session["recovered"], true);
    let farewell = alice.event().await;
    assert_eq!((&*farewell.name, &farewell.data), ("closing", &json!({ "code": 3005, "reason": "moved" })));
    assert!(alice.next_event().await.is_none(), "the old connection is closed");
    drop(ghost);
    let (_, session) = Client::return_with(&house, "alice", &alice.cut()).await;
    assert_eq!(session["recovered"], true);
}

#[tokio::test]
async fn who_said_goodbye_does_not_return() {
    let house = House::start();
    let mut alice = Client::enter(&house, "alice").await;
    alice.leave_namespace().await;
    gone(&house, 0).await;
    let (client, session) = Client::return_with(&house, "alice", &alice.cut()).await;
    assert_eq!(session["recovered"], false);
    assert_ne!(client.memory.pid, None, "but may from now on");
}

#[tokio::test]
async fn after_the_window_the_session_is_gone() {
    let house = House::with(|config| {
        // Long enough to be seen to be away.
        config.recovery_window = Duration::from_secs(2);
        config.ring.linger_ms = 0;
    });
    let mut alice = Client::enter(&house, "alice").await;
    alice.join("chat:a").await;
    let memory = alice.cut();
    house.until("away", |house| house.metric("turnpike_gateway_sessions_away", &[]) == 1).await;
    house.until("given up", |house| house.metric("turnpike_gateway_sessions_away", &[]) == 0).await;
    house.until("rooms closed", |house| house.metric("turnpike_gateway_open_rooms", &[]) == 0).await;
    let (mut alice, session) = Client::return_with(&house, "alice", &memory).await;
    assert_eq!(session["recovered"], false);
    let refused = alice.ask("message:send", &json!({ "room": "chat:a", "body": 1 })).await;
    assert_eq!(refused["error"]["reason"], "not_in_room", "rooms are joined anew");
}

#[tokio::test]
async fn too_many_away_and_the_oldest_goes() {
    let house = House::with(|config| config.limits.sessions_away_max = 2);
    let mut memories = Vec::new();
    for user in ["a", "b", "c"] {
        memories.push((user, Client::enter(&house, user).await.cut()));
        gone(&house, 0).await;
    }
    // The engine counts who is gone before it tells of them.
    let crowded_out = "turnpike_gateway_sessions_crowded_out_total";
    house.until("the oldest goes", |house| house.metric(crowded_out, &[]) == 1).await;
    let mut back = Vec::new();
    for ((user, memory), expected) in memories.iter().zip([false, true, true]) {
        let (client, session) = Client::return_with(&house, user, memory).await;
        assert_eq!(session["recovered"], expected, "{user}");
        back.push(client);
    }
    assert_eq!(house.metric(crowded_out, &[]), 1);
}

#[tokio::test]
async fn what_is_lost_is_named() {
    let house = House::with(|config| {
        config.cluster.history = HistoryLimits { room_messages_max: 5, ..HistoryLimits::default() };
        config.ring.room_messages_max = 5;
    });
    let mut alice = Client::enter(&house, "alice").await;
    let mut bob = Client::enter(&house, "bob").await;
    for room in ["chat:a", "chat:b"] {
        alice.join(room).await;
        bob.join(room).await;
    }
    let memory = alice.cut();
    gone(&house, 1).await;
    for number in 0..9 {
        bob.say("chat:a", number).await;
    }
    bob.say("chat:b", 0).await;
    let (mut alice, session) = Client::return_with(&house, "alice", &memory).await;
    assert_eq!(session["recovered"], false);
    assert_ne!(alice.memory.pid, memory.pid, "a new session, which the client sees by this");
    let resync = alice.event().await;
    assert_eq!(
        (&*resync.name, &resync.data["room"], &resync.data["seq"]),
        ("resync", &json!("chat:a"), &json!(4))
    );
    alice.has_nothing_more().await;
    bob.say("chat:b", 1).await;
    alice.has_nothing_more().await;
}

#[tokio::test]
async fn offsets_that_are_not_ours() {
    let house = House::start();
    let other = House::start();
    let foreign = Client::enter(&other, "alice").await.memory.offset.clone().unwrap();
    for offset in ["", "x", "AQAAAAAAAAA", &foreign] {
        let memory = Client::enter(&house, "alice").await.cut();
        let memory = Memory { offset: Some(offset.to_owned()), ..memory };
        let (_, session) = Client::return_with(&house, "alice", &memory).await;
        assert_eq!(session["recovered"], false, "{offset:?}");
    }
    // One that claims more than there is.
    let mut bob = Client::enter(&other, "alice").await;
    bob.join("chat:a").await;
    let memory = Client::enter(&house, "alice").await.cut();
    let forged = Memory { offset: Some(ahead(memory.offset.as_deref().unwrap())), ..memory };
    let (_, session) = Client::return_with(&house, "alice", &forged).await;
    assert_eq!(session["recovered"], false);
}

/// The same offset with every lane a million further.
fn ahead(offset: &str) -> String {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let mut bytes = engine.decode(offset).unwrap();
    assert_eq!(bytes.split_off(7), [0, 0], "a node without a message");
    bytes.extend([0xff, 0xff]);
    bytes.extend([0x80, 0x89, 0x7a].repeat(16));
    engine.encode(bytes)
}

#[tokio::test]
async fn a_client_that_got_no_event_has_no_offset_and_misses_nothing() {
    let house = House::start();
    let mut bob = Client::enter(&house, "bob").await;
    bob.join("chat:a").await;
    bob.say("chat:a", "before").await;
    let mut alice = Client::enter(&house, "alice").await;
    alice.join("chat:a").await;
    let memory = Memory { offset: None, ..alice.cut() };
    gone(&house, 1).await;
    bob.say("chat:a", "after").await;
    let (mut alice, session) = Client::return_with(&house, "alice", &memory).await;
    assert_eq!(session["recovered"], true);
    assert_eq!(alice.message().await.1, "after", "and nothing from before the join");
    alice.has_nothing_more().await;
}

#[tokio::test]
async fn a_ticket_is_its_users() {
    let house = House::start();
    let mut alice = Client::enter(&house, "alice").await;
    alice.join("chat:a").await;
    let memory = alice.cut();
    gone(&house, 0).await;
    let (_, session) = Client::return_with(&house, "mallory", &memory).await;
    assert_eq!((&session["recovered"], &session["user"]), (&json!(false), &json!("mallory")));
    // Without a token the ticket is enough.
    let auth = json!({ "pid": memory.pid, "offset": memory.offset });
    let (_, session) = Client::enter_with(&house, &auth).await;
    assert_eq!((&session["recovered"], &session["user"]), (&json!(true), &json!("alice")));
    // A ticket that somebody changed is none.
    let mut pid = memory.pid.clone().unwrap();
    let last = pid.pop().unwrap();
    pid.push(if last == 'A' { 'B' } else { 'A' });
    let mut client = Client::open(house.address()).await;
    let refused = client.connect(&json!({ "pid": pid, "offset": memory.offset })).await.unwrap_err();
    assert_eq!(refused["data"]["code"], 104);
}

#[tokio::test]
async fn a_new_token_may_grant_less() {
    let house = House::start();
    let mut alice = Client::enter(&house, "alice").await;
    alice.join("chat:a").await;
    let memory = alice.cut();
    gone(&house, 0).await;
    let narrow = Claims { rooms: Some(vec![grant("chat:b=join")]), ..claims("alice") };
    let auth = json!({ "token": signed(&narrow), "pid": memory.pid, "offset": memory.offset });
    let (_, session) = Client::enter_with(&house, &auth).await;
    assert_eq!(session["recovered"], false, "one of its rooms is closed to it now");
    let auth = json!({ "token": token("alice"), "pid": memory.pid, "offset": memory.offset });
    let (_, session) = Client::enter_with(&house, &auth).await;
    assert_eq!(session["recovered"], true);
}
