//! Servers that help clients to reach a relay: who is told of them, when, and until when that is good.

use std::time::Duration;

use serde_json::{Value, json};
use turnpike_guard::{Claims, IceServers, Turn};

use crate::client::Client;
use crate::house::{House, claims, signed, token, unix_seconds};

const STUN: &str = "stun:stun.example.org";
const CREDENTIALS: &str = "turnpike_gateway_turn_credentials_total";
const TURN: &str = "turn:turn.example.org:3478?transport=udp";

fn house() -> House {
    House::with(|plan| {
        let turn = Turn::new(vec![TURN.to_owned()], &[7; 32], Duration::from_mins(10));
        plan.ice_servers = IceServers::new(vec![STUN.to_owned()], Some(turn));
    })
}

fn viewer() -> Claims {
    Claims { media: Some(vec!["live:*=subscribe".parse().unwrap()]), ..claims("alice") }
}

/// The servers are as they should be, with a credential of alice's from about now. Gives its end.
fn check(servers: &Value) -> u64 {
    assert_eq!(servers[0], json!({ "urls": [STUN] }));
    assert_eq!((&servers[1]["urls"], servers.as_array().unwrap().len()), (&json!([TURN]), 2));
    let ends = servers[1]["expires_at"].as_u64().unwrap() / 1000;
    assert!((unix_seconds() + 540..=unix_seconds() + 600).contains(&ends), "{servers}");
    assert_eq!(servers[1]["username"], format!("{ends}:alice"));
    assert_eq!(servers[1]["credential"].as_str().unwrap().len(), 28, "20 bytes in base64");
    ends
}

#[tokio::test]
async fn who_may_publish_or_watch_is_told_of_the_servers_and_given_a_credential() {
    let house = house();
    let (_alice, session) = Client::enter_with(&house, &json!({ "token": signed(&viewer()) })).await;
    check(&session["ice_servers"]);
    let (_bob, session) = Client::enter_with(&house, &json!({ "token": token("bob") })).await;
    assert_eq!(session.get("ice_servers"), None, "a relay for anything is not for everybody");
    assert_eq!(house.metric(CREDENTIALS, &[]), 1);
}

#[tokio::test]
async fn a_refresh_brings_another_credential_and_may_take_it_away() {
    let house = house();
    let token = signed(&viewer());
    let (mut alice, session) = Client::enter_with(&house, &json!({ "token": token })).await;
    let first = check(&session["ice_servers"]);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let refreshed = alice.ask("auth:refresh", &json!({ "token": token })).await;
    assert!(check(&refreshed["ice_servers"]) > first);
    let refreshed = alice.ask("auth:refresh", &json!({ "token": signed(&claims("alice")) })).await;
    assert_eq!((&refreshed["ok"], refreshed.get("ice_servers")), (&json!(true), None));
    assert_eq!(house.metric(CREDENTIALS, &[]), 2);
}

#[tokio::test]
async fn where_no_server_is_configured_nothing_is_said_of_any() {
    let house = House::start();
    let (_alice, session) = Client::enter_with(&house, &json!({ "token": signed(&viewer()) })).await;
    assert_eq!(session.get("ice_servers"), None);
    assert_eq!(house.metric(CREDENTIALS, &[]), 0);
}
