//! A machine whose clock is wrong says so: in the audit log, in its metrics, in its log and in its readiness. The clock of the
//! node's process is set with libfaketime; Redis and everybody else go by the real one.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use turnpike_lab::{Directory, Node, shared, unique_prefix};

/// Past it something is broken. The node looks every ten seconds.
const BROKEN: Duration = Duration::from_mins(1);

/// The variant for programs with threads.
fn library() -> PathBuf {
    let places = std::fs::read_dir("/usr/lib").unwrap().flatten().map(|place| place.path());
    let mut found =
        places.map(|place| place.join("faketime/libfaketimeMT.so.1")).filter(|file| file.is_file());
    found.next().expect("libfaketime is there: `cargo xtask install` gets it")
}

fn set(file: &Path, ahead: &str) {
    // Never half of it: it is read at any time.
    let written = file.with_extension("new");
    std::fs::write(&written, format!("{ahead}\n")).unwrap();
    std::fs::rename(written, file).unwrap();
}

fn get(node: &Node, path: &str) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(node.admin).unwrap();
    stream.set_read_timeout(Some(BROKEN)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", node.admin).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// By how much the node takes itself to be ahead. None: it has not looked yet.
fn offset(node: &Node) -> Option<f64> {
    let metrics = get(node, "/metrics");
    let line = metrics.lines().find_map(|line| line.strip_prefix("turnpike_clock_offset_seconds "))?;
    line.parse().ok()
}

fn records(log: &Path) -> Vec<String> {
    let mut records = Vec::new();
    for file in std::fs::read_dir(log).into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(file.path()).unwrap_or_default();
        records.extend(text.lines().filter(|line| line.contains("\"clock_off\"")).map(str::to_owned));
    }
    records
}

fn until(what: &str, node: &Node, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < BROKEN, "{what}\n{}", node.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_machine_whose_clock_goes_off_says_so_and_says_when_it_is_right_again() {
    let directory = Directory::new("clocks").unwrap();
    let (clock, log) = (directory.path().join("clock"), directory.path().join("audit"));
    set(&clock, "+0");
    let node = Node::start(&[
        ("REDIS_NODES", &shared().seeds_text()),
        ("TURNPIKE_REDIS_PREFIX", &unique_prefix()),
        ("AUDIT_DIR", log.to_str().unwrap()),
        ("LD_PRELOAD", library().to_str().unwrap()),
        ("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        // What is measured steadily goes on steadily.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ])
    .unwrap();
    until("it has looked", &node, || offset(&node).is_some_and(|offset| offset.abs() < 2.0));
    // Less than five seconds are no trouble.
    set(&clock, "+4");
    until("it sees that", &node, || offset(&node).is_some_and(|offset| offset > 3.0));
    assert_eq!(records(&log), Vec::<String>::new());
    assert!(get(&node, "/ready").starts_with("HTTP/1.1 200"), "{}", get(&node, "/ready"));
    set(&clock, "+8");
    until("it is on record", &node, || !records(&log).is_empty());
    let [record] = &*records(&log) else { panic!("{:?}", records(&log)) };
    let (_, said) = record.split_once("\"offset_ms\":").expect("by how much");
    let said: i64 = said.split(['}', ',']).next().unwrap().parse().unwrap();
    assert!((7_000..=9_000).contains(&said), "{record}");
    assert!(offset(&node).is_some_and(|offset| (7.0..=9.0).contains(&offset)));
    assert!(node.logs("differs from that of Redis"), "{}", node.log());
    // Behind is as wrong as ahead, and is no news.
    set(&clock, "-8");
    until("it sees that", &node, || offset(&node).is_some_and(|offset| offset < -7.0));
    assert_eq!(records(&log).len(), 1);
    set(&clock, "+0");
    until("it is right again", &node, || offset(&node).is_some_and(|offset| offset.abs() < 2.0));
    set(&clock, "-8");
    until("and wrong once more", &node, || records(&log).len() == 2);
}
