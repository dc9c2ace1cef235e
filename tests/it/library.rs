//! The client library of `web/` in Node: over the plain websocket, and over the official Socket.IO client.

use crate::harness::script::seen;
use crate::harness::turnpike::Turnpike;

const SECRET: &str = "a secret of the library's tests, long enough";
const CASES: usize = 9;

#[test]
fn the_library_over_the_plain_websocket() {
    go("plain");
}

#[test]
fn the_library_over_the_official_client() {
    go("socketio");
}

fn go(link: &str) {
    let turnpike = Turnpike::start(&[("JWT_SECRET", SECRET)]);
    let url = format!("http://{}", turnpike.server.address);
    let options = [("url", url), ("secret", SECRET.to_owned()), ("link", link.to_owned())];
    let told = seen("library.mjs", &options);
    let faults: Vec<_> = told.iter().filter(|line| !line["fault"].is_null()).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    assert_eq!(told.len(), CASES, "{told:?}");
}

#[test]
fn the_types_are_those_of_the_library() {
    let told = seen("published.mjs", &[]);
    for what in ["exports", "members", "official"] {
        let [types, code] = told[0][what].as_array().unwrap().as_slice() else { panic!("{told:?}") };
        assert_eq!(types, code, "{what}");
    }
    assert_eq!(told[0]["missing"], serde_json::json!([]));
    // A program of somebody else's is compiled against them.
    let output = std::process::Command::new("node")
        .current_dir(crate::harness::home().join("node"))
        .args(["node_modules/typescript/bin/tsc", "-p", "types"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_library_sends_and_watches_live_video_in_a_browser() {
    let turnpike = Turnpike::start(&[]);
    let token =
        |user: &str, right: &str| turnpike.token(&["--user", user, "--stream", &format!("live:*={right}")]);
    let told = seen(
        "library-page.mjs",
        &[
            ("url", format!("http://{}", turnpike.server.address)),
            ("publisher", token("publisher", "publish")),
            ("viewer", token("viewer", "subscribe")),
        ],
    );
    assert!(told.iter().all(|line| line["fault"].is_null()), "{told:#?}");
    let cases: Vec<_> = told.iter().map(|line| line["case"].as_str().unwrap()).collect();
    assert_eq!(cases, ["published", "watched", "cut", "another picture", "stopped"]);
    assert_eq!(told[1]["tracks"], serde_json::json!(["audio", "video"]));
    assert_eq!(
        (&told[2]["same"], &told[2]["ended"]),
        (&true.into(), &false.into()),
        "a cut costs no session"
    );
    assert_eq!(told[3]["viewer_counted"], true);
    assert_eq!(told[4]["publisher"], true);
}
