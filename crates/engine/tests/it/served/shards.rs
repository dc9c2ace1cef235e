//! Several shards: requests that land on the wrong one, rooms that span them.

use std::collections::HashSet;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use turnpike_engine::EngineConfig;
use turnpike_engine::packet::Class;

use super::lab::{Lab, numbered};

/// One HTTP request on a connection of its own, which the kernel gives to whichever shard it likes.
async fn request(lab: &Lab, method: &str, query: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(lab.server.local_addr()).await.expect("it listens");
    let request = format!(
        "{method} /socket.io/?EIO=4&transport=polling{query} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers");
    answer.split_once("\r\n\r\n").expect("a head").1.to_owned()
}

#[tokio::test]
async fn polls_find_their_session_on_whichever_shard_they_land() {
    let lab = Lab::start(EngineConfig { shards: 4, ..Lab::config() });
    for round in 0..20 {
        let open = request(&lab, "GET", "", "").await;
        let sid = open.split('"').nth(3).expect("a session id").to_owned();
        let query = format!("&sid={sid}");
        assert_eq!(request(&lab, "POST", &query, "40").await, "ok");
        assert!(request(&lab, "GET", &query, "").await.starts_with("40{\"sid\""));
        let post = format!("420{}", json!(["echo", round]));
        assert_eq!(request(&lab, "POST", &query, &post).await, "ok");
        assert_eq!(request(&lab, "GET", &query, "").await, format!("430[{round}]"));
    }
    assert!(lab.handle().counters().handed_over > 10, "{:?}", lab.handle().counters());
}

#[tokio::test]
async fn a_broadcast_reaches_members_on_all_shards_in_one_order() {
    let lab = Lab::start(EngineConfig { shards: 3, ..Lab::config() });
    let mut clients = Vec::new();
    for _ in 0..24 {
        let client = lab.client().await;
        lab.handle().join(&lab.socket(&client), "/", "r").expect("room in the inbox");
        clients.push(client);
    }
    let shards: HashSet<_> = clients.iter().map(|client| lab.socket(client).shard()).collect();
    assert!(shards.len() > 1, "the kernel spreads connections: {shards:?}");
    for number in 0..50 {
        lab.handle().broadcast("r", numbered(number, Class::Reliable, 10), None).expect("room in the inbox");
    }
    for client in &mut clients {
        for number in 0..50 {
            assert_eq!(client.received().await.1[0], json!(number));
        }
    }
}

#[tokio::test]
async fn a_websocket_that_lands_elsewhere_still_takes_its_session_over() {
    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio_tungstenite::tungstenite::Message;

    let lab = Lab::start(EngineConfig { shards: 4, ..Lab::config() });
    let address = lab.server.local_addr();
    for round in 0..12 {
        let open = request(&lab, "GET", "", "").await;
        let sid = open.split('"').nth(3).expect("a session id").to_owned();
        let query = format!("&sid={sid}");
        assert_eq!(request(&lab, "POST", &query, "40").await, "ok");
        assert!(request(&lab, "GET", &query, "").await.starts_with("40{\"sid\""));
        let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket&sid={sid}");
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("it upgrades");
        socket.send(Message::text("2probe")).await.expect("it reads");
        let text = |message: Option<Result<Message, _>>| {
            message.expect("open").expect("a frame").into_text().expect("text")
        };
        assert_eq!(text(socket.next().await), "3probe");
        socket.send(Message::text("5")).await.expect("it reads");
        socket.send(Message::text(format!("420{}", json!(["echo", round])))).await.expect("it reads");
        assert_eq!(text(socket.next().await), format!("430[{round}]"));
    }
    lab.until("upgraded", |counters| counters.upgrades == 12).await;
}
