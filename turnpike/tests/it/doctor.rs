//! `turnpike doctor`, and starts that are stopped by what it would say.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use turnpike_lab::{End, Node, RedisCluster, RedisOptions};

use crate::process::{Directory, System, eventually, get, run};

/// Long random ones are what the doctor is content with.
const SECRET: (&str, &str) = ("JWT_SECRET", "c3f1a97be0d2465890fe17ab34cd62b8");
const PATIENCE: Duration = Duration::from_secs(30);

/// Exit code, and each finding as `level check`.
fn examined(directory: &Directory, environment: &[(&str, &str)]) -> (Option<i32>, Vec<String>) {
    let ports = [("PORT", "0"), ("ADMIN_PORT", "0"), SECRET];
    let environment: Vec<_> = ports.into_iter().chain(environment.iter().copied()).collect();
    let output = run(directory, &["doctor", "--json"], &environment);
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        panic!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    });
    assert_eq!(said["ok"], output.status.success());
    let findings = said["findings"].as_array().unwrap().iter();
    // How busy this machine is is not what is tested.
    let findings = findings.filter(|finding| finding["check"] != "latency").map(|finding| {
        assert_eq!(finding["level"] == "ok", finding["remedy"] == "", "{finding}");
        format!("{} {}", finding["level"].as_str().unwrap(), finding["check"].as_str().unwrap())
    });
    (output.status.code(), findings.collect())
}

fn faults((code, findings): (Option<i32>, Vec<String>)) -> (Option<i32>, Vec<String>) {
    (code, findings.into_iter().filter(|finding| !finding.starts_with("ok ")).collect())
}

#[test]
fn a_machine_without_redis() {
    let directory = Directory::new();
    let (code, findings) = examined(&directory, &[]);
    let wanted = [
        "ok data-dir",
        "ok file-descriptors",
        "ok port",
        "ok admin-port",
        "ok media-ports",
        "ok secret",
        "ok redis",
    ];
    assert_eq!((code, findings), (Some(0), wanted.map(String::from).to_vec()));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "it left nothing behind");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let file = directory.write("file", "");
    let environment = [
        ("PORT", port.as_str()),
        ("DATA_DIR", file.to_str().unwrap()),
        ("JWT_SECRET", "changeme-changeme-changeme-changeme"),
        ("MAX_CONNECTIONS", "9999999"),
    ];
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let media = datagrams.local_addr().unwrap().port().to_string();
    let environment: Vec<_> = environment
        .into_iter()
        .chain([("MEDIA_PORT", media.as_str()), ("TURNPIKE_MEDIA_SHARDS", "1")])
        .collect();
    let expected = ["fail data-dir", "warn file-descriptors", "fail port", "fail media-ports", "warn secret"];
    assert_eq!(faults(examined(&directory, &environment)), (Some(1), expected.map(String::from).to_vec()));
}

#[test]
fn beside_a_system_that_runs() {
    let directory = Directory::new();
    let system = System::start(&directory);
    eventually("ready", || get(&system.admin, "/ready").0 == 200);
    let port_of = |address: &str| address.rsplit_once(':').unwrap().1.to_owned();
    let (gateway, admin) = (port_of(&system.gateway), port_of(&system.admin));
    let ports = [("PORT", gateway.as_str()), ("ADMIN_PORT", admin.as_str())];
    assert_eq!(faults(examined(&directory, &ports)), (Some(0), vec![]));
}

#[test]
fn for_people() {
    let output = run(&Directory::new(), &["doctor"], &[("PORT", "0"), ("ADMIN_PORT", "0"), SECRET]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("ok    port              left to the system\n") && said.ends_with("\nall is well\n"),
        "{said}"
    );
    assert!(!said.contains('\x1b'), "no colours where nobody sees them");
}

