//! What happens to a connection when its token ends, or is replaced by another.

use serde_json::json;
use turnpike_guard::{Claims, NumericDate};

use crate::client::Client;
use crate::house::{House, claims, grant, signed, unix_seconds};

fn token_until(user: &str, expires_at: u64) -> String {
    signed(&Claims { exp: NumericDate(expires_at), ..claims(user) })
}

#[tokio::test]
async fn who_is_told_of_the_end_may_go_on_with_another_token() {
    let house = House::start();
    let expires_at = unix_seconds() + 62;
    let auth = json!({ "token": token_until("alice", expires_at) });
    let (mut alice, _) = Client::enter_with(&house, &auth).await;
    let expiring = alice.event().await;
    assert_eq!((&*expiring.name, &expiring.data), ("expiring", &json!({ "at": expires_at * 1000 })));
    assert!(unix_seconds() >= expires_at - 60, "not before its time");
    let later = unix_seconds() + 600;
    let refreshed = alice.ask("auth:refresh", &json!({ "token": token_until("alice", later) })).await;
    assert_eq!(refreshed, json!({ "ok": true, "expires_at": later * 1000 }));
}

#[tokio::test]
async fn with_its_token_a_connection_ends() {
    let house = House::start();
    let auth = json!({ "token": token_until("alice", unix_seconds() + 5) });
    let (mut alice, _) = Client::enter_with(&house, &auth).await;
    let (mut bob, _) = Client::enter_with(&house, &auth).await;
    bob.ask("auth:refresh", &json!({ "token": token_until("alice", unix_seconds() + 600) })).await;
    let farewell = alice.event().await;
    assert_eq!((&*farewell.name, &farewell.data["code"]), ("closing", &json!(3501)));
    assert!(alice.next_event().await.is_none(), "closed");
    bob.has_nothing_more().await;
}

#[tokio::test]
async fn a_refresh_is_for_the_same_user_and_may_take_rooms_away() {
    let house = House::start();
    let mut alice = Client::enter(&house, "alice").await;
    let mut bob = Client::enter(&house, "bob").await;
    for room in ["chat:a", "chat:b"] {
        alice.join(room).await;
        bob.join(room).await;
    }
    let refused = alice.ask("auth:refresh", &json!({ "token": signed(&claims("mallory")) })).await;
    assert_eq!(refused["error"]["code"], 106);
    let refused = alice.ask("auth:refresh", &json!({ "token": "x" })).await;
    assert_eq!(refused["error"]["code"], 104);
    let narrow = Claims { rooms: Some(vec![grant("chat:b=join")]), ..claims("alice") };
    let refreshed = alice.ask("auth:refresh", &json!({ "token": signed(&narrow) })).await;
    assert_eq!(refreshed["ok"], true);
    bob.say("chat:a", "not for alice any more").await;
    bob.say("chat:b", "for alice").await;
    assert_eq!(alice.message().await.1, "for alice");
    let refused = alice.ask("message:send", &json!({ "room": "chat:b", "body": 1 })).await;
    assert_eq!(refused["error"]["reason"], "forbidden", "the new token does not grant it");
}
