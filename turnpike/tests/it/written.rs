//! What a running system writes into its audit log, and what it never writes anywhere.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use turnpike_audit::segments;
use turnpike_guard::{Claims, mint};
use turnpike_wire::UserId;

use crate::polling::Client;
use crate::process::{Directory, PATIENCE, System, eventually, get, run, stdout};

const CLIENTS: u64 = 4;

fn secret(directory: &Directory) -> String {
    let text = fs::read_to_string(directory.path().join("data/development-secret")).unwrap();
    text.trim_end().to_owned()
}

fn claims(user: &str) -> Claims {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    Claims::new(UserId::parse(user).unwrap(), now + 3_600)
}

fn token(directory: &Directory, user: &str) -> String {
    mint(secret(directory).as_bytes(), &claims(user)).unwrap()
}

fn log_of(directory: &Directory) -> std::path::PathBuf {
    directory.path().join("data/audit")
}

/// `class.activity` and the whole record.
fn records(directory: &Path) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for segment in segments(directory).unwrap() {
        let mut lines = segment.lines().unwrap();
        while let Some(line) = lines.next_line().unwrap() {
            let value: Value = serde_json::from_slice(line.bytes).unwrap();
            let (class, activity) = (value["class"].as_str().unwrap(), value["activity"].as_str().unwrap());
            all.push((format!("{class}.{activity}"), value));
        }
    }
    all
}

fn verdict(directory: &Directory) -> Option<i32> {
    run(directory, &["audit", "verify", "--without-anchors"], &[]).status.code()
}

/// A request and its answer's body; `None`: the process has gone.
fn asked(address: &str, head: &str, body: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let length = body.len();
    write!(stream, "{head} HTTP/1.1\r\nHost: {address}\r\nContent-Type: text/plain;charset=UTF-8\r\n")
        .ok()?;
    write!(stream, "Connection: close\r\nContent-Length: {length}\r\n\r\n{body}").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
}

/// The id of the connection that a login was answered with, as the client has it.
fn enter(address: &str, token: &str) -> Option<String> {
    const PATH: &str = "/socket.io/?EIO=4&transport=polling";
    let opened = asked(address, &format!("GET {PATH}"), "")?;
    let opened: Value = serde_json::from_str(opened.strip_prefix('0')?).ok()?;
    let path = format!("{PATH}&sid={}", opened["sid"].as_str()?);
    asked(address, &format!("POST {path}"), &format!(r#"40{{"token":"{token}"}}"#))?;
    loop {
        let packets = asked(address, &format!("GET {path}"), "")?;
        if let Some(packet) = packets.split('\u{1e}').find_map(|packet| packet.strip_prefix("40")) {
            let said: Value = serde_json::from_str(packet).ok()?;
            return Some(said["sid"].as_str()?.to_owned());
        }
    }
}

/// Small, and the same everywhere: xorshift64*.
fn random(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

#[expect(clippy::print_stdout, reason = "the seed of a run, and what it counted")]
fn killed(kills: u64) {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos()) | 1
    });
    println!("SEED={seed}");
    let (directory, mut state) = (Directory::new(), seed);
    let let_in: Mutex<Vec<(String, String)>> = Mutex::default();
    for round in 0..kills {
        let mut system = System::start(&directory);
        let (stop, came) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (directory, let_in, stop, came) = (&directory, &let_in, &stop, &came);
                let address = system.gateway.clone();
                scope.spawn(move || {
                    for number in 0.. {
                        let user = format!("u{round}-{client}-{number}");
                        match enter(&address, &token(directory, &user)) {
                            Some(connection) => {
                                let_in.lock().unwrap().push((connection, user));
                                came.fetch_add(1, Ordering::Relaxed);
                            }
                            None if stop.load(Ordering::Relaxed) => return,
                            None => {}
                        }
                    }
                });
            }
            // From the first login on, so that a busy machine makes no empty round.
            eventually("a login", || came.load(Ordering::Relaxed) > 0);
            std::thread::sleep(Duration::from_millis(random(&mut state) % 200));
            system.signal("KILL");
            system.wait();
            stop.store(true, Ordering::Relaxed);
        });
    }
    System::start(&directory).stop();

    let records = records(&log_of(&directory));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let logins: HashSet<(String, String)> = records
        .iter()
        .filter(|(kind, _)| kind == "authentication.login")
        .map(|(_, record)| (text(&record["connection"]["id"]), text(&record["beside"]["actor.user"][1])))
        .collect();
    let let_in = let_in.into_inner().unwrap();
    let lost: Vec<_> = let_in.iter().filter(|known| !logins.contains(known)).collect();
    assert!(lost.is_empty(), "let in, and no record of it: {lost:?}");
    assert!(let_in.len() as u64 >= kills, "{} logins", let_in.len());
    let count = |wanted: &str| records.iter().filter(|(kind, _)| kind == wanted).count() as u64;
    assert_eq!(
        (count("node.started"), count("node.recovered"), count("node.stopped")),
        (kills + 1, kills, 1)
    );
    assert_eq!(verdict(&directory), Some(0), "and nobody takes a crash for tampering");
    println!("{kills} kills, {} logins, {} records", let_in.len(), records.len());
}