#[test]
fn a_cluster_that_loses_messages_is_no_start() {
    let cluster =
        RedisCluster::start_with(RedisOptions { append_only: false, ..RedisOptions::default() }).unwrap();
    let seeds = cluster.seeds_text();
    let directory = Directory::new();
    let redis = [("REDIS_NODES", seeds.as_str())];
    let stored = [redis[0], ("TURNPIKE_DURABILITY", "stored")];
    assert_eq!(faults(examined(&directory, &redis)), (Some(1), vec!["fail append-only-file".into()]));
    assert_eq!(faults(examined(&directory, &stored)), (Some(0), vec!["warn append-only-file".into()]));

    // All at once, and another exit code than that of a configuration that is wrong.
    let master = cluster.masters().unwrap()[0];
    cluster.kill(cluster.replicas_of(master).unwrap()[0]);
    let environment = [redis[0], ("PORT", "0"), ("ADMIN_PORT", "0"), ("LOG_LEVEL", "error")];
    let output = run(&directory, &[], &environment);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(69), &b""[..]), "{said}");
    for words in ["2 faults", "append-only-file: off at", "CONFIG SET appendonly yes", "replicas: "] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn a_failover_is_waited_for() {
    let cluster = RedisCluster::start().unwrap();
    let master = cluster.masters().unwrap()[0];
    cluster.kill(master);
    let binary = Path::new(env!("CARGO_BIN_EXE_turnpike"));
    let directory = Directory::new();
    let log = directory.path().join("node.log");
    let environment = [("REDIS_NODES", &*cluster.seeds_text()), ("LOG_FILE", log.to_str().unwrap())];
    std::thread::scope(|scope| {
        let start = scope.spawn(|| Node::start_binary(binary, &environment).map(drop));
        // The successor of the one that was killed has no replica until that one comes back.
        eventually("it waits", || {
            std::fs::read_to_string(&log).is_ok_and(|log| log.contains("waiting for the Redis Cluster"))
        });
        cluster.wait_served(PATIENCE).unwrap();
        cluster.restart(master).unwrap();
        start.join().unwrap().unwrap();
    });
}

#[test]
fn warnings_are_logged_and_the_start_goes_on() {
    let cluster = RedisCluster::start().unwrap();
    for node in cluster.nodes() {
        cluster.command(node, &["CONFIG", "SET", "appendfsync", "no"]).unwrap().sound().unwrap();
    }
    cluster.wait_healthy(PATIENCE).unwrap();
    let directory = Directory::new();
    let log = System::start_with(&directory, &[], &[("REDIS_NODES", &cluster.seeds_text())]).stop();
    let line = log.iter().find(|line| line.contains("the Redis Cluster could be better")).unwrap();
    assert!(line.contains("append-only-file") && line.contains("CONFIG SET appendfsync everysec"), "{line}");
}

#[test]
fn nobody_there() {
    let directory = Directory::new();
    let (code, found) = faults(examined(&directory, &[("REDIS_NODES", "127.0.0.1:1,127.0.0.1:2")]));
    assert_eq!((code, found), (Some(1), vec!["fail reach".into(), "fail reach".into()]));
}

/// Nobody may be there to start it again, so it does that itself, and waits; unless it is told to end.
#[test]
fn nodes_that_were_cut_off_wait_and_come_back() {
    let cluster =
        RedisCluster::start_with(RedisOptions { cuttable: true, ..RedisOptions::default() }).unwrap();
    let redis: Vec<End> = cluster.nodes().map(End::Redis).collect();
    // A copy that goes: a program that was replaced while it ran must still find itself.
    let directory = Directory::new();
    let binary = directory.path().join("turnpike");
    std::fs::copy(env!("CARGO_BIN_EXE_turnpike"), &binary).unwrap();
    let [node, mut other] = ["one", "other"].map(|name| {
        let environment = [("REDIS_NODES", &*cluster.seeds_text()), ("SERVER_ID", name)];
        Node::start_binary(&binary, &environment).unwrap()
    });
    // While it starts over nobody is there, but not for long.
    let ask = |node: &Node, path: &str| -> std::io::Result<String> {
        let mut stream = TcpStream::connect(node.admin)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", node.admin)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    let is_ready = |node: &Node| ask(node, "/ready").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"));
    let waits = |node: &Node| node.log().contains("waiting for the Redis Cluster");
    let eventually = |what: &str, node: &Node, is_so: &dyn Fn(&Node) -> bool| {
        let until = Instant::now() + PATIENCE;
        while !is_so(node) {
            assert!(Instant::now() < until, "never {what}: {}", node.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    eventually("ready", &node, &is_ready);
    std::fs::remove_file(&binary).unwrap();
    let both = [End::Process(node.id()), End::Process(other.id())];
    cluster.network().part(&both, &redis);
    eventually("not ready", &node, &|node| !is_ready(node));
    eventually("waiting", &node, &waits);
    eventually("waiting", &other, &waits);
    // A supervisor lets it wait, an operator reads why, and whoever collects metrics misses it.
    for (path, expected) in [
        ("/live", "HTTP/1.1 200"),
        ("/ready", "HTTP/1.1 503"),
        ("/health", "waits for the Redis Cluster"),
        ("/metrics", "HTTP/1.1 404"),
    ] {
        eventually(path, &node, &|node| ask(node, path).is_ok_and(|answer| answer.contains(expected)));
    }
    other.terminate().unwrap();
    assert_eq!(other.wait(PATIENCE).unwrap().code(), Some(0), "{}", other.log());
    cluster.network().mend();
    eventually("ready again, at the same place", &node, &is_ready);
}
