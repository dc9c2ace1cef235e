//! Live video with a real browser, whose camera and microphone are not there: over WHIP and WHEP, and over the gateway.

use serde_json::Value;

use crate::harness::script;
use crate::harness::turnpike::Turnpike;

/// What a page printed of each step.
fn steps(turnpike: &Turnpike, names: &[&str]) -> Vec<Value> {
    let token =
        |user: &str, rights: &str| turnpike.token(&["--user", user, "--stream", &format!("live:*={rights}")]);
    let options = [
        ("url", format!("http://{}", turnpike.server.address)),
        ("publisher", token("publisher", "publish")),
        ("viewer", token("viewer", "subscribe")),
        ("steps", names.join(",")),
    ];
    let lines = script::seen("media.mjs", &options);
    assert_eq!(lines.len(), names.len(), "a line a step");
    for (line, name) in lines.iter().zip(names) {
        assert_eq!(line["step"], *name);
        assert!(line["fault"].is_null(), "{line}");
    }
    lines
}

/// Sound and picture of somebody who speaks are felt to be apart from about there (ITU-R BT.1359).
const APART_MS_MAX: f64 = 40.0;

/// With the machine to itself: what a busy one adds to either way is no fault of the relay's.
#[test]
fn alone_sound_and_picture_stay_together() {
    let turnpike = Turnpike::start(&[]);
    let lines = steps(&turnpike, &["whip_to_whep", "together", "stop"]);
    let apart = |by: &str| lines[1][by].as_f64().unwrap().abs();
    let (relayed, direct) = (apart("relayed_ms"), apart("direct_ms"));
    assert!(relayed <= direct + APART_MS_MAX, "{relayed} ms apart through the relay, {direct} without it");
}

/// With the machine to itself. Half of those who come late wait for no keyframe; what a browser takes for the rest is not held
/// against the relay.
#[test]
fn alone_who_comes_late_sees_a_picture_at_once() {
    let turnpike = Turnpike::start(&[]);
    let lines = steps(&turnpike, &["whip_to_whep", "late"]);
    assert!(lines[1]["p50_ms"].as_f64().unwrap() <= 150.0, "{}", lines[1]);
}

#[test]
fn a_browser_publishes_and_watches_over_whip_and_whep() {
    let turnpike = Turnpike::start(&[]);
    let lines = steps(&turnpike, &["whip_to_whep", "restart", "reload", "stop"]);
    assert_eq!(lines[1]["etag_changed"], true);
    assert_eq!((&lines[3]["viewer"], &lines[3]["publisher"]), (&200.into(), &200.into()));
}

#[test]
fn a_browser_publishes_and_watches_over_the_gateway() {
    let turnpike = Turnpike::start(&[]);
    let lines = steps(&turnpike, &["signaled"]);
    assert_eq!(lines[0]["audience"], serde_json::json!(["viewer"]));
    assert_eq!((&lines[0]["state"], &lines[0]["videos"]), (&"live".into(), &2.into()));
}

#[test]
fn every_codec_of_a_browser_goes_through() {
    let turnpike = Turnpike::start(&[]);
    let lines = steps(&turnpike, &["codecs", "simulcast", "layers"]);
    for codec in ["vp8", "vp9", "h264", "av1"] {
        assert!(lines[0][codec].as_u64().is_some_and(|frames| frames > 0), "{codec}: {}", lines[0]);
    }
    assert!(lines[1]["width"].as_u64().is_some_and(|width| width > 0), "{}", lines[1]);
    assert_eq!(lines[2]["seen"], serde_json::json!({ "l": 320, "m": 640, "h": 1280 }));
}
