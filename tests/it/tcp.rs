//! Live video for clients whose network lets no datagrams through: they reach the relay itself, by TCP.

use std::net::TcpListener;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::turnpike::Turnpike;
use crate::harness::{home, require_packages};

#[test]
fn who_can_send_no_datagrams_publishes_and_watches() {
    require_packages();
    // Whoever cuts the network has to know it before. One shard, so that there is one.
    let media = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let turnpike = Turnpike::start(&[("MEDIA_PORT", media.as_str()), ("TURNPIKE_MEDIA_SHARDS", "1")]);
    let token =
        |user: &str, rights: &str| turnpike.token(&["--user", user, "--stream", &format!("live:*={rights}")]);
    let output = Command::new("node")
        .current_dir(home().join("node"))
        .arg("tcp.mjs")
        .arg(format!("--url=http://{}", turnpike.server.address))
        .arg(format!("--media={media}"))
        .arg(format!("--publisher={}", token("publisher", "publish")))
        .arg(format!("--viewer={}", token("viewer", "subscribe")))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    println!("{printed}");
    let lines: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
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
