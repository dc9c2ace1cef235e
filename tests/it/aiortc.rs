//! Live video with a client that shares nothing with us but the standards: aiortc publishes by WHIP and watches by WHEP.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::home;
use crate::harness::turnpike::Turnpike;

/// None: there cannot be one on this machine.
fn interpreter() -> Option<PathBuf> {
    let own = std::env::current_exe().unwrap();
    // target/debug/deps/it
    let python = own.ancestors().nth(3).unwrap().join("python/bin/python");
    if python.exists() {
        return Some(python);
    }
    let may_have = Command::new("python3")
        .args(["-c", "import ensurepip, venv"])
        .output()
        .is_ok_and(|o| o.status.success());
    assert!(!may_have, "aiortc is missing: `cargo xtask test --only install` gets it");
    None
}

fn steps(python: &Path, turnpike: &Turnpike) -> Vec<Value> {
    let token =
        |user: &str, rights: &str| turnpike.token(&["--user", user, "--stream", &format!("live:*={rights}")]);
    let output = Command::new(python)
        .arg(home().join("python/aiortc_client.py"))
        .arg(format!("--url=http://{}", turnpike.server.address))
        .arg(format!("--publisher={}", token("publisher", "publish")))
        .arg(format!("--viewer={}", token("viewer", "subscribe")))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    println!("{printed}");
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn aiortc_publishes_and_watches() {
    let Some(python) = interpreter() else {
        return println!("SKIPPED: THERE IS NO python3-venv ON THIS MACHINE, SO AIORTC WAS NOT TRIED");
    };
    let turnpike = Turnpike::start(&[]);
    let lines = steps(&python, &turnpike);
    let names: Vec<&Value> = lines.iter().map(|line| &line["step"]).collect();
    assert_eq!(names, ["VP8", "H264"]);
    for line in &lines {
        assert!(line["fault"].is_null(), "{line}");
        let figure = |name: &str| line[name].as_i64().unwrap_or_else(|| panic!("no {name} in {line}"));
        assert!(figure("frames") >= 40 && figure("heard") >= 60, "{line}");
        assert_eq!((figure("width"), figure("height")), (320, 240), "{line}");
        // The picture that was sent: bright on the left, dark on the right.
        assert!((figure("left") - 200).abs() < 20 && (figure("right") - 40).abs() < 20, "{line}");
        assert!((figure("tone_hz") - 440).abs() < 20 && figure("loudest") > 2_000, "{line}");
        assert_eq!(line["ended"], json!([200, 200]), "{line}");
    }
}