#[test]
fn no_session_is_without_its_record_whenever_the_process_is_killed() {
    killed(10);
}

#[test]
#[ignore = "minutes: two hundred starts"]
fn no_session_is_without_its_record_in_two_hundred_kills() {
    killed(200);
}

#[test]
fn a_life_of_a_node_is_written_from_its_start_to_its_end() {
    let directory = Directory::new();
    let system = System::start(&directory);
    let alice = Client::enter(&system.gateway, &token(&directory, "alice"));
    let said: Value = serde_json::from_str(&alice.receive("40")[2..]).unwrap();
    let connection = said["sid"].as_str().unwrap().to_owned();
    let nobody = Client::enter(&system.gateway, "no token");
    nobody.receive("44");
    let grants = Claims { rooms: Some(Vec::new()), ..claims("bob") };
    let bob = Client::enter(&system.gateway, &mint(secret(&directory).as_bytes(), &grants).unwrap());
    bob.receive("40");
    bob.send(r#"420["room:join",{"room":"chat:lobby"}]"#);
    assert!(bob.receive("430").contains("forbidden"));
    let metrics = get(&system.admin, "/metrics").1;
    assert!(metrics.lines().any(|line| line == "turnpike_audit_well 1"), "{metrics}");
    system.stop();

    let all = records(&log_of(&directory));
    let of = |wanted: &str| -> Vec<&Value> {
        all.iter().filter(|(kind, _)| kind == wanted).map(|(_, record)| record).collect()
    };
    let login = of("authentication.login");
    assert_eq!(login.len(), 2);
    assert_eq!(login[0]["connection"]["id"].as_str(), Some(&*connection));
    assert_eq!(login[0]["beside"]["actor.user"][1], "alice");
    assert_eq!(login[0]["beside"]["connection.address"][1], "127.0.0.1");
    assert_eq!(login[0]["connection"]["transport"], "socketio");
    let failed = of("authentication.login_failed");
    assert_eq!((failed.len(), failed[0]["reason"].as_str()), (1, Some("form")));
    let denied = of("authorization.denied");
    assert_eq!((denied.len(), &denied[0]["detail"]["tried"]), (1, &Value::from("room:join")));
    assert_eq!(denied[0]["beside"]["object.id"][1], "chat:lobby");
    assert_eq!(of("connection.opened").len(), 2);
    let closed = of("connection.closed");
    assert_eq!(closed.len(), 2);
    let bytes = |name: &str| closed[0]["detail"][name].as_u64().unwrap();
    assert!(bytes("received_bytes") > 100 && bytes("sent_bytes") > 100, "{}", closed[0]);
    for (kind, count) in [("node.started", 1), ("node.draining", 1), ("node.stopped", 1), ("log.closed", 1)] {
        assert_eq!(of(kind).len(), count, "{kind}");
    }
    assert_eq!(of("node.recovered").len(), 0);
    assert_eq!(verdict(&directory), Some(0));

    // Another value of a setting is said at the next start, once.
    for _ in 0..2 {
        System::start_with(&directory, &[], &[("TURNPIKE_RECOVERY_WINDOW", "90s")]).stop();
    }
    let all = records(&log_of(&directory));
    let changed: Vec<_> = all
        .iter()
        .filter(|(kind, record)| kind == "config.changed" && record["object"]["id"] == "recovery.window")
        .collect();
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert_eq!(changed[0].1["detail"]["after"], "90s");
}

/// The names of all secret keys in the environment, as the document has them, which is made from the code.
fn secret_keys() -> Vec<String> {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let text = fs::read_to_string(document).unwrap();
    let rows = text.lines().filter(|row| row.starts_with("| ") && row.contains("Takes the secret itself"));
    rows.map(|row| row.split('`').nth(3).unwrap().to_owned()).collect()
}

/// A different one for each, with nothing in it that looks like a sample.
fn canary(number: usize) -> String {
    format!(
        "{:016x}{:016x}",
        0x9ae1_63b7_05d2_4fc8_u64 ^ (number as u64 * 0x1357_9bdf),
        0x7c05_e94d_18fa_b362_u64
    )
}

/// All that anybody can read of a process: both outputs, its pages, its files.
#[test]
fn what_is_secret_or_was_said_stands_in_nothing_that_a_process_leaves_behind() {
    const BODY: &str = "canary-body-7d1f4a";
    const NAME: &str = "canary-name\r\n\u{1b}[31mred\u{202e}";
    let keys = secret_keys();
    assert!(keys.len() >= 12 && keys.contains(&"JWT_SECRET".to_owned()), "{keys:?}");
    let secrets: BTreeMap<&str, String> =
        keys.iter().enumerate().map(|(number, key)| (key.as_str(), canary(number))).collect();
    let directory = Directory::new();
    let mut environment: Vec<(&str, &str)> =
        secrets.iter().map(|(key, secret)| (*key, secret.as_str())).collect();
    environment.extend([
        ("LOG_LEVEL", "trace"),
        ("TURNPIKE_WEBHOOK_URL", "https://app.example.com/turnpike"),
        ("TURNPIKE_TURN_URLS", "turn:turn.example.com"),
    ]);
    let system = System::start_with(&directory, &[], &environment);
    let claims = Claims { jti: Some("known-by-its-id".into()), ..claims("alice") };
    let token = mint(secrets["JWT_SECRET"].as_bytes(), &claims).unwrap();
    let bad = mint(&[b'x'; 32], &claims).unwrap();
    let client = Client::enter(&system.gateway, &token);
    client.receive("40");
    Client::enter(&system.gateway, &bad).receive("44");
    let written = serde_json::to_string(&serde_json::json!([
        "message:send", { "room": "user:alice", "body": { "text": BODY } }
    ]));
    client.send(&format!("420{}", written.unwrap()));
    assert!(client.receive("430").contains(r#""ok":true"#));
    let forged =
        serde_json::to_string(&serde_json::json!(["room:join", { "room": NAME, "x": BODY }])).unwrap();
    client.send(&format!("421{forged}"));
    client.receive("431");
    let mut seen = String::new();
    for authorization in [&token, &bad, secrets["TURNPIKE_API_KEY"].as_str()] {
        let mut stream = TcpStream::connect(&system.gateway).unwrap();
        let head = "GET /api/v1/users/alice HTTP/1.1\r\nUser-Agent: \u{202e}canary\r\nConnection: close\r\n";
        write!(stream, "{head}Host: x\r\nAuthorization: Bearer {authorization}\r\n\r\n").unwrap();
        stream.read_to_string(&mut seen).unwrap();
    }
    for path in ["/health", "/ready", "/metrics", "/", "/nothing?token=canary"] {
        seen.push_str(&get(&system.admin, path).1);
        seen.push_str(&get(&system.gateway, path).1);
    }
    seen.push_str(&system.block);
    seen.push_str(&system.stop().join("\n"));
    seen.push_str(&stdout(run(&directory, &["config", "print"], &environment)));
    for command in [&["tail"][..], &["query"], &["export", "--format", "cef"], &["export", "--format", "ecs"]]
    {
        let arguments: Vec<&str> = ["audit"].into_iter().chain(command.iter().copied()).collect();
        seen.push_str(&stdout(run(&directory, &arguments, &environment)));
    }
    for entry in fs::read_dir(log_of(&directory)).unwrap() {
        seen.push_str(&String::from_utf8_lossy(&fs::read(entry.unwrap().path()).unwrap()));
    }
    assert!(
        seen.contains("turnpike is up") && seen.contains("login_failed") && seen.contains("known-by-its-id")
    );
    for (key, secret) in &secrets {
        assert!(!seen.contains(&secret[..31]), "the secret of {key}");
    }
    // The signature is what makes a token one.
    for token in [&token, &bad] {
        assert!(!seen.contains(token.rsplit('.').next().unwrap()), "a token");
    }
    assert!(!seen.contains(BODY), "what somebody said");
    for mark in ["\u{202e}", "\u{1b}[31m", "canary-name\r"] {
        assert!(!seen.contains(mark), "{mark:?} as it came");
    }
}
