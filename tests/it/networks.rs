//! Live video over ways that are worse than this machine's own: a browser and the server in a network of their own.

use serde_json::Value;

use crate::harness::script;

/// A packet that was lost a moment before somebody looked is still on its way.
const ON_THE_WAY_MAX: i64 = 3;

/// What the script saw. None: this machine makes no namespaces, and nobody else is to have a worse network.
fn seen(script: &str) -> Option<Value> {
    let server = turnpike_lab::turnpike().unwrap();
    let lines = script::seen(script, &[("server", server.display().to_string())]);
    let [seen] = <[Value; 1]>::try_from(lines).expect("it says all at once");
    if seen["isolated"] == false {
        println!("SKIPPED: this machine makes no namespaces");
        return None;
    }
    assert!(seen["fault"].is_null(), "{seen}");
    Some(seen)
}

#[test]
fn alone_a_picture_becomes_smaller_on_a_narrow_path_and_large_again_on_a_wide_one() {
    let Some(seen) = seen("narrow.mjs") else { return };
    assert!(seen["narrow"]["width"].as_u64().unwrap() < seen["wide"]["width"].as_u64().unwrap(), "{seen}");
    assert_eq!(seen["wide_again"]["width"], seen["wide"]["width"], "{seen}");
}

#[test]
fn alone_what_a_publisher_loses_is_asked_for_once_and_missed_by_nobody() {
    let Some(seen) = seen("lossy.mjs") else { return };
    for kind in ["single", "simulcast"] {
        let count = |what: &str| seen[kind][what].as_i64().unwrap();
        assert!(count("lost") >= 20 && count("sent_again") > 0, "{seen}");
        assert!(count("missing") <= ON_THE_WAY_MAX, "{seen}");
        assert!(count("sent_again") <= 2 * count("lost"), "{seen}");
    }
}
