//! Users on two nodes who see each other come, type, read, move and go, also when a node is killed under them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{home, require_packages};
use crate::roaming::Pair;

const USERS: usize = 12;

/// With the machine to itself: typing is gone 200 ms after what was typed has come.
#[test]
fn alone_pr1_pr4_pr5_pr7_ty2_ty3_over_two_nodes() {
    require_packages();
    let mut pair = Pair::start(&[]);
    let ports: Vec<String> = pair.nodes.iter().map(|node| node.gateway.port().to_string()).collect();
    let user = |number| format!("user-{number}");
    let tokens: serde_json::Map<String, Value> =
        (0..USERS).map(|number| (user(number), pair.token(&user(number)).into())).collect();
    let mut program = Command::new("node")
        .current_dir(home().join("node"))
        .args(["together.mjs", "--nodes", &ports.join(",")])
        .args(["--tokens", &Value::Object(tokens).to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let mut line = || serde_json::from_str::<Value>(&lines.next().expect("another line").unwrap()).unwrap();
    let mut commands = program.stdin.take().unwrap();
    assert_eq!(line(), json!({ "ready": true }));
    let mut reports = Vec::new();
    for step in ["come", "type", "read", "move", "leave", "lose"] {
        let argument = if step == "lose" { &*ports[0] } else { "" };
        if step == "lose" {
            pair.nodes[0].kill();
        }
        writeln!(commands, "{step} {argument}").unwrap();
        reports.push((step, line()));
    }
    let _ = program.kill();
    let _ = program.wait();
    println!("{reports:?}");
    for (step, report) in &reports {
        assert_eq!(report["faults"], json!([]), "{step}: {reports:?}");
    }
}
