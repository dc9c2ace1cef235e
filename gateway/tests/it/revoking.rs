//! What is called back: who is connected by it is closed, who is away does not come back by it, and nobody is let in by it.

use serde_json::{Value, json};
use turnpike_cluster::{Notice, Topic};
use turnpike_guard::{Claims, NumericDate, Revoked, Role};

use crate::client::Client;
use crate::house::{House, claims, signed, token, unix_seconds};
use crate::http::request;

fn named(user: &str, id: &str) -> Claims {
    Claims { jti: Some(id.into()), iat: Some(NumericDate(unix_seconds())), ..claims(user) }
}

async fn revoke(house: &House, what: &Revoked) {
    let until_ms = (unix_seconds() + 600) * 1_000;
    let notice = Notice::new(Topic::Revoked, what.key(), what.value(), until_ms);
    house.cluster.bulletin.post(notice).wait().await.unwrap();
}

async fn ask(house: &House, token: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let headers = format!("authorization: Bearer {token}\r\ncontent-type: application/json\r\n");
    let (status, _, answer) = request(house, method, path, &headers, &body).await;
    (status, serde_json::from_str(&answer).unwrap())
}

fn backend() -> String {
    signed(&Claims { role: Role::Service, ..claims("shop") })
}

async fn is_sent_away(client: &mut Client) {
    let farewell = client.event().await;
    assert_eq!((&*farewell.name, &farewell.data["code"]), ("closing", &json!(3502)));
    assert!(client.next_event().await.is_none(), "closed");
}

#[tokio::test]
async fn who_is_connected_by_it_is_closed_and_nobody_else() {
    let house = House::start();
    let enter =
        async |claims: &Claims| Client::enter_with(&house, &json!({ "token": signed(claims) })).await.0;
    let mut by_id = enter(&named("alice", "t1")).await;
    let mut other_token = enter(&named("alice", "t2")).await;
    let mut by_connection = enter(&named("alice", "t2")).await;
    let mut by_user = enter(&Claims { iat: Some(NumericDate(unix_seconds() - 20)), ..claims("bob") }).await;
    let mut later = enter(&Claims { iat: Some(NumericDate(unix_seconds())), ..claims("bob") }).await;
    let mut undated = enter(&claims("bob")).await;
    revoke(&house, &Revoked::Token("t1".into())).await;
    is_sent_away(&mut by_id).await;
    revoke(&house, &Revoked::Connection(by_connection.sid.as_str().into())).await;
    is_sent_away(&mut by_connection).await;
    let bob = claims("bob").sub;
    revoke(&house, &Revoked::User(bob, unix_seconds() - 10)).await;
    is_sent_away(&mut by_user).await;
    is_sent_away(&mut undated).await;
    other_token.has_nothing_more().await;
    later.has_nothing_more().await;
    let refused =
        Client::open(house.address()).await.connect(&json!({ "token": signed(&named("alice", "t1")) })).await;
    assert_eq!(
        refused.unwrap_err()["data"]["reason"],
        "unauthorized",
        "it says no more than of any bad token"
    );
    assert_eq!(house.metric("turnpike_gateway_tokens_refused_total", &["revoked"]), 1);
    let refreshed = later.ask("auth:refresh", &json!({ "token": signed(&claims("bob")) })).await;
    assert_eq!(refreshed["error"]["code"], 104, "nor is it taken for a refresh");
    assert_eq!(house.metric("turnpike_gateway_sessions_revoked_total", &["connected"]), 4);
}

