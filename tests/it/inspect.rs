//! Why somebody did not get a message: each cause is brought about with stock clients on two nodes, and the verdict must name
//! it, whichever node is asked.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use turnpike_lab::{Directory, Node, SECRET, binary, turnpike};

use crate::harness::{home, require_packages};
use crate::roaming::Pair;

/// Reaching it means that something is broken.
const BROKEN: Duration = Duration::from_mins(1);
const ROOM: &str = "chat:lobby";

/// Stock clients that do as they are told.
struct Puppets {
    program: Child,
    said: BufReader<ChildStdout>,
}

impl Puppets {
    fn start() -> Self {
        require_packages();
        let mut program = Command::new("node")
            .current_dir(home().join("node"))
            .arg("puppets.mjs")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(program.stdout.take().unwrap());
        Self { program, said }
    }

    fn tell(&mut self, order: &Value) -> Value {
        writeln!(self.program.stdin.as_mut().unwrap(), "{order}").unwrap();
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        assert!(said.get("failed").is_none(), "{order}: {said}");
        said
    }

    /// Gives the connection's id.
    fn connect(&mut self, name: &str, node: &Node, token: &str) -> String {
        let said = self.tell(&json!({ "do": "connect", "name": name, "url": node.url(), "token": token }));
        said["id"].as_str().unwrap_or_else(|| panic!("{name}: {said}")).to_owned()
    }

    fn emit(&mut self, name: &str, event: &str, data: &Value) -> Value {
        self.tell(&json!({ "do": "emit", "name": name, "event": event, "data": data }))["answer"].take()
    }

    fn join(&mut self, name: &str) {
        let answer = self.emit(name, "room:join", &json!({ "room": ROOM }));
        assert_eq!(answer["ok"], true, "{name}: {answer}");
    }

    /// Gives the message's number.
    fn send(&mut self, name: &str, body: &Value) -> u64 {
        let answer = self.emit(name, "message:send", &json!({ "room": ROOM, "body": body }));
        answer["seq"].as_u64().unwrap_or_else(|| panic!("{name}: {answer}"))
    }

    fn act(&mut self, act: &str, name: &str) -> Value {
        self.tell(&json!({ "do": act, "name": name }))
    }

