//! How long things take is measured: from CONNECT to its answer, and from a publication to its receivers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use turnpike_engine::packet::Encoded;

use super::lab::{BROKEN, Lab};

#[tokio::test]
async fn what_is_late_is_known_by_how_much() {
    let lab = Lab::start(Lab::config());
    let mut client = lab.client().await;
    assert_eq!(lab.handle().times().entering.count(), 1);
    lab.handle().join(&lab.socket(&client), "/", "r").expect("room in the inbox");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64;
    for (name, published_ms) in [("early", now - 300), ("of a clock that is ahead", now + 60_000)] {
        let event = Encoded::event("/", name).arg(&1).published(published_ms).build();
        lab.handle().broadcast("r", event, None).expect("room in the inbox");
        assert_eq!(client.received().await, (name.to_owned(), json!(1)));
    }
    // Of these it is not known.
    lab.handle()
        .broadcast("r", Encoded::event("/", "unknown").arg(&1).build(), None)
        .expect("room in the inbox");
    client.received().await;
    let measured = async {
        while lab.handle().times().delivery_lag.count() < 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(BROKEN, measured).await.expect("both are measured");
    let lag = lab.handle().times().delivery_lag;
    let up_to: Vec<(f64, u64)> = lag.up_to().collect();
    assert_eq!((lag.count(), up_to[0].1), (2, 1), "one is no later than it can be: {up_to:?}");
    assert!(up_to.iter().all(|(bound, count)| *bound > 0.256 || *count == 1), "{up_to:?}");
    assert!((0.3..30.0).contains(&lag.seconds()), "{}", lag.seconds());
}
