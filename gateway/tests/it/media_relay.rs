//! The gateway and the relay together, with what a browser offers. No media flows: what is said about it is all there is.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use turnpike_media_relay::signaling::SignalingMetrics;
use turnpike_media_relay::{Homes, HomesConfig, Relay, RelayConfig, signaling};
use turnpike_wire::Code;

use crate::client::Client;
use crate::house::{BROKEN, House};
use crate::media::{enter, refused, state};

const STREAM: &str = "live:show";
const PUBLISH: &str = include_str!("../../../crates/sdp/tests/offers/chromium-publish.sdp");
const WATCH: &str = include_str!("../../../crates/sdp/tests/offers/safari-watch.sdp");

struct Stage {
    house: House,
    relay: Relay,
    _tasks: JoinSet<()>,
}

impl Stage {
    async fn open() -> Self {
        let house = House::with(|plan| plan.media.grace = Duration::from_secs(3));
        let relay = Relay::start(&RelayConfig::default(), &prometheus::Registry::new()).unwrap();
        let config = HomesConfig { sessions_max: 100, ..HomesConfig::default() };
        let homes = Homes::new(relay.clone(), &house.cluster, config);
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&homes).keep(std::future::pending()));
        let cluster = house.cluster.clone();
        let metrics = SignalingMetrics::register(&prometheus::Registry::new()).unwrap();
        tasks.spawn(signaling::run(relay.clone(), homes, cluster, metrics, std::future::pending()));
        let mut nodes = house.cluster.membership.nodes();
        let offered = nodes.wait_for(|nodes| nodes.iter().any(|node| node.relay.is_some()));
        tokio::time::timeout(BROKEN, offered).await.expect("the relay is offered").unwrap();
        Self { house, relay, _tasks: tasks }
    }

    /// Waits until so many of each are there.
    async fn until(&self, publishers: usize, viewers: u64) {
        let there = async {
            loop {
                let told = self.relay.ask(turnpike_media_relay::Ask::Streams).await.unwrap();
                let turnpike_media_relay::Told::Streams(streams) = told else { panic!("{told:?}") };
                let found = streams.iter().map(|stream| (stream.publishers.len(), stream.viewers));
                if found.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1)) == (publishers, viewers) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(BROKEN, there).await.expect("as many as that");
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.relay.stop();
    }
}

async fn published(client: &mut Client) -> Value {
    let answer = client.ask("media:publish", &json!({ "stream": STREAM, "sdp": PUBLISH })).await;
    assert_eq!(answer["ok"], true, "{answer}");
    answer
}

#[tokio::test]
async fn a_stream_from_its_beginning_to_its_end() {
    let stage = Stage::open().await;
    let (mut alice, mut bob) = (enter(&stage.house, "alice").await, enter(&stage.house, "bob").await);
    let watch = json!({ "stream": STREAM, "sdp": WATCH });
    refused(&bob.ask("media:subscribe", &watch).await, Code::NoSuchStream);
    let answer = published(&mut alice).await;
    assert_eq!(answer["type"], "answer");
    assert!(answer["sdp"].as_str().unwrap().contains("a=recvonly"), "{answer}");
    stage.until(1, 0).await;
    let watched = bob.ask("media:subscribe", &watch).await;
    assert!(watched["sdp"].as_str().is_some_and(|sdp| sdp.contains("a=sendonly")), "{watched}");
    let told = loop {
        let told = state(&mut alice).await;
        if told["viewers"] == 1 {
            break told;
        }
    };
    assert_eq!((&told["session"], &told["role"]), (&answer["session"], &json!("publisher")));
    let candidate =
        json!({ "candidate": "candidate:1 1 udp 2122260223 127.0.0.1 5000 typ host", "sdpMid": "0" });
    for (event, data) in [
        ("media:candidate", json!({ "candidate": candidate })),
        ("media:candidate", json!({ "candidate": null })),
        ("media:layer", json!({ "quality": "low" })),
        ("media:mute", json!({ "kind": "audio", "muted": true })),
        ("media:resume", json!({})),
    ] {
        let mut data = data;
        data["session"] = watched["session"].clone();
        let answer = bob.ask(event, &data).await;
        assert_eq!(answer["ok"], true, "{event}: {answer}");
    }
    let stopped = bob.ask("media:stop", &json!({ "session": watched["session"] })).await;
    assert_eq!(stopped["ok"], true, "{stopped}");
    stage.until(1, 0).await;
    refused(&bob.ask("media:stop", &json!({ "session": watched["session"] })).await, Code::NoSuchStream);
    alice.leave_namespace().await;
    stage.until(0, 0).await;
}

#[tokio::test]
async fn a_connection_that_does_not_come_back_publishes_no_more() {
    let stage = Stage::open().await;
    published(&mut enter(&stage.house, "alice").await).await;
    stage.until(1, 0).await;
    stage.until(0, 0).await;
}

#[tokio::test]
async fn what_the_relay_cannot_use_is_refused_by_it() {
    let stage = Stage::open().await;
    let mut alice = enter(&stage.house, "alice").await;
    for sdp in ["nonsense", "v=0\r\n"] {
        let answer = alice.ask("media:publish", &json!({ "stream": STREAM, "sdp": sdp })).await;
        refused(&answer, Code::BadSdp);
    }
    stage.until(0, 0).await;
    assert_eq!(stage.house.metric("turnpike_gateway_media_sessions", &[]), 0);
}
