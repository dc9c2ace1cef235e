//! What a backend is told, and what it takes to tell it: a receiver that fails, hangs, redirects, talks too much.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use turnpike_gateway::{WebhookEvent, Webhooks};

use crate::backend::{Answer, Backend, FIRST, SECOND};
use crate::client::Client;
use crate::house::{BROKEN, House, claims, grant, signed};

fn house(webhooks: Webhooks) -> House {
    House::with(|plan| plan.webhooks = vec![webhooks])
}

fn users(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["user"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn comings_and_goings_are_told_in_order_and_signed_with_both_secrets() {
    let mut receiver = Backend::start(&[]).await;
    let house = house(Webhooks { secrets: vec![FIRST.to_vec(), SECOND.to_vec()], ..receiver.webhooks() });
    let mut alice = Client::enter(&house, "alice").await;
    let request = receiver.next().await;
    assert_eq!(request.path, "/hook");
    assert_eq!(request.header("content-type"), "application/json");
    let batch = request.json();
    assert_eq!(batch["id"], request.header("turnpike-webhook-id"));
    request.assert_signed(&[FIRST, SECOND]);
    let opened = &batch["events"][0];
    assert_eq!(
        (&opened["type"], &opened["user"], &opened["node"], &opened["connection"], &opened["recovered"]),
        (&json!("connection.opened"), &json!("alice"), &json!("n1"), &json!(alice.sid), &json!(false))
    );
    alice.leave_namespace().await;
    let closed = &receiver.events(1).await[0];
    assert_eq!(
        (&closed["type"], &closed["user"], &closed["connection"], &closed["reason"]),
        (&json!("connection.closed"), &json!("alice"), &opened["connection"], &json!("client_left"))
    );
    assert_ne!(closed["id"], opened["id"]);
}

#[tokio::test]
async fn who_comes_back_to_their_session_is_told_as_recovered() {
    let mut receiver = Backend::start(&[]).await;
    let house = house(receiver.webhooks());
    let alice = Client::enter(&house, "alice").await;
    let opened = receiver.events(1).await;
    let memory = alice.cut();
    let closed = receiver.events(1).await;
    assert_eq!(closed[0]["type"], "connection.closed");
    let (_alice, session) = Client::return_with(&house, "alice", &memory).await;
    assert_eq!(session["recovered"], true);
    let again = receiver.events(1).await;
    assert_eq!(
        (&again[0]["type"], &again[0]["recovered"]),
        (&json!("connection.opened"), &json!(true)),
        "{opened:?} {again:?}"
    );
}

#[tokio::test]
async fn a_receiver_that_fails_is_given_the_same_again_before_anything_else() {
    let mut receiver = Backend::start(&[Answer::Status(500), Answer::Status(404)]).await;
    let house = house(receiver.webhooks());
    let _alice = Client::enter(&house, "alice").await;
    let first = receiver.next().await;
    let _bob = Client::enter(&house, "bob").await;
    for attempt in 2..=3 {
        let again = receiver.next().await;
        assert_eq!(again.body, first.body, "attempt {attempt}");
        assert_eq!(again.header("turnpike-webhook-id"), first.header("turnpike-webhook-id"));
    }
    assert_eq!(users(&first.events()), ["alice"]);
    let second = receiver.next().await;
    assert_eq!(users(&second.events()), ["bob"]);
    assert_ne!(second.header("turnpike-webhook-id"), first.header("turnpike-webhook-id"));
    let deliveries = "turnpike_gateway_webhook_deliveries_total";
    house.until("all taken", |house| house.metric(deliveries, &["taken"]) == 2).await;
    assert_eq!(house.metric(deliveries, &["rejected"]), 2);
    house
        .until("nothing waits", |house| house.metric("turnpike_gateway_webhook_queue_length", &[]) == 0)
        .await;
    assert_eq!(house.metric("turnpike_gateway_webhook_dropped_total", &[]), 0);
}

#[tokio::test]
async fn hanging_redirecting_and_talking_without_end_hold_nothing_up() {
    let mut receiver = Backend::start(&[Answer::None, Answer::Redirect, Answer::Endless]).await;
    let house = house(Webhooks { timeout: Duration::from_secs(2), ..receiver.webhooks() });
    let _alice = Client::enter(&house, "alice").await;
    let first = receiver.next().await;
    for _ in 0..2 {
        let again = receiver.next().await;
        assert_eq!((&*again.path, &again.body), ("/hook", &first.body), "no redirect is followed");
    }
    let _bob = Client::enter(&house, "bob").await;
    let second = receiver.next().await;
    assert_eq!((&*second.path, users(&second.events())), ("/hook", vec!["bob"]));
    let count = |outcome: &str| house.metric("turnpike_gateway_webhook_deliveries_total", &[outcome]);
    house.until("both taken", |_| count("taken") == 2).await;
    assert_eq!((count("timed_out"), count("rejected")), (1, 1));
}

#[tokio::test]
async fn what_is_not_wanted_or_too_old_is_dropped() {
    let mut receiver = Backend::start(&[Answer::Status(410), Answer::Status(503)]).await;
    let house = house(Webhooks { deadline: Duration::from_millis(1), ..receiver.webhooks() });
    let mut clients = Vec::new();
    for (user, reason) in [("alice", "gone"), ("bob", "deadline")] {
        clients.push(Client::enter(&house, user).await);
        assert_eq!(users(&receiver.next().await.events()), [user]);
        let dropped = "turnpike_gateway_webhook_dropped_total";
        house.until("dropped", |house| house.metric(dropped, &[reason]) == 1).await;
    }
    clients.push(Client::enter(&house, "carol").await);
    assert_eq!(users(&receiver.next().await.events()), ["carol"], "neither comes again");
}

#[tokio::test]
async fn a_full_queue_refuses_what_is_new() {
    let mut receiver = Backend::start(&[Answer::None]).await;
    let timeout = Duration::from_mins(1);
    let house = house(Webhooks { queue_max: 3, timeout, ..receiver.webhooks() });
    let _first = Client::enter(&house, "alice").await;
    receiver.next().await;
    let mut others = Vec::new();
    for number in 0..8 {
        others.push(Client::enter(&house, &format!("u{number}")).await);
    }
    let dropped = "turnpike_gateway_webhook_dropped_total";
    house.until("dropped", |house| house.metric(dropped, &["queue_full"]) == 5).await;
    assert_eq!(house.metric("turnpike_gateway_webhook_queue_length", &[]), 4, "one under way, three wait");
}

#[test]
fn an_address_that_is_not_public_is_refused_at_the_start() {
    for url in [
        "http://127.0.0.1:1/",
        "https://10.0.0.1/",
        "http://[::1]:1/",
        "http://[::ffff:10.0.0.1]/",
        "http://169.254.169.254/latest",
        "http://2130706433/",
        "http://0x7f.1/",
        "ftp://example.com/",
        "nonsense",
    ] {
        let refused = std::panic::catch_unwind(|| house(Webhooks::new(url, FIRST)));
        assert!(refused.is_err(), "{url}");
    }
}

#[tokio::test]
async fn a_name_that_leads_to_an_address_that_is_not_public_is_not_connected_to() {
    let mut receiver = Backend::start(&[]).await;
    let url = format!("http://localhost:{}/hook", receiver.port);
    let house = house(Webhooks { deadline: Duration::from_millis(1), ..Webhooks::new(url, FIRST) });
    let _alice = Client::enter(&house, "alice").await;
    let deliveries = "turnpike_gateway_webhook_deliveries_total";
    house.until("refused", |house| house.metric(deliveries, &["forbidden_address"]) == 1).await;
    house
        .until("given up", |house| house.metric("turnpike_gateway_webhook_dropped_total", &["deadline"]) == 1)
        .await;
    assert!(receiver.requests.try_recv().is_err());
}

#[tokio::test]
async fn https_begins_with_a_handshake_and_says_nothing_before_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/hook", listener.local_addr().unwrap().port());
    let deadline = Duration::from_millis(1);
    let house = house(Webhooks { allow_private: true, deadline, ..Webhooks::new(url, FIRST) });
    let _alice = Client::enter(&house, "alice").await;
    let (mut stream, _) = tokio::time::timeout(BROKEN, listener.accept()).await.unwrap().unwrap();
    let mut first = [0; 6];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!((first[0], first[5]), (22, 1), "a record of a handshake, a ClientHello: {first:?}");
    drop(stream);
    let deliveries = "turnpike_gateway_webhook_deliveries_total";
    house.until("failed", |house| house.metric(deliveries, &["unreachable"]) == 1).await;
}

#[tokio::test]
async fn a_message_for_who_is_nowhere_is_told_once_a_minute_and_conversation() {
    let mut receiver = Backend::start(&[]).await;
    let house = house(Webhooks { events: vec![WebhookEvent::MessageOffline], ..receiver.webhooks() });
    let sender = |user: &str| {
        let mut claims = claims(user);
        claims.rooms = Some(vec![grant("user:*=send"), grant("chat:*=join,send")]);
        json!({ "token": signed(&claims) })
    };
    let (mut alice, _) = Client::enter_with(&house, &sender("alice")).await;
    let (mut carol, _) = Client::enter_with(&house, &sender("carol")).await;
    alice.join("chat:a").await;
    alice.say("chat:a", "not for one").await;
    alice.say("user:carol", "she is here").await;
    let said = alice.ask("message:send", &json!({ "room": "user:bob", "id": "m1", "body": "hello" })).await;
    for count in 0..5 {
        alice.say("user:bob", count).await;
    }
    alice.ask("message:send", &json!({ "room": "user:dave", "volatile": true, "body": "gone" })).await;
    carol.say("user:bob", "and I").await;
    let events = receiver.events(2).await;
    assert_eq!(users(&events), ["bob", "bob"]);
    let offline = &events[0];
    assert_eq!((&offline["type"], &offline["from"]), (&json!("message.offline"), &json!("alice")));
    let message = &offline["message"];
    assert_eq!(
        (&message["id"], &message["epoch"], &message["seq"], &message["ts"]),
        (&json!("m1"), &said["epoch"], &said["seq"], &said["ts"])
    );
    assert_eq!(events[1]["from"], "carol");
    alice.say("user:erin", "the last").await;
    assert_eq!(users(&receiver.events(1).await), ["erin"], "and nothing between");
}

#[tokio::test]
async fn what_a_shutdown_brings_about_is_still_told() {
    let mut receiver = Backend::start(&[]).await;
    let house = house(receiver.webhooks());
    let _alice = Client::enter(&house, "alice").await;
    receiver.events(1).await;
    let House { gateway, .. } = house;
    gateway.drain(Duration::ZERO).await;
    let down = tokio::task::spawn_blocking(move || gateway.shutdown());
    let closed = receiver.events(1).await;
    assert_eq!((&closed[0]["type"], &closed[0]["user"]), (&json!("connection.closed"), &json!("alice")));
    tokio::time::timeout(BROKEN, down).await.unwrap().unwrap();
}

#[tokio::test]
async fn each_receiver_is_told_what_it_wants_and_none_waits_for_another() {
    let mut stuck = Backend::start(&[Answer::None]).await;
    let mut rooms = Backend::start(&[Answer::Status(500)]).await;
    let mut all = Backend::start(&[]).await;
    let of_rooms = vec![WebhookEvent::RoomOccupied];
    let comings = vec![WebhookEvent::ConnectionOpened, WebhookEvent::RoomOccupied];
    let house = House::with(|plan| {
        plan.webhooks = vec![
            Webhooks { timeout: Duration::from_mins(1), ..stuck.webhooks() },
            Webhooks { events: of_rooms, secrets: vec![SECOND.to_vec()], ..rooms.webhooks() },
            Webhooks { events: comings, ..all.webhooks() },
        ];
    });
    let mut alice = Client::enter(&house, "alice").await;
    stuck.next().await.assert_signed(&[FIRST]);
    alice.join("chat:a").await;
    let events = all.events(2).await;
    assert_eq!((&events[0]["type"], &events[0]["user"]), (&json!("connection.opened"), &json!("alice")));
    assert_eq!((&events[1]["type"], &events[1]["room"]), (&json!("room.occupied"), &json!("chat:a")));
    let mut ids = Vec::new();
    for _ in 0..2 {
        let request = rooms.next().await;
        request.assert_signed(&[SECOND]);
        assert_eq!(request.events(), [events[1].clone()], "the same event, and nothing else");
        ids.push(request.header("turnpike-webhook-id").to_owned());
    }
    assert_eq!(ids[0], ids[1], "tried again");
    let deliveries = "turnpike_gateway_webhook_deliveries_total";
    house.until("both have it", |house| house.metric(deliveries, &["taken"]) >= 2).await;
    assert_eq!(house.metric(deliveries, &["2", "rejected"]), 1);
    assert_eq!(house.metric(deliveries, &["1"]), 0, "the first has not answered yet");
    assert!(house.metric("turnpike_gateway_webhook_queue_length", &["1"]) > 0);
}

fn of_rooms(backend: &Backend) -> Webhooks {
    let events = vec![WebhookEvent::RoomOccupied, WebhookEvent::RoomVacated];
    Webhooks { events, ..backend.webhooks() }
}

fn changes(events: &[Value]) -> Vec<(&str, &str)> {
    events.iter().map(|event| (event["type"].as_str().unwrap(), event["room"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn a_room_is_occupied_with_its_first_and_vacated_after_its_last() {
    let mut backend = Backend::start(&[]).await;
    let house = house(of_rooms(&backend));
    let mut alice = Client::enter(&house, "alice").await;
    let mut bob = Client::enter(&house, "bob").await;
    for client in [&mut alice, &mut bob] {
        client.join("chat:a").await;
    }
    let occupied = backend.events(1).await;
    assert_eq!(changes(&occupied), [("room.occupied", "chat:a")]);
    assert!(occupied[0].get("user").is_none() && occupied[0]["node"] == "n1");
    bob.join("chat:b").await;
    assert_eq!(changes(&backend.events(1).await), [("room.occupied", "chat:b")]);
    // One says goodbye, one leaves the room, one is cut off and comes back, and one is cut off for good.
    alice.leave_namespace().await;
    bob.ask("room:leave", &json!({ "room": "chat:b" })).await;
    let memory = bob.cut();
    let (bob, session) = Client::return_with(&house, "bob", &memory).await;
    assert_eq!(session["recovered"], true);
    let vacated = backend.events(1).await;
    assert_eq!(
        changes(&vacated),
        [("room.vacated", "chat:b")],
        "and nothing of the room that somebody came back to"
    );
    drop(bob);
    let vacated = backend.events(1).await;
    assert_eq!(changes(&vacated), [("room.vacated", "chat:a")]);
    let turn = |event: &Value| event["turn"].as_u64().unwrap();
    assert!(turn(&vacated[0]) > turn(&occupied[0]));
    assert_ne!(vacated[0]["id"], occupied[0]["id"]);
    let mut carol = Client::enter(&house, "carol").await;
    carol.join("chat:a").await;
    let again = backend.events(1).await;
    assert_eq!(changes(&again), [("room.occupied", "chat:a")]);
    assert!(turn(&again[0]) > turn(&vacated[0]));
}

#[tokio::test]
async fn when_the_only_node_ends_its_rooms_are_vacated() {
    let mut backend = Backend::start(&[]).await;
    let house = house(of_rooms(&backend));
    let mut alice = Client::enter(&house, "alice").await;
    alice.join("chat:a").await;
    backend.events(1).await;
    let House { gateway, .. } = house;
    let down = tokio::task::spawn_blocking(move || gateway.shutdown());
    assert_eq!(changes(&backend.events(1).await), [("room.vacated", "chat:a")]);
    tokio::time::timeout(BROKEN, down).await.unwrap().unwrap();
}
