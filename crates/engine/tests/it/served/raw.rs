//! The plain JSON protocol at `/ws`.

use futures_util::SinkExt as _;
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use turnpike_engine::packet::{Class, Encoded};
use turnpike_engine::{DisconnectReason, EngineConfig};

use super::lab::{Client, Lab, numbered};

impl Lab {
    pub(super) async fn raw(&self, authorization: Option<&str>) -> Client {
        let address = self.server.local_addr();
        let stream = TcpStream::connect(address).await.expect("it listens");
        let mut request = format!("ws://{address}/ws").into_client_request().expect("a request");
        if let Some(token) = authorization {
            request.headers_mut().insert("authorization", token.parse().expect("a value"));
        }
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await.expect("it upgrades");
        Client { socket, sid: String::new(), pid: None }
    }
}

#[tokio::test]
async fn whoever_asks_is_answered_also_when_asking_twice() {
    let lab = Lab::start(Lab::config());
    for token in [None, Some("Bearer x")] {
        let mut client = lab.raw(token).await;
        client.send(r#"{"id":1,"event":"connect","data":{"token":"x"}}"#).await;
        let first = client.text().await;
        assert!(first.starts_with(r#"{"id":1,"ok":true,"connection":""#), "{first}");
        client.send(r#"{"id":2,"event":"connect","data":null}"#).await;
        assert_eq!(client.text().await, first.replace(r#""id":1"#, r#""id":2"#));
        client.send(r#"{"id":3,"event":"echo","data":{"a":1}}"#).await;
        assert_eq!(client.text().await, r#"{"id":3,"a":1}"#);
        lab.until("one socket", |counters| counters.sockets_now == 1).await;
    }
}

#[tokio::test]
async fn an_event_before_the_connect_and_a_binary_frame_close() {
    let mut lab = Lab::start(Lab::config());
    let mut early = lab.raw(None).await;
    early.send(r#"{"id":1,"event":"echo","data":1}"#).await;
    assert_eq!(early.next_text().await, None);
    let mut binary = lab.raw(Some("Bearer x")).await;
    binary.socket.send(Message::binary(vec![1])).await.expect("it reads");
    assert_eq!(binary.next_text().await, None);
    assert!(matches!(lab.disconnected().await, DisconnectReason::ProtocolError(_)));
    for text in
        ["", "[]", "{", r#"{"event":1}"#, r#"{"event":"echo"}x"#, r#"{"id":-1,"event":"echo","data":1}"#]
    {
        let mut broken = lab.raw(Some("Bearer x")).await;
        broken.send(text).await;
        assert_eq!(broken.next_text().await, None, "{text}");
    }
    lab.until("nothing is left", |counters| counters.connections_now == 0 && counters.sockets_now == 0).await;
}

#[tokio::test]
async fn events_come_without_offsets_and_are_asked_for_no_answers() {
    let lab = Lab::start(EngineConfig { shards: 2, ..Lab::config() });
    let mut client = lab.raw(None).await;
    client.send(r#"{"id":1,"event":"connect","data":null}"#).await;
    client.sid = client.text().await.split('"').nth(7).expect("an id").to_owned();
    let socket = lab.socket(&client);
    lab.handle().join(&socket, "/", "r").expect("room in the inbox");
    lab.handle().broadcast("r", numbered(7, Class::Reliable, 1), None).expect("room in the inbox");
    assert_eq!(client.text().await, r#"{"event":"message","data":[7,"x"]}"#);
    let question = Encoded::event("/", "question").arg(&json!(1));
    let answer = lab.handle().emit_with_ack(&socket, question, std::time::Duration::from_mins(1)).await;
    assert_eq!(answer.err(), Some(turnpike_engine::AckError::Unsupported));
}
