//! Three nodes on a Redis Cluster, each with a log of its own. Somebody who owns one of them, its files and its signing key among
//! them, makes its log anew or cuts its end off: what the other nodes and Redis have kept says so, and nothing else does.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;
use turnpike_lab::{Directory, Node, binary, shared, turnpike, unique_prefix};

use crate::harness::frames::HANDSHAKE;

/// Past it something is broken.
const BROKEN: Duration = Duration::from_mins(1);

const TAMPERED: i32 = 2;
const TAIL_NOT_ANCHORED: i32 = 4;

struct House {
    directory: Directory,
    seeds: String,
    prefix: String,
}

impl House {
    fn open() -> Self {
        let directory = Directory::new("anchors").unwrap();
        Self { directory, seeds: shared().seeds_text(), prefix: unique_prefix() }
    }

    fn log(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn key_file(&self) -> PathBuf {
        self.directory.path().join("key-of-n1")
    }

    fn node(&self, name: &str, log: &str) -> Node {
        let (log, key) = (self.log(log), self.directory.path().join(format!("key-of-{name}")));
        Node::start(&[
            ("REDIS_NODES", &self.seeds),
            ("TURNPIKE_REDIS_PREFIX", &self.prefix),
            ("SERVER_ID", name),
            ("AUDIT_DIR", log.to_str().unwrap()),
            ("TURNPIKE_AUDIT_KEY_FILE", key.to_str().unwrap()),
        ])
        .unwrap()
    }

    /// `turnpike audit ...`, as it is typed on a machine of the system.
    fn audit(&self, arguments: &[&str]) -> Output {
        let mut command: Command = binary(&turnpike().unwrap(), &self.directory);
        command.arg("audit").args(arguments).envs([
            ("REDIS_NODES", self.seeds.as_str()),
            ("TURNPIKE_REDIS_PREFIX", self.prefix.as_str()),
            ("TURNPIKE_AUDIT_KEY_FILE", self.key_file().to_str().unwrap()),
        ]);
        command.output().unwrap()
    }

    /// The exit code of `verify`, and what it found.
    fn verdict(&self, log: &Path, anchors: &[&Path]) -> (i32, String) {
        let mut arguments = vec!["verify", "--json", "--audit-dir", log.to_str().unwrap()];
        for anchors in anchors {
            arguments.extend(["--anchors", anchors.to_str().unwrap()]);
        }
        // Until the last checkpoint was taken out, and the end of the node behind it.
        arguments.extend(["--tail-max", "1m"]);
        let output = self.audit(&arguments);
        let said: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        let finding = said["finding"]["problem"].as_str().unwrap_or("nothing").to_owned();
        (output.status.code().unwrap(), finding)
    }

    fn in_redis(&self) -> String {
        let output = self.audit(&["anchors"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// How many records the newest checkpoint of that node covers that is found in there.
fn newest(text: &str, origin: &str) -> u64 {
    let line = format!("{origin}\n");
    let sizes = text.split(&*line).skip(1).filter_map(|rest| rest.lines().next()?.parse().ok());
    sizes.max().unwrap_or(0)
}

/// All lines of a log, with the notes in them as they are written elsewhere.
fn text(log: &Path) -> String {
    let mut text = String::new();
    for file in std::fs::read_dir(log).into_iter().flatten().flatten() {
        text += &std::fs::read_to_string(file.path()).unwrap_or_default();
    }
    text.replace("\\n", "\n")
}

/// So many come in and go again: each a few records.
fn enter(node: &Node, count: usize) {
    use std::io::{Read as _, Write as _};
    let token = node.token(&["--user", "alice"]).unwrap();
    for _ in 0..count {
        let mut stream = std::net::TcpStream::connect(node.gateway).unwrap();
        stream.set_read_timeout(Some(BROKEN)).unwrap();
        write!(stream, "GET /ws HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{HANDSHAKE}\r\n")
            .unwrap();
        let (mut read, mut bytes) = (Vec::new(), [0; 4_096]);
        while !String::from_utf8_lossy(&read).contains("\"session\"") {
            let count = stream.read(&mut bytes).unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&read));
            read.extend_from_slice(&bytes[..count]);
        }
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < BROKEN, "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn end(node: &mut Node) {
    node.terminate().unwrap();
    node.wait(BROKEN).unwrap();
}

fn copied(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for file in std::fs::read_dir(from).unwrap().flatten() {
        if file.file_type().unwrap().is_file() {
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
}

#[test]
fn who_owns_a_node_with_its_key_cannot_make_its_log_anew_unnoticed() {
    let house = House::open();
    let mut nodes = ["n1", "n2", "n3"].map(|name| house.node(name, name));
    let [log, of_others @ ..] = ["n1", "n2", "n3"].map(|name| house.log(name));
    enter(&nodes[0], 20);
    // Both of the others, and Redis, vouch for what there is by now. That somebody went is written a moment later.
    let count = || text(&log).lines().filter(|line| line.contains("\"seq\":")).count() as u64;
    until("everybody is on record", || count() > 40);
    let there = count();
    for other in &of_others {
        until("the other node has it", || newest(&text(other), "turnpike/n1") >= there);
    }
    until("Redis has it", || newest(&house.in_redis(), "turnpike/n1") >= there);
    end(&mut nodes[0]);
    let redis = house.directory.path().join("redis.txt");
    std::fs::write(&redis, house.in_redis()).unwrap();
    let [of_n2, of_n3] = [&*of_others[0], &*of_others[1]];

    // As it is.
    for anchors in [&[of_n2][..], &[of_n3], &[&redis], &[of_n2, of_n3, &redis]] {
        assert_eq!(
            house.verdict(&log, anchors),
            (0, "nothing".to_owned()),
            "{anchors:?} {}",
            house.in_redis()
        );
    }

    // Its end is cut off, behind an earlier checkpoint of its own: it looks like a log whose process was killed.
    let cut = house.log("cut");
    copied(&log, &cut);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&cut).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "ndjson"));
    files.sort();
    let file = files.pop().expect("a file of the log");
    let lines = std::fs::read_to_string(&file).unwrap();
    let (kept, _) = lines.split_once("\"activity\":\"checkpoint\"").expect("a checkpoint");
    let line = lines[kept.len()..].find('\n').unwrap() + 1;
    std::fs::write(&file, &lines[..kept.len() + line]).unwrap();
    assert_eq!(house.verdict(&cut, &[]), (TAIL_NOT_ANCHORED, "nothing".to_owned()));
    for anchors in [of_n2, of_n3, &redis] {
        assert_eq!(house.verdict(&cut, &[anchors]), (TAMPERED, "cut_off".to_owned()), "{anchors:?}");
    }

    // All of it is made anew, by the product itself and with the node's own key: as long as the one before, and nothing in it
    // is wrong. Whoever does it keeps to themselves.
    let anew = house.log("anew");
    let (name, key) = (anew.to_str().unwrap().to_owned(), house.key_file());
    let mut forger = Node::start(&[
        ("SERVER_ID", "n1"),
        ("AUDIT_DIR", &name),
        ("TURNPIKE_AUDIT_KEY_FILE", key.to_str().unwrap()),
    ])
    .unwrap();
    enter(&forger, there as usize / 2);
    end(&mut forger);
    assert_eq!(house.verdict(&anew, &[]), (TAIL_NOT_ANCHORED, "nothing".to_owned()));
    for anchors in [of_n2, of_n3, &redis] {
        assert_eq!(
            house.verdict(&anew, &[anchors]),
            (TAMPERED, "anchor_contradicts".to_owned()),
            "{anchors:?}"
        );
    }

    // And without any log of that node: what is kept says the same everywhere, but for what the forger signed.
    let compare = |places: &[&Path]| {
        let mut arguments = vec!["anchors", "compare"];
        for place in places {
            arguments.extend(["--anchors", place.to_str().unwrap()]);
        }
        let output = house.audit(&arguments);
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, said) = compare(&[of_n2, of_n3]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("turnpike/n1") && said.contains("Redis: "), "{said}");
    // The node goes on with the log whose end was cut off. From then on the others are shown less than they had been.
    nodes[0] = house.node("n1", "cut");
    enter(&nodes[0], 5);
    until("a witness is shown less than before", || compare(&[of_n2, of_n3]).1.contains("WENT BACK"));
    let (code, said) = compare(&[of_n2, of_n3]);
    assert_eq!(code, TAMPERED, "{said}");
    assert!(!said.contains("turnpike/n2\n  WENT"), "{said}");
    end(&mut nodes[0]);
    let (code, _) = house.verdict(&cut, &[of_n2, &redis]);
    assert_eq!(code, TAMPERED);
    for node in &mut nodes[1..] {
        end(node);
    }
}
