//! Several shards: requests that land on the wrong one, rooms that span them.

use std::collections::HashSet;

use serde_json::json;
use turnpike_engine::EngineConfig;
use turnpike_engine::packet::{Class, Encoded};

use super::lab::{Lab, numbered};

#[tokio::test]
async fn polls_find_their_session_on_whichever_shard_they_land() {
    let lab = Lab::start(EngineConfig { shards: 4, ..Lab::config() });
    for round in 0..20 {
        let session = lab.polling().await;
        session.enter().await;
        assert_eq!(session.post(&format!("420{}", json!(["echo", round]))).await.body, "ok");
        assert_eq!(session.get().await.body, format!("430[{round}]"));
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

/// Connections stand at the same places on every shard, and only those that were meant are left out.
#[tokio::test]
async fn some_members_are_left_out_of_a_broadcast() {
    let lab = Lab::start(EngineConfig { shards: 2, ..Lab::config() });
    let mut clients = Vec::new();
    for _ in 0..12 {
        let client = lab.client().await;
        lab.handle().join(&lab.socket(&client), "/", "r").expect("room in the inbox");
        clients.push(client);
    }
    let left_out: Vec<_> = clients[..4].iter().map(|client| lab.socket(client)).collect();
    for number in 0..3 {
        let event = numbered(number, Class::Reliable, 10);
        let sent = match number {
            0 => lab.handle().broadcast_except("r", event, &left_out),
            1 => lab.handle().broadcast("r", event, Some(&left_out[0])),
            _ => lab.handle().broadcast("r", event, None),
        };
        sent.expect("room in the inbox");
    }
    for (index, client) in clients.iter_mut().enumerate() {
        let expected: &[usize] = match index {
            0 => &[2],
            1..4 => &[1, 2],
            _ => &[0, 1, 2],
        };
        for number in expected {
            assert_eq!(client.received().await.1[0], json!(number), "client {index}");
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
        let session = lab.polling().await;
        session.enter().await;
        let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket{}", session.query());
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

/// A question that only some were asked would be asked again of them.
#[tokio::test]
async fn a_room_is_asked_on_all_shards_or_on_none() {
    let lab = Lab::start(EngineConfig { shards: 2, inbox_commands_max: 8, ..Lab::config() });
    let mut clients = [Vec::new(), Vec::new()];
    while clients.iter().any(Vec::is_empty) {
        let client = lab.client().await;
        clients[lab.socket(&client).shard()].push(client);
    }
    for blocked in [0, 1] {
        let (stuck, free) = (lab.socket(&clients[blocked][0]), lab.socket(&clients[1 - blocked][0]));
        let room = format!("room {blocked}");
        for socket in [&stuck, &free] {
            lab.handle().join(socket, "/", &room).expect("room in the inbox");
            lab.handle().rooms(socket).await;
        }
        let handled = lab.app.handled.load(std::sync::atomic::Ordering::Relaxed);
        clients[blocked][0].event("block", &json!({"ms": 1_500})).await;
        while lab.app.handled.load(std::sync::atomic::Ordering::Relaxed) == handled {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        while lab.handle().leave(&stuck, "no room").is_ok() {}
        let question = Encoded::event("/", "question").arg(&1);
        let timeout = std::time::Duration::from_millis(10);
        let asked = lab.handle().broadcast_with_ack("/", &room, &question, timeout).await;
        assert!(asked.is_err(), "{asked:?}");
        let free = &mut clients[1 - blocked][0];
        free.send("421[\"echo\",1]").await;
        assert_eq!(free.text().await, "431[1]", "and no question before it");
        lab.handle().rooms(&stuck).await;
    }
}

/// A room is of the namespace that its members are in; any other name for it is nobody's.
#[tokio::test]
async fn a_join_with_another_namespace_comes_to_nothing() {
    let lab = Lab::start(EngineConfig { shards: 2, ..Lab::config() });
    let mut client = lab.client().await;
    let socket = lab.socket(&client);
    let handle = lab.handle();
    handle.join(&socket, "/other", "r").expect("room in the inbox");
    assert_eq!(handle.rooms(&socket).await, Vec::<String>::new());
    assert!(!handle.may_have_members("/other", "r"));
    handle.join(&socket, "/", "r").expect("room in the inbox");
    handle.join(&socket, "/other", "r").expect("room in the inbox");
    assert_eq!(handle.rooms(&socket).await, ["r"]);
    assert!(handle.may_have_members("/", "r") && !handle.may_have_members("/other", "r"));
    handle.broadcast("r", numbered(1, Class::Reliable, 1), None).expect("room in the inbox");
    assert_eq!(client.received().await.1[0], json!(1));
    handle.leave(&socket, "r").expect("room in the inbox");
    handle.rooms(&socket).await;
    assert!(!handle.may_have_members("/", "r"));
}

#[tokio::test]
async fn any_text_names_a_room() {
    let lab = Lab::start(EngineConfig { shards: 2, ..Lab::config() });
    let mut client = lab.client().await;
    let socket = lab.socket(&client);
    for (number, room) in ["\u{1}p:chat:a", "", "with space", "ü", "a:b:c"].into_iter().enumerate() {
        lab.handle().join(&socket, "/", room).expect("room in the inbox");
        let event = numbered(number, Class::Reliable, 1);
        lab.handle().broadcast(room, event, None).expect("room in the inbox");
        assert_eq!(client.received().await.1[0], json!(number), "{room:?}");
    }
}