    /// What a node has written to it may be on its way.
    fn must_have(&mut self, name: &str, seq: u64) {
        let until = Instant::now() + BROKEN;
        loop {
            let got = self.act("got", name);
            if got["seqs"][ROOM].as_array().is_some_and(|seqs| seqs.contains(&json!(seq))) {
                return;
            }
            assert!(Instant::now() < until, "{name} has no {seq}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Puppets {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// `turnpike inspect`, asked of this node.
struct Inspector<'a> {
    node: &'a Node,
    directory: Directory,
}

impl<'a> Inspector<'a> {
    fn of(node: &'a Node) -> Self {
        Self { node, directory: Directory::new("inspect").unwrap() }
    }

    /// The exit code, and what it printed.
    fn run(&self, words: &[&str]) -> (i32, String) {
        let output = binary(&turnpike().unwrap(), &self.directory)
            .env("JWT_SECRET", SECRET)
            .arg("inspect")
            .args(words)
            .args(["--url", &format!("http://{}", self.node.admin)])
            .output()
            .unwrap();
        let text = [&output.stdout[..], &output.stderr[..]].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    }

    fn json(&self, words: &[&str]) -> Value {
        let (code, text) = self.run(&[words, &["--json"]].concat());
        assert_eq!(code, 0, "{words:?}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    fn trace(&self, seq: u64, user: &str) -> Value {
        self.json(&["message", "--room", ROOM, "--seq", &seq.to_string(), "--for", user])
    }
}

/// Asked of both nodes, the same is found, as soon as it is so.
fn verdict(pair: &Pair, seq: u64, user: &str, delivered: &Value, reason: &str) -> Value {
    let until = Instant::now() + BROKEN;
    let mut last = Value::Null;
    for node in &pair.nodes {
        let inspector = Inspector::of(node);
        loop {
            last = inspector.trace(seq, user);
            let verdict = &last["verdict"];
            if verdict["reason"] == reason && verdict["delivered"] == *delivered {
                break;
            }
            assert!(Instant::now() < until, "{user} and {seq}: not {reason} but {last:#}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    println!("{reason}: {}", last["verdict"]["text"].as_str().unwrap());
    last
}

#[test]
fn each_cause_is_named() {
    let pair = Pair::start(&[
        ("RATE_LIMITING", "false"),
        ("TURNPIKE_ABUSE", "false"),
        // In which it is found out that something is kept back.
        ("TURNPIKE_WRITE_DEADLINE", "10s"),
        ("TURNPIKE_HISTORY_ROOM_BYTES_MAX", "64MiB"),
    ]);
    let (one, two) = (&pair.nodes[0], &pair.nodes[1]);
    let mut puppets = Puppets::start();
    let (yes, no) = (json!(true), json!(false));
    puppets.connect("alice", one, &pair.token("alice"));
    puppets.join("alice");
    for name in ["bob", "frank", "gina", "hank", "ivan", "judy"] {
        puppets.connect(name, two, &pair.token(name));
        puppets.join(name);
    }
    puppets.connect("carol", two, &pair.token("carol"));
    puppets.connect("erin", one, &pair.token("erin"));
    let other = one.token(&["--user", "dave", "--room", "other:*=join"]).unwrap();
    puppets.connect("dave", two, &other);
    let refused = puppets.emit("dave", "room:join", &json!({ "room": ROOM }));
    assert_eq!(refused["error"]["reason"], "forbidden", "{refused}");

    let first = puppets.send("alice", &json!("hello"));
    let found = verdict(&pair, first, "bob", &yes, "written");
    assert_eq!((&found["message"]["from"], &found["message"]["seq"]), (&json!("alice"), &json!(first)));
    let connection = &found["connections"][0];
    assert_eq!((&connection["node"], &connection["finding"]), (&json!("n2"), &json!("written")));
    verdict(&pair, first, "alice", &yes, "written");
    verdict(&pair, first, "carol", &no, "not_joined");
    let found = verdict(&pair, first, "dave", &no, "join_refused");
    assert!(found["verdict"]["text"].as_str().unwrap().contains("forbidden"), "{found:#}");
    puppets.join("erin");
    verdict(&pair, first, "erin", &no, "joined_after");
    verdict(&pair, first, "zoe", &no, "not_connected");
    verdict(&pair, first + 10, "bob", &no, "not_published_yet");
    let id = found["message"]["id"].as_str().unwrap();
    let by_id = Inspector::of(two).json(&["message", "--room", ROOM, "--id", id, "--for", "bob"]);
    assert_eq!((&by_id["message"]["seq"], &by_id["verdict"]["reason"]), (&json!(first), &json!("written")));
    let unknown = Inspector::of(two).json(&["message", "--room", ROOM, "--id", "nothing", "--for", "bob"]);
    assert_eq!(unknown["verdict"]["reason"], "no_such_message");

    // Gone before the second message: out of the room, by accident, with a goodbye, because of an operator.
    assert_eq!(puppets.emit("frank", "room:leave", &json!({ "room": ROOM }))["ok"], true);
    puppets.act("cut", "gina");
    puppets.act("leave", "hank");
    let revoked = binary(&turnpike().unwrap(), &Directory::new("revoke").unwrap())
        .env("JWT_SECRET", SECRET)
        .args(["admin", "revoke", "user", "ivan", "--url", &format!("http://{}", one.admin)])
        .status()
        .unwrap();
    assert!(revoked.success());
    let closed = |user: &str, reasons: &[&str]| {
        let until = Instant::now() + BROKEN;
        loop {
            let seen = Inspector::of(one).json(&["user", user]);
            let connections = seen["connections"].as_array().unwrap();
            let reason = |one: &Value| one["state"]["closed"]["reason"].as_str().map(ToOwned::to_owned);
            if connections.iter().filter_map(reason).any(|reason| reasons.contains(&&*reason)) {
                break;
            }
            assert!(Instant::now() < until, "{user} is not closed for {reasons:?}: {seen:#}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    closed("gina", &["transport_closed", "transport_error"]);
    closed("hank", &["client_left"]);
    closed("ivan", &["revoked"]);
    let second = puppets.send("alice", &json!("again"));
    verdict(&pair, second, "frank", &no, "left_before");
    verdict(&pair, first, "frank", &yes, "written");
    verdict(&pair, second, "gina", &no, "away");
    verdict(&pair, second, "hank", &no, "ended");
    let found = verdict(&pair, second, "ivan", &no, "ended");
    assert!(found["verdict"]["text"].as_str().unwrap().contains("called back"), "{found:#}");
    let back = puppets.act("return", "gina");
    assert_eq!(back["recovered"], true, "{back}");
    verdict(&pair, second, "gina", &yes, "recovered");
    puppets.must_have("gina", second);

    // Reads nothing: kept back, then closed with the rest still waiting, then back and given it.
    puppets.act("pause", "judy");
    let large = json!("x".repeat(30_000));
    let until = Instant::now() + BROKEN;
    let last = loop {
        let seq = puppets.send("alice", &large);
        let found = Inspector::of(one).trace(seq, "judy");
        if found["verdict"]["reason"] == "kept_back" {
            println!("kept back: {}", found["verdict"]["text"].as_str().unwrap());
            break seq;
        }
        for _ in 0..20 {
            puppets.send("alice", &large);
        }
        assert!(Instant::now() < until, "never full: {found:#}");
    };
    let found = verdict(&pair, last, "judy", &no, "lost_in_queue");
    assert!(found["verdict"]["text"].as_str().unwrap().contains("slow_reader"), "{found:#}");
    let judy = found["connections"][0]["connection"].as_str().unwrap().to_owned();
    let (code, text) = Inspector::of(one).run(&["connection", &judy]);
    assert_eq!(code, 0, "{text}");
    for part in
        [&judy, "on n2: ", "slow_reader", "joined chat:lobby", "behind: its queue is full", "delivered ..."]
    {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    puppets.act("resume", "judy");
    verdict(&pair, last, "judy", &yes, "recovered");
    puppets.must_have("judy", last);

    let room = Inspector::of(two).json(&["room", ROOM]);
    assert_eq!(room["seq"], room["history"]["last_seq"]);
    let connected = |node: &str| {
        let nodes = room["nodes"].as_array().unwrap();
        nodes.iter().find(|one| one["node"] == node).unwrap()["connected"].as_u64().unwrap()
    };
    assert_eq!((connected("n1"), connected("n2")), (2, 3), "alice and erin; bob, gina and judy");
    let user = Inspector::of(one).json(&["user", "bob"]);
    assert_eq!(user["connections"][0]["rooms"], json!(["user:bob", ROOM]));
    let (code, text) = Inspector::of(one).run(&["message", "--room", ROOM, "--seq", "1", "--for", "bob"]);
    assert!(code == 0 && text.starts_with("DELIVERED (written): bob was given message 1"), "{text}");
}

#[test]
fn who_does_not_answer_is_named_and_what_is_not_there_is_refused() {
    let pair = Pair::start(&[]);
    let (one, two) = (&pair.nodes[0], &pair.nodes[1]);
    let mut puppets = Puppets::start();
    puppets.connect("alice", one, &pair.token("alice"));
    let bob = puppets.connect("bob", two, &pair.token("bob"));
    for name in ["alice", "bob"] {
        puppets.join(name);
    }
    let inspector = Inspector::of(one);
    for (words, code, said) in [
        (&["connection", "AAAAAAAAAAAAAAAAAAAA"][..], 1, "no node knows this connection"),
        (&["connection", "nonsense"], 1, "not the id of a connection"),
        (&["room", "chat:empty"], 1, "nobody is in this room"),
        (&["stream", "live:none"], 1, "no_such_stream"),
        (&["message", "--room", ROOM, "--for", "bob"], 64, "either --seq or --id"),
        (&["message", "--room", ROOM, "--seq", "0", "--for", "bob"], 64, "the number of a message"),
        (&["room", ROOM, "--seq", "1"], 64, "is not for this command"),
        (&["weather"], 64, "is not a command"),
    ] {
        let (was, text) = inspector.run(words);
        assert!(was == code && text.contains(said), "{words:?}: {was}, {text}");
    }
    // The one that came first hears of the other within a second.
    let until = Instant::now() + BROKEN;
    while inspector.run(&["connection", &bob]).0 != 0 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(100));
    }
    let connection = inspector.json(&["connection", &bob]);
    assert_eq!(connection["connections"][0]["node"], "n2");
    let records = inspector_audit(one);
    assert!(records.contains("/admin/v1/inspect/connections/{connection}"), "{records}");

    let seq = puppets.send("alice", &json!("hello"));
    two.freeze().unwrap();
    let (code, text) =
        inspector.run(&["message", "--room", ROOM, "--seq", &seq.to_string(), "--for", "bob", "--json"]);
    two.thaw().unwrap();
    let found: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &found["unanswered"]), (2, &json!(["n2"])), "{found:#}");
    assert_eq!(
        (&found["verdict"]["delivered"], &found["verdict"]["reason"]),
        (&Value::Null, &json!("not_connected"))
    );
}

/// What stands in the audit log of this node, as text.
fn inspector_audit(node: &Node) -> String {
    let token = node.token(&["--user", "root", "--role", "admin"]).unwrap();
    let output = Command::new("curl")
        .args(["-s", "-H", &format!("Authorization: Bearer {token}")])
        .arg(format!("http://{}/admin/v1/audit/records?class=admin&since=1h", node.admin))
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}
