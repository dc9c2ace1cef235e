//! A node that is cut off from Redis, silently: it says so, and comes back by itself.

use std::time::{Duration, Instant};

use turnpike_lab::{End, Node, RedisCluster, RedisOptions};

use crate::harness::http::get;

const PATIENCE: Duration = Duration::from_secs(30);

fn ready(node: &Node) -> bool {
    let answer = std::process::Command::new("curl")
        .args(["-s", "-o", "/dev/null", "-m", "2", "-w", "%{http_code}", &format!("http://{}/ready", node.admin)])
        .output()
        .unwrap();
    answer.stdout == b"200"
}

fn until(what: &str, limit: Duration, is_so: impl Fn() -> bool) -> Duration {
    let before = Instant::now();
    while !is_so() {
        assert!(before.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    before.elapsed()
}

#[test]
fn it_says_so_and_comes_back() {
    let cluster = RedisCluster::start_with(RedisOptions { cuttable: true, ..RedisOptions::default() }).unwrap();
    let seeds = cluster.seeds_text();
    let [cut, other] = ["cut", "other"].map(|name| Node::start(&[("REDIS_NODES", &seeds), ("SERVER_ID", name)]).unwrap());
    until("ready", PATIENCE, || ready(&cut) && ready(&other));
    let redis: Vec<End> = cluster.nodes().map(End::Redis).collect();
    cluster.network().part(&[End::Process(cut.id())], &redis);
    println!("red after {:?}", until("red", PATIENCE, || !ready(&cut)));
    assert!(ready(&other), "the cut concerns one alone");
    std::thread::sleep(Duration::from_secs(6));
    cluster.network().mend();
    println!("green after {:?}", until("green", PATIENCE, || ready(&cut)));
    println!("{}", cut.log());
}
