//! SIGHUP: what changes in a process that runs, what is named because it cannot, and that a fault changes nothing.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::polling::Client;
use crate::process::{Directory, PATIENCE, System, eventually, get, run, stdout};

const OLD: &str = "c3f1a97be0d2465890fe17ab34cd62b8";
const NEW: &str = "0d97b2ce64fa4d1b8be35f02a7c1693d";
/// A request that is refused, which is a line at DEBUG.
const REFUSED: &str = "/api/v1/rooms/chat:1/messages";
const BEFORE: &str = r#"
[auth]
jwt_secret = "c3f1a97be0d2465890fe17ab34cd62b8"
[log]
level = "info"
[addresses]
trusted_proxies = ["127.0.0.1"]
"#;
const AFTER: &str = r#"
[auth]
jwt_secret = "0d97b2ce64fa4d1b8be35f02a7c1693d"
[log]
level = "info,turnpike_gateway=debug"
[addresses]
trusted_proxies = ["127.0.0.1"]
deny = ["203.0.113.0/24"]
[rates]
joins = "1/1"
[heartbeat]
interval = "11s"
"#;
const FAULTY: &str = r#"
[auth]
jwt_secret = "c3f1a97be0d2465890fe17ab34cd62b8"
[rates]
joins = "none"
"#;

fn token(directory: &Directory, secret: &str) -> String {
    stdout(run(directory, &["token", "--user", "alice"], &[("JWT_SECRET", secret)])).trim_end().to_owned()
}

/// The status of a request for somebody behind a proxy.
fn asked_by(gateway: &str, client: &str) -> u16 {
    let mut stream = TcpStream::connect(gateway).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: {gateway}\r\nX-Forwarded-For: {client}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

fn metric(system: &System, line: &str) -> Option<u64> {
    let (_, metrics) = get(&system.admin, "/metrics");
    let line = metrics.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '))?;
    line.parse().ok()
}

fn reload(system: &System, outcome: &str) {
    let name = format!("turnpike_configuration_reloads_total{{outcome=\"{outcome}\"}}");
    let before = metric(system, &name).unwrap();
    system.signal("HUP");
    eventually("it has read its configuration anew", || metric(system, &name) == Some(before + 1));
}

#[test]
fn keys_limits_filters_and_log_level_change_and_the_rest_is_named() {
    let directory = Directory::new();
    directory.write("turnpike.toml", BEFORE);
    let system = System::start_with(&directory, &["--config", "turnpike.toml"], &[]);
    let (old, new) = (token(&directory, OLD), token(&directory, NEW));
    let enters = |token: &str| Client::enter(&system.gateway, token).receive("4").starts_with("40");
    assert!(enters(&old) && !enters(&new));
    assert_eq!(asked_by(&system.gateway, "203.0.113.9"), 200);
    get(&system.gateway, REFUSED);
    let alice = Client::enter(&system.gateway, &old);
    alice.receive("40");
    let joins = |number: u32| {
        alice.send(&format!(r#"42{number}["room:join",{{"room":"chat:{number}"}}]"#));
        alice.receive(&format!("43{number}["))
    };
    assert!((1..5).all(|number| joins(number).contains("\"ok\":true")));

    directory.write("turnpike.toml", AFTER);
    reload(&system, "done");
    assert!(enters(&new) && !enters(&old), "keys");
    get(&system.gateway, REFUSED);
    assert_eq!(asked_by(&system.gateway, "203.0.113.9"), 403, "filters");
    assert_eq!(asked_by(&system.gateway, "203.0.114.9"), 200);
    let answers = [joins(6), joins(7), joins(8)];
    assert!(answers.iter().any(|answer| answer.contains("rate_limited")), "limits: {answers:?}");
    assert_eq!(metric(&system, "turnpike_configuration_restart_keys"), Some(1));

    directory.write("turnpike.toml", FAULTY);
    reload(&system, "refused");
    assert!(enters(&new) && !enters(&old), "a fault changes nothing");

    directory.write("turnpike.toml", BEFORE);
    reload(&system, "done");
    assert!(enters(&old) && !enters(&new));
    get(&system.gateway, REFUSED);
    assert_eq!(metric(&system, "turnpike_configuration_restart_keys"), Some(0));

    let log: Vec<serde_json::Value> =
        system.stop().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said = |key: &str, words: &str| {
        log.iter().any(|line| line["key"] == key && line["message"].as_str().unwrap().contains(words))
    };
    for key in ["auth.jwt_secret", "log.level", "addresses.deny", "rates.joins"] {
        assert!(said(key, "has another value"), "{key}: {log:#?}");
        assert!(!said(key, "a restart takes up"), "{key}");
    }
    assert!(said("heartbeat.interval", "a restart takes up"), "{log:#?}");
    let refused = log.iter().filter(|line| line["message"] == "request of a backend refused").count();
    assert_eq!(refused, 1, "at DEBUG, and so once of three times: {log:#?}");
    let refused = log.iter().find(|line| line["message"] == "the configuration stays as it was").unwrap();
    assert!(refused["problem"].as_str().unwrap().contains("rates.joins"), "{refused}");
    assert!(!log.iter().any(|line| line.to_string().contains(NEW)), "no secret is shown");
}
