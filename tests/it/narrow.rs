//! A viewer whose network becomes narrow goes on with a smaller picture, and gets the large one back.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::{home, require_packages};

#[test]
fn alone_a_picture_becomes_smaller_on_a_narrow_path_and_large_again_on_a_wide_one() {
    require_packages();
    let server = turnpike_lab::turnpike().unwrap();
    let output = Command::new("node")
        .current_dir(home().join("node"))
        .arg("narrow.mjs")
        .arg(format!("--server={}", server.display()))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    println!("{printed}");
    let seen: Value = serde_json::from_str(printed.trim()).unwrap();
    if seen["isolated"] == false {
        println!("SKIPPED: this machine makes no namespaces, and nobody else is to be slowed down");
        return;
    }
    assert!(seen["fault"].is_null(), "{seen}");
    assert!(seen["narrow"]["width"].as_u64().unwrap() < seen["wide"]["width"].as_u64().unwrap(), "{seen}");
}
