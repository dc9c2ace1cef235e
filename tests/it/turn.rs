//! Live video by way of a real TURN server, with the sample of its configuration: for clients whose network lets nothing
//! else through.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use turnpike_lab::{Directory, Process};

use crate::harness::turnpike::Turnpike;
use crate::harness::{home, ports, require_packages, script};

const SECRET: &str = "3e91c0d84b7f4a26a5b1f0978cde6243";
/// Before the secret was exchanged.
const PREVIOUS: &str = "b07d52e6c1984fa3a96e8f40d3152c7b";

/// Nobody is to reach these from a TURN server: first and last ones of what is not public.
const DENIED: [&str; 12] = [
    "0.0.0.1",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "127.0.0.2",
    "127.255.255.255",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "192.168.255.255",
    "255.255.255.255",
];
/// The relay's own address in this test, and public ones beside what is not. Nothing is sent to them.
const ALLOWED: [&str; 6] =
    ["127.0.0.1", "9.255.255.255", "11.0.0.1", "128.0.0.1", "172.15.255.255", "172.32.0.1"];

struct Coturn {
    /// Ends with this value.
    _process: Process,
    _directory: Directory,
    port: u16,
}

impl Coturn {
    fn start() -> Self {
        // Another test may take a port between its choice and its use.
        (0..5)
            .find_map(|_| Self::try_start())
            .expect("coturn starts: `cargo xtask test --only install` gets it")
    }

    fn try_start() -> Option<Self> {
        const BROKEN: Duration = Duration::from_secs(10);
        let [port] = ports::own();
        let directory = Directory::new("coturn").unwrap();
        let file = directory.path().join("turnserver.conf");
        std::fs::write(&file, sample(port, directory.path())).unwrap();
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let mut command = Command::new("turnserver");
        command.arg("-c").arg(&file).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut process = Process::spawn("turnserver", &mut command).unwrap();
        let until = Instant::now() + BROKEN;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if !process.is_running() || Instant::now() > until {
                println!("{}", std::fs::read_to_string(directory.path().join("log")).unwrap());
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Self { _process: process, _directory: directory, port })
    }
}

/// `deploy/coturn.conf`, at a port of this machine, where the relay is on the loopback interface.
fn sample(port: u16, directory: &Path) -> String {
    let text = std::fs::read_to_string(home().parent().unwrap().join("deploy/coturn.conf")).unwrap();
    let own = format!(
        "listening-ip=127.0.0.1\nrelay-ip=127.0.0.1\nno-tls\nno-dtls\nstatic-auth-secret={PREVIOUS}\nuserdb={0}/turndb\npidfile={0}/pid\n",
        directory.display()
    );
    let mut changed = 0;
    let lines = text.lines().map(|line| {
        changed += 1;
        match line.split_once('=').map_or(line, |(key, _)| key) {
            "listening-port" => format!("listening-port={port}"),
            "static-auth-secret" => format!("static-auth-secret={SECRET}"),
            "# allowed-peer-ip" => "allow-loopback-peers\nallowed-peer-ip=127.0.0.1".to_owned(),
            "cert" | "pkey" | "tls-listening-port" => String::new(),
            _ => {
                changed -= 1;
                line.to_owned()
            }
        }
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    assert_eq!(changed, 6, "the sample has the lines that this test changes");
    format!("{text}\n{own}")
}

#[test]
fn who_can_reach_nothing_but_a_turn_server_publishes_and_watches() {
    require_packages();
    let coturn = Coturn::start();
    let url = format!("turn:127.0.0.1:{}?transport=tcp", coturn.port);
    let turnpike = Turnpike::start(&[("TURNPIKE_TURN_URLS", url.as_str()), ("TURNPIKE_TURN_SECRET", SECRET)]);
    let token =
        |user: &str, rights: &str| turnpike.token(&["--user", user, "--stream", &format!("live:*={rights}")]);
    let peers: Vec<&str> = DENIED.iter().chain(&ALLOWED).copied().collect();
    let options = [
        ("url", format!("http://{}", turnpike.server.address)),
        ("turn", url),
        ("secret", SECRET.to_owned()),
        ("previous", PREVIOUS.to_owned()),
        ("publisher", token("publisher", "publish")),
        ("viewer", token("viewer", "subscribe")),
        ("peers", peers.join(",")),
    ];
    let lines = script::seen("turn.mjs", &options);
    let names: Vec<_> = lines.iter().map(|line| line["step"].as_str().unwrap_or("?")).collect();
    assert_eq!(names, ["network", "publish", "watch", "peers", "credentials"]);
    for line in &lines {
        assert!(line["fault"].is_null(), "{line}");
    }
    if lines[0]["isolated"] == false {
        println!("this machine makes no namespaces: the browser was only told to use the TURN server");
    }
    for (line, user) in [(&lines[1], "publisher"), (&lines[2], "viewer")] {
        assert_eq!((&line["candidateType"], &line["relayProtocol"]), (&json!("relay"), &json!("tcp")));
        assert_eq!(line["direct"], false, "{line}");
        let username = line["servers"][0]["username"].as_str().unwrap();
        assert!(username.ends_with(&format!(":{user}")), "{username}");
    }
    assert_eq!(lines[2]["preflight"], Value::Null, "{}", lines[2]);
    assert!(lines[2]["frames"].as_u64().unwrap() >= 30);
    // One for each page that entered, and one for the session over HTTP; none for what came without a token.
    assert_eq!(turnpike.metric("turnpike_gateway_turn_credentials_total"), 1);
    assert_eq!(turnpike.metric("turnpike_media_turn_credentials_total"), 1);
    for (peers, code) in [(&DENIED[..], 403), (&ALLOWED[..], 0)] {
        for peer in peers {
            assert_eq!(lines[3][peer], code, "{peer}");
        }
    }
    let credentials = &lines[4];
    for taken in ["good", "previous"] {
        assert_eq!(credentials[taken], json!({ "candidates": ["relay"], "errors": [] }), "{taken}");
    }
    for refused in ["expired", "forged"] {
        assert_eq!(credentials[refused]["candidates"], json!([]), "{refused}: {credentials}");
        let errors = credentials[refused]["errors"].as_array().unwrap();
        assert!(errors.contains(&json!(401)), "{refused}: {credentials}");
    }
}
