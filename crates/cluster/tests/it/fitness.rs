//! `redis::check` against real clusters that lack something.

use std::time::{Duration, Instant};

use turnpike_cluster::redis::check::{Finding, Level, check};
use turnpike_cluster::redis::{Durability, RedisConfig};
use turnpike_lab::{RedisCluster, RedisNode};

/// Reaching it means that something is broken.
const PATIENCE: Duration = Duration::from_secs(30);

fn config(cluster: &RedisCluster) -> RedisConfig {
    RedisConfig { nodes: cluster.seeds(), ..RedisConfig::default() }
}

/// How busy this machine is, which is not what is tested here.
const BUSY: &str = "latency";

/// All that was not good, as `level check`.
#[allow(clippy::print_stdout, reason = "shown when the test fails")]
async fn faults(config: &RedisConfig) -> Vec<String> {
    let findings = check(config).await;
    for finding in findings.iter().filter(|finding| finding.level != Level::Ok) {
        println!("{finding:?}");
    }
    summary(&findings)
}

fn summary(findings: &[Finding]) -> Vec<String> {
    let mut faults: Vec<String> = findings
        .iter()
        .filter(|finding| finding.level != Level::Ok && finding.check != BUSY)
        .map(|finding| format!("{} {}", finding.level.word(), finding.check))
        .collect();
    faults.dedup();
    faults
}

fn command(cluster: &RedisCluster, node: RedisNode, command: &[&str]) {
    cluster.command(node, command).unwrap().sound().unwrap();
}

