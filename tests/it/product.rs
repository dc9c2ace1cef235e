//! The real binary with the stock client, and the example of the README.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use turnpike_lab::{Directory, SECRET, binary, listening};

use crate::harness::turnpike::{Turnpike, succeeded};
use crate::harness::{Kind, Run, Suite, home, require_packages};

fn run(mode: &'static str, parser: &'static str, deflate: bool) {
    let turnpike = Turnpike::start(&[]);
    let mut suite = Suite::new("product");
    suite.environment.push(("SUITE_SECRET", SECRET.to_owned()));
    Run { server: Kind::Engine, mode, parser, deflate }.against(&turnpike.server, "turnpike", suite);
}

#[test]
fn polling() {
    run("polling", "default", false);
}

#[test]
fn websocket_msgpack() {
    run("websocket", "msgpack", false);
}

#[test]
fn upgrade_deflate() {
    run("upgrade", "default", true);
}

/// As a newcomer would: the program saved from the README, the token made in another terminal.
#[test]
fn the_example_of_the_readme_runs() {
    require_packages();
    let readme = std::fs::read_to_string(home().join("../README.md")).unwrap();
    let (_, rest) = readme.split_once("```js\n").expect("the README has an example");
    let (example, _) = rest.split_once("```").expect("which ends");

    // Nothing but ports is set: the secret is the one that development makes.
    let directory = Directory::new("readme").unwrap();
    let path = turnpike_lab::turnpike().unwrap();
    let mut command = binary(&path, &directory);
    command.envs([("PORT", "0"), ("ADMIN_PORT", "0")]);
    let server = crate::harness::Server::from_command("turnpike", command, |line| {
        Some(listening(line)?["gateway"].as_str()?.to_owned())
    });
    let mut token = binary(&path, &directory);
    token.args(["token", "--user", "alice"]);
    let token = succeeded(&token.output().unwrap());

    // Where Node finds the client package.
    let program = home().join(format!("node/.readme-{}.mjs", std::process::id()));
    std::fs::write(&program, example).unwrap();
    let mut child = Command::new("node")
        .arg(&program)
        .envs([("TOKEN", token.as_str()), ("GATEWAY", &server.url())])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    std::fs::remove_file(&program).unwrap();
    let said = succeeded(&child.wait_with_output().unwrap());
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["alice said, as number 1: hello", "stored as number 1"]);
}