#[tokio::test]
async fn who_is_away_does_not_come_back_by_it() {
    let house = House::with(|plan| plan.engine.shards = 1);
    let auth = json!({ "token": signed(&named("alice", "t1")) });
    for number in 0..3 {
        let (mut alice, _) = Client::enter_with(&house, &auth).await;
        alice.join("chat:a").await;
        let sid = alice.sid.clone();
        let memory = alice.cut();
        house.until("the cut is seen", |house| house.gateway.counters().sockets_now == 0).await;
        // It is counted before the gateway is told. Whom the same shard greets comes behind that.
        drop(Client::open(house.address()).await);
        // While it is away; and before anybody knows that it is.
        let what = match number {
            0 => Some(Revoked::Connection(sid.as_str().into())),
            1 => None,
            _ => Some(Revoked::Token("t1".into())),
        };
        if let Some(what) = &what {
            revoke(&house, what).await;
            let ended = u64::from(number > 0) + 1;
            let name = "turnpike_gateway_sessions_revoked_total";
            house.until("it is given up", |house| house.metric(name, &["away"]) == ended).await;
        }
        let (alice, session) = Client::return_with(&house, "alice", &memory).await;
        assert_eq!(session["recovered"], what.is_none(), "{what:?}");
        drop(alice);
        house.until("it is gone", |house| house.gateway.counters().sockets_now == 0).await;
    }
}

#[tokio::test]
async fn what_was_called_back_before_the_node_began_counts_as_well() {
    let house = House::start();
    revoke(&house, &Revoked::Token("t1".into())).await;
    let auth = json!({ "token": signed(&named("alice", "t1")) });
    house.until("it counts", |house| house.cluster.bulletin.holding(Topic::Revoked).len() == 1).await;
    assert!(Client::open(house.address()).await.connect(&auth).await.is_err());
    assert_eq!(ask(&house, &signed(&named("shop", "t1")), "GET", "/api/v1/rooms", &Value::Null).await.0, 401);
}

#[tokio::test]
async fn backends_revoke_list_and_lift() {
    let house = House::start();
    let backend = backend();
    let path = "/api/v1/revocations";
    let (mut alice, _) = Client::enter_with(&house, &json!({ "token": signed(&named("alice", "t1")) })).await;
    let (status, revoked) = ask(&house, &backend, "POST", path, &json!({ "token": "t1" })).await;
    assert_eq!((status, &revoked["kind"], &revoked["id"]), (200, &json!("token"), &json!("t1")), "{revoked}");
    is_sent_away(&mut alice).await;
    let before = unix_seconds() - 5;
    let (_, revoked) =
        ask(&house, &backend, "POST", path, &json!({ "user": "bob", "not_before": before })).await;
    assert_eq!(revoked["not_before"], before);
    for odd in [json!({}), json!({ "token": "t", "user": "bob" }), json!({ "token": "x".repeat(500) })] {
        assert_eq!(ask(&house, &backend, "POST", path, &odd).await.0, 400, "{odd}");
    }
    assert_eq!(ask(&house, &token("alice"), "POST", path, &json!({ "token": "t1" })).await.0, 403);
    let (_, page) = ask(&house, &backend, "GET", "/api/v1/revocations?limit=1", &Value::Null).await;
    assert_eq!((&page["revocations"][0]["id"], &page["cursor"]), (&json!("t1"), &json!("token:t1")));
    let next = format!("{path}?limit=1&cursor={}", page["cursor"].as_str().unwrap());
    let (_, page) = ask(&house, &backend, "GET", &next, &Value::Null).await;
    assert_eq!((&page["revocations"][0]["kind"], &page["cursor"]), (&json!("user"), &Value::Null));
    assert_eq!(ask(&house, &backend, "DELETE", "/api/v1/revocations/token/t1", &Value::Null).await.0, 200);
    assert_eq!(ask(&house, &backend, "DELETE", "/api/v1/revocations/thing/t1", &Value::Null).await.0, 400);
    let (_, page) = ask(&house, &backend, "GET", path, &Value::Null).await;
    assert_eq!(page["revocations"].as_array().unwrap().len(), 1, "{page}");
    let auth = json!({ "token": signed(&named("alice", "t1")) });
    let lifted = async {
        while Client::open(house.address()).await.connect(&auth).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(crate::house::BROKEN, lifted).await.expect("it counts again");
}