fn everywhere(cluster: &RedisCluster, words: &[&str]) {
    for node in cluster.nodes() {
        command(cluster, node, words);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings() {
    let cluster = RedisCluster::start().unwrap();
    let config = config(&cluster);
    let stored = RedisConfig { durability: Durability::Stored, ..config.clone() };
    let found = check(&config).await;
    let is_well = |finding: &Finding| finding.level == Level::Ok && finding.remedy.is_empty();
    assert!(found.iter().filter(|finding| finding.check != BUSY).all(is_well), "{found:#?}");
    for wanted in ["reach", "slots", "replicas", "append-only-file", "memory", "functions", "clocks", "bus"] {
        assert!(found.iter().any(|finding| finding.check == wanted), "{wanted}: {found:#?}");
    }

    // Without a file, at one process; and what the remedy says is what helps.
    let master = cluster.masters().unwrap()[0];
    let (host, port) = cluster.address(master);
    command(&cluster, master, &["CONFIG", "SET", "appendonly", "no"]);
    assert_eq!(faults(&config).await, ["fail append-only-file"]);
    assert_eq!(faults(&stored).await, ["warn append-only-file"]);
    let found = check(&config).await;
    let finding = found.iter().find(|finding| finding.level == Level::Fail).unwrap();
    assert!(finding.what.contains(&format!("{host}:{port}")), "{finding:?}");
    assert!(finding.remedy.contains("CONFIG SET appendonly yes"), "{finding:?}");
    command(&cluster, master, &["CONFIG", "SET", "appendonly", "yes"]);
    assert_eq!(faults(&config).await, [""; 0]);

    everywhere(&cluster, &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    assert_eq!(faults(&config).await, ["warn memory"]);
    everywhere(&cluster, &["CONFIG", "SET", "maxmemory", "1gb"]);
    assert_eq!(faults(&config).await, ["fail memory"]);
    everywhere(&cluster, &["CONFIG", "SET", "maxmemory", "0"]);
    everywhere(&cluster, &["CONFIG", "SET", "maxmemory-policy", "noeviction"]);

    for (name, value, back, fault) in [
        ("client-output-buffer-limit", "pubsub 1mb 512kb 60", "pubsub 32mb 8mb 60", "warn buffers"),
        ("client-output-buffer-limit", "pubsub 0 0 0", "pubsub 32mb 8mb 60", ""),
        ("client-output-buffer-limit", "replica 1mb 1mb 60", "replica 256mb 64mb 60", "warn buffers"),
        ("cluster-require-full-coverage", "yes", "no", "warn failover"),
        ("cluster-replica-no-failover", "yes", "no", "warn failover"),
        ("min-replicas-to-write", "2", "0", "fail failover"),
        ("appendfsync", "no", "everysec", "warn append-only-file"),
    ] {
        everywhere(&cluster, &["CONFIG", "SET", name, value]);
        assert_eq!(faults(&config).await.join(" "), fault, "{name} {value}");
        everywhere(&cluster, &["CONFIG", "SET", name, back]);
    }
    assert_eq!(faults(&config).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn functions() {
    let cluster = RedisCluster::start().unwrap();
    let config = config(&cluster);
    let of_version = |version: u32| {
        format!(
            "#!lua name=turnpike\nredis.register_function{{function_name='turnpike_version', \
             callback=function() return {{{version}, 'x'}} end, flags={{'no-writes'}}}}"
        )
    };
    for (version, fault) in [(0, ""), (1000, "fail functions")] {
        for master in cluster.masters().unwrap() {
            command(&cluster, master, &["FUNCTION", "LOAD", "REPLACE", &of_version(version)]);
        }
        assert_eq!(faults(&config).await.join(" "), fault, "version {version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rights() {
    let cluster = RedisCluster::start().unwrap();
    let as_user = |name: &str, password: &str| RedisConfig {
        username: Some(name.into()),
        password: Some(password.into()),
        ..config(&cluster)
    };
    everywhere(&cluster, &["ACL", "SETUSER", "mute", "on", ">x", "~*", "+@all", "resetchannels"]);
    everywhere(&cluster, &["ACL", "SETUSER", "blind", "on", ">x", "~*", "&*", "+@all", "-config"]);
    assert_eq!(faults(&as_user("mute", "x")).await, ["fail bus"]);
    assert_eq!(faults(&as_user("blind", "x")).await, ["warn settings"]);
    // The sample for operators, with a password in the place that asks for one.
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/redis/users.acl");
    let sample = std::fs::read_to_string(sample).unwrap();
    let line = sample.lines().find(|line| line.starts_with("user turnpike ")).unwrap();
    let rules: Vec<&str> = line
        .split_whitespace()
        .skip(1)
        .map(|word| if word.starts_with("#REPLACE") { ">secret" } else { word })
        .collect();
    everywhere(&cluster, &[&["ACL", "SETUSER"], rules.as_slice()].concat());
    assert_eq!(faults(&as_user("turnpike", "secret")).await, [""; 0]);

    let found = check(&as_user("blind", "wrong")).await;
    assert_eq!(summary(&found), ["fail reach"]);
    assert!(found.iter().all(|finding| finding.remedy.contains("REDIS_PASSWORD")), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn processes() {
    let cluster = RedisCluster::start().unwrap();
    let config = config(&cluster);
    let stored = RedisConfig { durability: Durability::Stored, ..config.clone() };
    let greedy = RedisConfig { replicas_min: 2, ..config.clone() };
    assert_eq!(faults(&greedy).await, ["fail replicas"]);

    let master = cluster.masters().unwrap()[0];
    let replica = cluster.replicas_of(master).unwrap()[0];
    cluster.kill(replica);
    assert_eq!(faults(&config).await, ["warn reach", "fail replicas"]);
    assert_eq!(faults(&stored).await, ["warn reach", "warn replicas"]);
    cluster.restart(replica).unwrap();
    cluster.wait_healthy(PATIENCE).unwrap();
    assert_eq!(faults(&config).await, [""; 0]);

    // The cluster itself does not mind a slot that nobody serves, as it is configured.
    everywhere(&cluster, &["CLUSTER", "DELSLOTS", "7"]);
    let found = check(&config).await;
    assert_eq!(summary(&found), ["fail slots"]);
    let finding = found.iter().find(|finding| finding.check == "slots").unwrap();
    assert!(finding.what.ends_with("1 of 16384 slots have no master: 7"), "{}", finding.what);
    command(&cluster, master, &["CLUSTER", "ADDSLOTS", "7"]);
    cluster.wait_healthy(PATIENCE).unwrap();

    // One that takes connections and says nothing must not hold up the others' answers for ever.
    cluster.freeze(replica).unwrap();
    let before = Instant::now();
    let found = faults(&config).await;
    assert!(found.contains(&"warn reach".to_owned()), "{found:?}");
    assert!(before.elapsed() < Duration::from_secs(12), "{:?}", before.elapsed());
    cluster.thaw(replica).unwrap();
    cluster.wait_healthy(PATIENCE).unwrap();

    // A seed that is away is no reason not to find the rest.
    let (host, port) = cluster.address(master);
    let some = RedisConfig { nodes: vec![("127.0.0.1".into(), 1), (host, port)], ..config.clone() };
    assert_eq!(faults(&some).await, ["warn reach"]);
    let nobody = RedisConfig { nodes: vec![("127.0.0.1".into(), 1)], ..config };
    assert_eq!(faults(&nobody).await, ["fail reach"]);
}
