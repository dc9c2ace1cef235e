//! Log files: written in place of stderr, rotated, opened anew, and never a reason not to serve.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use crate::polling::Client;
use crate::process::{Directory, System, eventually, get, run};

/// A request that is refused, which is a line at DEBUG.
const REFUSED: &str = "/api/v1/rooms/chat:1/messages";

/// Every line of the file, which is JSON each.
fn lines(path: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect()
}

#[test]
fn a_file_takes_the_place_of_stderr_and_never_grows_beyond_its_bounds() {
    let directory = Directory::new();
    let (file, level) = (("LOG_FILE", "node.log"), ("LOG_LEVEL", "debug"));
    let environment = [file, level, ("LOG_MAX_BYTES", "8KiB"), ("LOG_MAX_FILES", "3")];
    let system = System::start_with(&directory, &[], &environment);
    let log = directory.path().join("node.log");
    eventually("it has been rotated twice", || {
        get(&system.gateway, REFUSED);
        directory.path().join("node.log.2").exists()
    });
    for _ in 0..50 {
        get(&system.gateway, REFUSED);
    }
    let stderr = system.stop();
    assert_eq!(stderr, Vec::<String>::new(), "nothing is said twice");
    assert!(!directory.path().join("node.log.3").exists());
    for name in ["node.log", "node.log.1", "node.log.2"] {
        let path = directory.path().join(name);
        assert!(fs::metadata(&path).unwrap().len() <= 8 * 1024, "{name}");
        assert!(!lines(&path).is_empty());
    }
    assert!(lines(&log).iter().any(|line| line["message"] == "drain ends"), "what it said last");
}

#[test]
fn nobody_can_forge_a_line() {
    let directory = Directory::new();
    let environment = [("LOG_FILE", "node.log"), ("LOG_LEVEL", "trace")];
    let system = System::start_with(&directory, &[], &environment);
    let forged = "\u{1b}[31m\\n{\"level\":\"ERROR\",\"message\":\"forged\"}\u{202e}";
    // Refused, and said why.
    let client = Client::open(&system.gateway);
    client.send(&format!("40{{\"token\":{}}}", serde_json::json!(forged)));
    assert!(client.receive("4").starts_with("44"));
    let mut stream = TcpStream::connect(&system.gateway).unwrap();
    write!(stream, "GET {REFUSED} HTTP/1.1\r\nX-Request-Id: {forged}\r\nUser-Agent: {forged}\r\nConnection: close\r\n\r\n")
        .unwrap();
    stream.read_to_string(&mut String::new()).unwrap();
    write!(TcpStream::connect(&system.gateway).unwrap(), "{forged}\r\n\r\n").unwrap();
    let path = directory.path().join("node.log");
    system.stop();
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains(['\u{1b}', '\u{202e}', '\r']));
    assert!(lines(&path).iter().all(|line| line["message"] != "forged" && line["time"].is_string()));
}

#[test]
fn whoever_moves_the_file_away_has_it_opened_anew() {
    let directory = Directory::new();
    let system = System::start_with(&directory, &[], &[("LOG_FILE", "node.log")]);
    let (log, moved) = (directory.path().join("node.log"), directory.path().join("moved"));
    fs::rename(&log, &moved).unwrap();
    system.signal("HUP");
    eventually("it is there again", || log.exists() && !lines(&log).is_empty());
    system.stop();
    assert!(lines(&moved).iter().any(|line| line["message"] == "turnpike is up"));
    assert!(lines(&log).iter().any(|line| line["message"] == "drain ends"));
}

#[test]
fn a_file_that_cannot_be_written_is_no_start() {
    let directory = Directory::new();
    fs::create_dir(directory.path().join("folder")).unwrap();
    for (path, why) in [
        ("missing/node.log", "No such file"),
        ("folder", "not a regular file"),
        ("/dev/stdout", "not a regular file"),
    ] {
        let output = run(&directory, &[], &[("LOG_FILE", path), ("PORT", "0"), ("ADMIN_PORT", "0")]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(why) && stderr.contains("LOG_FILE") && stderr.contains(path), "{stderr}");
    }
}

#[test]
fn a_disk_that_takes_no_more_costs_lines_which_are_counted() {
    let directory = Directory::new();
    let folder = directory.path().join("logs");
    fs::create_dir(&folder).unwrap();
    let environment = [("LOG_FILE", "logs/node.log"), ("LOG_LEVEL", "debug"), ("LOG_MAX_BYTES", "4KiB")];
    let system = System::start_with(&directory, &[], &environment);
    // No next file can be made.
    fs::remove_dir_all(&folder).unwrap();
    let dropped = || {
        let (_, metrics) = get(&system.admin, "/metrics");
        let value = metrics.lines().find_map(|line| line.strip_prefix("turnpike_log_lines_dropped_total "));
        value.unwrap().parse::<u64>().unwrap()
    };
    eventually("lines are lost", || {
        assert_eq!(get(&system.gateway, "/live").0, 200, "it serves on");
        get(&system.gateway, REFUSED);
        dropped() > 10
    });
    fs::create_dir(&folder).unwrap();
    eventually("and written again", || {
        get(&system.gateway, REFUSED);
        folder.join("node.log").exists()
    });
    let stderr = system.stop();
    assert!(stderr.iter().any(|line| line.contains("log lines are lost")), "{stderr:?}");
    assert!(stderr.iter().any(|line| line.contains("takes log lines again")), "{stderr:?}");
}
