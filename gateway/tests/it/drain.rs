//! Leaving in order.

use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;

use crate::client::Client;
use crate::house::House;

#[tokio::test]
async fn everybody_is_told_and_closed_and_nobody_is_taken_in() {
    let house = House::start();
    let mut clients = Vec::new();
    for number in 0..10 {
        clients.push(Client::enter(&house, &format!("user-{number}")).await);
    }
    let drain = house.gateway.drain(Duration::from_millis(200));
    let watch = async {
        for client in &mut clients {
            let event = client.event().await;
            assert_eq!((&*event.name, &event.data), ("closing", &json!({ "code": 3001, "reason": "drain" })));
            assert!(client.next_event().await.is_none());
        }
    };
    let (closed, ()) = tokio::join!(drain, watch);
    assert_eq!(closed, 10);
    let stream = TcpStream::connect(house.address()).await.unwrap();
    let url = format!("ws://{}/ws", house.address());
    assert!(tokio_tungstenite::client_async(url, stream).await.is_err());
    assert_eq!(crate::http::get(&house, "/api/v1/info/health", "").await.0, 503);
    house.gateway.shutdown();
}
