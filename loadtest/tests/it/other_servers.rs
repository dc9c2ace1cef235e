//! Servers that are not Turnpike: Node's Socket.IO with an application of its own.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use turnpike_lab::Process;

use crate::program::{Run, run};

struct ChatServer {
    port: u64,
    _process: Process,
}

impl ChatServer {
    fn start(arguments: &[&str]) -> Self {
        let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/node"));
        let installed = folder.join("node_modules/socket.io/package.json");
        assert!(
            installed.exists(),
            "the npm packages are missing: `cargo xtask test --only install` gets them"
        );
        let mut node = Command::new("node");
        node.current_dir(folder)
            .arg("chat-server.mjs")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = Process::spawn("node", &mut node).unwrap();
        let port = process
            .await_line(Duration::from_mins(1), |line| {
                serde_json::from_str::<Value>(line).ok()?["port"].as_u64()
            })
            .unwrap();
        Self { port, _process: process }
    }

    fn load(&self, profile: &str, arguments: &[&str]) -> Run {
        let all = [&["--server", "socketio"], arguments].concat();
        run(&format!("http://127.0.0.1:{}", self.port), profile, &all)
    }

    /// How often it was at fault.
    fn count(&self, fault: &str) -> u64 {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port as u16)).unwrap();
        stream.write_all(b"GET /counts HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str::<Value>(body).unwrap()[fault].as_u64().unwrap()
    }
}

const CHAT: &str = "users = 20\nrun_time_s = 3\nobjectives = ['lost=0', 'doubled=0', 'disordered=0', 'unanswered=0', 'errors=0']\n\
                    [rooms]\nmembers = 10\n[messages]\nevery_ms = 100\nbody_bytes = 64\n";

#[test]
fn a_plain_server_that_works_is_sound() {
    let server = ChatServer::start(&[]);
    let chat = server.load(CHAT, &[]);
    chat.assert_held();
    assert_eq!((chat.account("sent"), chat.account("acknowledged")), (600, 600), "{}", chat.text);
    assert_eq!((chat.account("delivered"), chat.count("delivery")), (6_000, 6_000), "{}", chat.text);
    assert_eq!((chat.account("foreign"), chat.count("join")), (0, 20));
}

#[test]
fn a_plain_server_that_breaks_deliveries_is_found() {
    for (option, name) in [("lose", "lost"), ("double", "doubled"), ("swap", "disordered")] {
        let server = ChatServer::start(&[&format!("--{option}"), "2500"]);
        let run = server.load(CHAT, &[]);
        let broken = server.count(option);
        assert!(broken >= 2, "{option}: {broken}");
        assert_eq!((run.account(name), run.code), (broken, 1), "{option}:\n{}", run.text);
    }
}

#[test]
fn what_a_plain_server_does_not_keep_is_lost_and_what_it_keeps_is_not() {
    let cuts = format!("{CHAT}[cuts]\nevery_s = 2\noffline_ms = 300\n");
    let forgetful = ChatServer::start(&[]).load(&cuts, &[]);
    assert!(forgetful.account("lost") > 10 && forgetful.code == 1, "{}", forgetful.text);
    let keeping = ChatServer::start(&["--recovery-window-ms", "30000"]).load(&cuts, &[]);
    assert!(keeping.count("recovery") >= 20, "{}", keeping.text);
    let lost = [&keeping, &forgetful].map(|run| run.account("lost"));
    assert!(lost[0] * 10 < lost[1], "{lost:?}\n{}", keeping.text);
}

#[test]
fn events_are_those_of_the_profile() {
    let server = ChatServer::start(&[]);
    let profile = format!("{CHAT}[app]\njoin = '[\"join\",\"$room\"]'\nacks = false\n");
    let silent = server.load(&profile, &[]);
    silent.assert_held();
    assert_eq!(silent.account("delivered"), 6_000, "{}", silent.text);
}
