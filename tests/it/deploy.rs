//! The samples in `deploy/`: they are what runs when `cargo xtask cluster up` is typed, and they are enough.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use turnpike_lab::local::{self, Place, Wish};
use turnpike_lab::{Directory, Node, RedisCluster, SECRET, binary, turnpike};

use crate::harness::turnpike::succeeded;
use crate::harness::{Kind, Run, Server, Suite, home, signal};

fn root() -> PathBuf {
    home().parent().unwrap().to_owned()
}

#[test]
fn the_sample_of_a_gateway_is_sound() {
    let directory = Directory::new("sample").unwrap();
    let mut check = binary(&turnpike().unwrap(), &directory);
    check.args(["config", "check", "--config"]).arg(root().join("deploy/turnpike.toml"));
    check.env("JWT_SECRET", "c3f1a97be0d2465890fe17ab34cd62b8");
    check.env("REDIS_PASSWORD", "0d97b2ce64fa4d1b8be35f02a7c1693d");
    assert!(succeeded(&check.output().unwrap()).contains("the configuration is sound"));
}

/// Up until it goes.
struct Cluster(Place);

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = local::down(&self.0);
    }
}

impl Cluster {
    /// At whatever ports are free. Always in the same place, so that what a killed test has left is found and ended.
    fn up(gateways: usize) -> (Self, String) {
        let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sample-cluster");
        let cluster = Self(Place { root: root(), state });
        local::down(&cluster.0).unwrap();
        let first = 12_000 + u16::try_from(std::process::id() % 80).unwrap() * 100;
        let bases = (0..80).map(|step| 12_000 + (first - 12_000 + step * 100) % 8_000);
        for base in bases {
            match local::up(&cluster.0, &Wish { gateways: Some(gateways), port_base: Some(base) }) {
                Ok(told) => return (cluster, told),
                Err(error) if format!("{error:#}").contains("is taken") => {
                    local::down(&cluster.0).unwrap();
                }
                Err(error) => panic!("{error:#}"),
            }
        }
        panic!("no ports are free")
    }

    fn state(&self) -> serde_json::Value {
        let text = std::fs::read(self.0.state.join("state.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    fn ids(&self) -> Vec<u32> {
        let state = self.state();
        let started = ["redis", "gateways"].into_iter().flat_map(|kind| state[kind].as_array().unwrap());
        started.map(|process| process["id"].as_u64().unwrap().try_into().unwrap()).collect()
    }
}

fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < until, "not {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn runs(id: u32) -> bool {
    std::fs::read_link(format!("/proc/{id}/cwd")).is_ok()
}

#[test]
fn a_cluster_from_the_samples() {
    let (cluster, told) = Cluster::up(2);
    assert!(told.contains("gateway-2 http://127.0.0.1:") && told.contains("token --user alice"), "{told}");
    let ids = cluster.ids();
    assert!(ids.len() == 8 && ids.iter().all(|id| runs(*id)), "{ids:?}");

    // Its own doctor is content with it.
    let redis = &cluster.state()["redis"][0]["port"];
    let directory = Directory::new("doctor").unwrap();
    let mut doctor = binary(&turnpike().unwrap(), &directory);
    doctor.args(["doctor", "--json"]).env("REDIS_NODES", format!("127.0.0.1:{redis}"));
    doctor.envs([("PORT", "0"), ("ADMIN_PORT", "0"), ("JWT_SECRET", SECRET)]);
    let said = succeeded(&doctor.output().unwrap());
    assert!(said.contains("on every master"), "the gateways have loaded the functions: {said}");

    // Again changes nothing; what was killed is started again.
    let again = Wish { gateways: None, port_base: None };
    assert_eq!(local::up(&cluster.0, &again).unwrap(), told);
    assert_eq!(cluster.ids(), ids);
    for id in [ids[3], ids[6]] {
        signal("KILL", id);
    }
    eventually("both are missed", || !local::status(&cluster.0).unwrap().1);
    assert_eq!(local::up(&cluster.0, &again).unwrap(), told);
    eventually("all is well", || local::status(&cluster.0).unwrap().1);
    assert_eq!(cluster.ids().iter().filter(|id| !ids.contains(id)).count(), 2);

    let ids = cluster.ids();
    assert!(local::up(&cluster.0, &Wish { gateways: Some(1), ..again }).is_err());
    local::down(&cluster.0).unwrap();
    assert!(!ids.into_iter().any(runs));
    assert_eq!(local::down(&cluster.0).unwrap(), "nothing was up");
}

/// The user of the sample may do all that a gateway does, and Redis has refused it nothing.
#[test]
fn the_rights_of_the_sample_are_enough() {
    let redis = RedisCluster::start().unwrap();
    let sample = std::fs::read_to_string(root().join("deploy/redis/users.acl")).unwrap();
    let line = sample.lines().find(|line| line.starts_with("user turnpike ")).unwrap();
    let rules = line.split_whitespace().skip(1);
    let rules = rules.map(|word| if word.starts_with("#REPLACE") { ">open-sesame" } else { word });
    let command: Vec<&str> = ["ACL", "SETUSER"].into_iter().chain(rules).collect();
    for node in redis.nodes() {
        redis.command(node, &command).unwrap().sound().unwrap();
    }
    let node = Node::start(&[
        ("REDIS_NODES", &redis.seeds_text()),
        ("REDIS_USERNAME", "turnpike"),
        ("REDIS_PASSWORD", "open-sesame"),
    ]);
    let server = Server::of_node(node.unwrap());
    let mut suite = Suite::new("product");
    suite.environment.push(("SUITE_SECRET", SECRET.to_owned()));
    Run { server: Kind::Engine, mode: "websocket", parser: "default", deflate: false }
        .against(&server, "turnpike", suite);
    for node in redis.nodes() {
        let refused = redis.command(node, &["ACL", "LOG"]).unwrap();
        assert!(refused.items().is_empty(), "{}", refused.text());
    }
}
