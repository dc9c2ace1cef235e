//! Live video for clients whose network lets no datagrams through: they reach the relay itself, by TCP.

use serde_json::json;

use crate::harness::turnpike::Turnpike;
use crate::harness::{ports, script};

#[test]
fn who_can_send_no_datagrams_publishes_and_watches() {
    // Whoever cuts the network has to know it before. One shard, so that there is one.
    let [media] = ports::own().map(|port| port.to_string());
    let turnpike = Turnpike::start(&[("MEDIA_PORT", media.as_str()), ("TURNPIKE_MEDIA_SHARDS", "1")]);
    let token =
        |user: &str, rights: &str| turnpike.token(&["--user", user, "--stream", &format!("live:*={rights}")]);
    let options = [
        ("url", format!("http://{}", turnpike.server.address)),
        ("media", media),
        ("publisher", token("publisher", "publish")),
        ("viewer", token("viewer", "subscribe")),
    ];
    let lines = script::seen("tcp.mjs", &options);
    if lines[0]["isolated"] == false {
        println!(
            "SKIPPED: this machine makes no namespaces, and a browser cannot be told to send no datagrams"
        );
        return;
    }
    let names: Vec<_> = lines.iter().map(|line| line["step"].as_str().unwrap_or("?")).collect();
    assert_eq!(names, ["network", "publish", "watch"]);
    for line in &lines[1..] {
        assert!(line["fault"].is_null(), "{line}");
        assert_eq!(line["protocol"], json!("tcp"), "{line}");
        assert_ne!(line["candidateType"], json!("relay"), "{line}");
    }
    assert!(lines[2]["frames"].as_u64().unwrap() >= 30);
}
