//! Leaving in order.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;

use crate::client::Client;
use crate::house::House;

#[tokio::test]
async fn everybody_is_told_and_closed_and_nobody_is_taken_in() {
    let house = House::start();
    let mut clients = Vec::new();
    let mut returns = BTreeSet::new();
    for number in 0..10 {
        clients.push(Client::enter(&house, &format!("user-{number}")).await);
    }
    let drain = house.gateway.drain(Duration::from_millis(200));
    let watch = async {
        for client in &mut clients {
            let event = client.event().await;
            let after_ms = event.data["reconnect_after_ms"].as_u64().expect("when to come back");
            let told = json!({ "code": 3001, "reason": "drain", "reconnect_after_ms": after_ms });
            assert_eq!((&*event.name, &event.data), ("closing", &told));
            assert!(after_ms < 1_000);
            returns.insert(after_ms);
            assert!(client.next_event().await.is_none());
        }
    };
    let (closed, ()) = tokio::join!(drain, watch);
    assert_eq!(closed, 10);
    assert!(returns.len() > 3, "not all in the same moment: {returns:?}");
    let stream = TcpStream::connect(house.address()).await.unwrap();
    let url = format!("ws://{}/ws", house.address());
    assert!(tokio_tungstenite::client_async(url, stream).await.is_err());
    assert_eq!(crate::http::get(&house, "/api/v1/info/health", "").await.0, 503);
    house.gateway.shutdown();
}
