//! What asks for nothing (pings, pongs, answers that nobody waits for) and is therefore refused by no limit of events.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use futures_util::SinkExt as _;
use tokio_tungstenite::tungstenite::Message;
use turnpike_engine::{DisconnectReason, EngineConfig, Noticed};

use super::lab::{Client, Lab};

const BURST: usize = 50;

/// As it is sent. None: a frame that is a ping.
const ASIDES: [Option<&str>; 4] = [Some("437[1]"), Some("43/elsewhere,7[1]"), Some("3"), None];

async fn say(client: &mut Client, aside: Option<&str>) -> bool {
    let message = aside.map_or_else(|| Message::Ping(vec![7].into()), Message::text);
    client.socket.send(message).await.is_ok()
}

#[tokio::test]
async fn too_much_of_it_is_the_end_of_a_connection_and_is_told_of() {
    let config = EngineConfig { asides_per_second: 1, asides_burst: BURST, ..Lab::config() };
    let mut lab = Lab::start(config);
    for (number, aside) in ASIDES.into_iter().enumerate() {
        let address = IpAddr::V4(Ipv4Addr::new(203, 0, 113, number as u8));
        let mut client =
            lab.websocket_of("/socket.io/?EIO=4&transport=websocket", &address.to_string()).await;
        let client = client.as_mut().expect("it upgrades");
        let _open = client.text().await;
        client.enter("40").await;
        for _ in 0..BURST - 5 {
            assert!(say(client, aside).await);
        }
        // It is not what it said that counts against it then.
        client.send(r#"421["echo",1]"#).await;
        while !client.text().await.starts_with("431") {}
        assert!(lab.noticed().iter().all(|(of, _)| *of != address));
        for _ in 0..10 {
            say(client, aside).await;
        }
        let reason = lab.disconnected().await;
        assert_eq!(reason, DisconnectReason::ProtocolError("too much that asks for nothing".to_owned()));
        lab.until_noticed(address, Noticed::Malformed).await;
    }
}

#[tokio::test]
async fn a_little_of_it_may_go_on_for_ever() {
    let lab = Lab::start(EngineConfig { asides_per_second: 200, asides_burst: 20, ..Lab::config() });
    let mut client = lab.client().await;
    for _ in 0..40 {
        for aside in ASIDES {
            assert!(say(&mut client, aside).await);
        }
        // A server that has other things to do is not to find more of them than one may say at once.
        client.send(r#"421["echo",1]"#).await;
        while !client.text().await.starts_with("431") {}
        tokio::time::sleep(Duration::from_millis(24)).await;
    }
    assert_eq!(lab.handle().counters().connections_now, 1);
}
