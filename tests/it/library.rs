//! The client library of `web/` in Node: over the plain websocket, and over the official Socket.IO client.

use std::time::Duration;

use serde_json::json;

use crate::harness::script::seen;
use crate::harness::turnpike::Turnpike;
use crate::roaming::Pair;

const SECRET: &str = "a secret of the library's tests, long enough";
const CASES: usize = 21;
/// Reaching it means that something is broken.
const BROKEN: Duration = Duration::from_secs(30);

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

/// Nothing is lost, nothing comes twice, and neither side does anything for it.
#[test]
fn the_library_goes_on_elsewhere_when_its_node_leaves() {
    for link in ["plain", "socketio"] {
        let mut pair = Pair::start(&[("TURNPIKE_DRAIN_WINDOW", "3s")]);
        let [leaving, staying] = [0, 1].map(|index| pair.nodes[index].gateway.to_string());
        let told = seen(
            "library-moves.mjs",
            &[
                ("leaving", leaving),
                ("staying", staying),
                ("admin", format!("http://{}", pair.nodes[1].admin)),
                ("secret", turnpike_lab::SECRET.to_owned()),
                ("link", link.to_owned()),
            ],
        );
        let line = &told[0];
        assert!(line["fault"].is_null(), "{link}: {line:#}");
        for count in ["heard", "theirs", "distinct"] {
            assert_eq!(line[count], line["said"], "{link}, {count}: {line}");
        }
        assert_eq!(line["inOrder"], true, "{link}: {line}");
        assert_eq!(
            (&line["codes"], &line["sessions"]),
            (&json!([3001]), &json!(["n1", "n2"])),
            "{link}: {line}"
        );
        let status = pair.nodes[0].wait(BROKEN).unwrap();
        assert!(status.success(), "{link}: {}", pair.nodes[0].log());
    }
}

#[test]
fn the_types_are_those_of_the_library() {
    let told = seen("published.mjs", &[]);
    for what in ["exports", "members", "official"] {
        let [types, code] = told[0][what].as_array().unwrap().as_slice() else { panic!("{told:?}") };
        assert_eq!(types, code, "{what}");
    }
    assert_eq!(told[0]["missing"], json!([]));
    assert_eq!(
        told[0]["licences"],
        json!(["LICENSE-MIT", "LICENSE-APACHE"]),
        "whoever has the package has them"
    );
    // Programs of somebody else's are compiled against them: in a page, and where there is none.
    for project in ["types/tsconfig.json", "types/server.json"] {
        let output = std::process::Command::new("node")
            .current_dir(crate::harness::home().join("node"))
            .args(["node_modules/typescript/bin/tsc", "-p", project])
            .output()
            .unwrap();
        assert!(output.status.success(), "{project}: {}", String::from_utf8_lossy(&output.stdout));
    }
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
    let all = ["published", "watched", "cut", "another picture", "somebody else begins", "stopped"];
    assert_eq!(cases, all);
    assert_eq!(told[1]["tracks"], json!(["audio", "video"]));
    assert_eq!(
        (&told[2]["same"], &told[2]["ended"]),
        (&true.into(), &false.into()),
        "a cut costs no session"
    );
    assert_eq!(told[3]["viewer_counted"], true);
    assert_eq!(
        (&told[4]["tracks"], &told[4]["told"]),
        (&json!(3), &json!("live")),
        "what came while the viewer began"
    );
    assert_eq!((&told[5]["publisher"], &told[5]["viewer"]), (&true.into(), &json!("paused")));
}
