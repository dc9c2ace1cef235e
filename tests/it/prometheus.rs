//! A real Prometheus with the rules that ship, asking a real cluster that has something to do: every query of the dashboards
//! and every series of the alerts yields something, and alerts fire when what they are about is made to happen.

mod clients;
mod documents;
mod queries;
mod server;
mod sick;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use turnpike_lab::{Directory, Node, RedisCluster, RedisOptions, unique_prefix};

use self::clients::Talkers;
use self::queries::{Query, of_alerts, of_dashboards};
use self::server::Prometheus;
use self::sick::{Attacks, FullDisk, knock, leave_few_descriptors};
use crate::relays::viewers::{Client, Entry};
use crate::roaming::{Pair, Roamers, Roaming, seed};

/// Reaching it means that something is broken.
const BROKEN: Duration = Duration::from_mins(1);
const STREAM: &str = "live:watched";
const OF_NODES: [(&str, &str); 8] = [
    ("TURNPIKE_ADMIN_REQUIRE_TOKEN", "true"),
    ("TURNPIKE_TRUSTED_PROXIES", "127.0.0.1"),
    ("TURNPIKE_WRITE_DEADLINE", "500ms"),
    // So that short messages are compressed as well.
    ("COMPRESSION_THRESHOLD", "64"),
    // More than everybody here needs who is honest.
    ("TURNPIKE_RATE_MESSAGES", "100/200"),
    ("TURNPIKE_MEDIA_SHARDS", "1"),
    ("TURNPIKE_AUDIT_RESERVE_BYTES", "64KiB"),
    // Everybody comes from a few addresses of this machine, and is to be refused for other reasons.
    ("TURNPIKE_ADDRESS_CONNECTIONS_MAX", "100000"),
];
/// What a busy machine can make fire, or what a hurried window makes of a start.
const OF_A_BUSY_MACHINE: [&str; 11] = [
    "TurnpikeTargetDown",
    "TurnpikeRouterNodeDown",
    "TurnpikePublishSlow",
    "TurnpikeProbeSlow",
    "TurnpikeDeliveryLag",
    "TurnpikeHandshakesSlow",
    "TurnpikeMediaShardBusy",
    "TurnpikeMediaOverflows",
    "TurnpikeAuditSlow",
    "TurnpikeGaps",
    "TurnpikeClockOffset",
];

struct Sample {
    redis: RedisCluster,
    pair: Pair,
    /// Whom things are done to. It has little room.
    victim: Node,
    // Behind who writes there.
    disk: Option<FullDisk>,
    router: Node,
    prometheus: Prometheus,
    _folder: Directory,
}

impl Sample {
    fn start() -> Self {
        let redis = RedisCluster::start_with(RedisOptions::default()).unwrap();
        let (seeds, prefix) = (redis.seeds_text(), unique_prefix());
        let folder = Directory::new("sample").unwrap();
        let node = |name: &str, more: &[(&str, &str)]| {
            let own = [("REDIS_NODES", &*seeds), ("TURNPIKE_REDIS_PREFIX", &*prefix), ("SERVER_ID", name)];
            let environment: Vec<_> = own.into_iter().chain(OF_NODES).chain(more.iter().copied()).collect();
            Node::start(&environment).unwrap()
        };
        let pair = Pair { nodes: vec![node("n1", &[]), node("n2", &[])], prefix: prefix.clone() };
        let disk = FullDisk::mount(&folder.path().join("audit"));
        let audit = folder.path().join("audit");
        let little = [
            ("MAX_CONNECTIONS", "16"),
            ("TURNPIKE_MEDIA", "false"),
            ("AUDIT_DIR", audit.to_str().unwrap()),
            ("TURNPIKE_AUDIT_FILE_BYTES_MAX", "1MiB"),
        ];
        let victim = node("n3", &little);
        let router = Node::start_router(&[
            ("REDIS_NODES", &*seeds),
            ("TURNPIKE_REDIS_PREFIX", &*prefix),
            ("TURNPIKE_ROUTER_HANDSHAKES_PER_ADDRESS", "100000"),
        ])
        .unwrap();
        let token = pair.nodes[0].token(&["--user", "prometheus", "--role", "service"]).unwrap();
        let gateways = pair.nodes.iter().chain([&victim]).map(|node| node.admin).collect();
        let prometheus = Prometheus::start(
            &[("gateways", gateways), ("relays", Vec::new()), ("routers", vec![router.admin])],
            &token,
        );
        Self { redis, pair, victim, disk, router, prometheus, _folder: folder }
    }

    fn node(&self, index: usize) -> SocketAddr {
        self.pair.nodes[index].gateway
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alone_dashboards_and_alerts_speak_of_what_is_there() {
    let mut sample = Sample::start();
    let plan = Roaming {
        receivers: 6,
        seconds: 36_000,
        transports: "polling,websocket",
        offline_ms: 300,
        seed: seed(),
        record: None,
    };
    let roamers = Roamers::start(&sample.pair, &plan);
    let talkers = Talkers::start(&sample.pair, sample.router.gateway).await;
    let token = |user: &str, right: &str| {
        sample.pair.nodes[0].token(&["--user", user, "--stream", &format!("live:*={right}")]).unwrap()
    };
    let studio = Client::new(&token("studio", "publish"), 0);
    let publisher = studio.publish(sample.node(0), STREAM).await;
    let audience = Client::new(&token("audience", "subscribe"), 1);
    let here = audience.clone().watch(Entry::to(vec![sample.node(0)]), STREAM).await;
    let there = audience.watch(Entry::to(vec![sample.node(1)]), STREAM).await;

    every_query_yields(&sample.prometheus);
    nothing_fires_without_a_cause(&sample.prometheus);

    let lossy = studio.publish_but(sample.node(0), "live:lossy", |frame| frame % 5 == 0).await;
    attacked(&sample).await;
    drop((roamers, lossy));
    starved(&sample);
    restarted_and_gone(&mut sample);
    a_relay_dies(&mut sample);
    without_redis(&sample, &talkers);
    nobody_left(&mut sample);
    drop((here, there, publisher, talkers));
}

fn every_query_yields(prometheus: &Prometheus) {
    for vain in [
        "rate(turnpike_nothing_total[15s])",
        "up / 0 * 0",
        "rate(turnpike_media_viewers{job=\"x\"}[15s]) or vector(1)",
    ] {
        let vain = Query { place: String::new(), expression: vain.to_owned() };
        assert!(vain.fault(prometheus).is_some(), "{} is taken for good", vain.expression);
    }
    let mut waiting: Vec<_> = of_dashboards().into_iter().chain(of_alerts(prometheus)).collect();
    let count = waiting.len();
    let begun = Instant::now();
    loop {
        let faults: Vec<Option<String>> = waiting.iter().map(|query| query.fault(prometheus)).collect();
        let mut faulty = faults.iter().map(Option::is_some);
        waiting.retain(|_| faulty.next().unwrap_or_default());
        if waiting.is_empty() {
            println!("{count} queries yield after {:?}", begun.elapsed());
            return;
        }
        let faults: Vec<String> = faults.into_iter().flatten().collect();
        assert!(begun.elapsed() < BROKEN, "{} of {count}:\n{}", faults.len(), faults.join("\n"));
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn nothing_fires_without_a_cause(prometheus: &Prometheus) {
    let mut firing = prometheus.firing();
    firing.retain(|(alert, _)| !OF_A_BUSY_MACHINE.contains(&&**alert));
    assert_eq!(firing, [], "of a system that is well");
}

/// From outside: bad tokens, floods, readers who do not read, packets that do not arrive.
async fn attacked(sample: &Sample) {
    let at = sample.pair.nodes[1].admin;
    let attacks = Attacks::begin(&sample.pair, sample.victim.gateway).await;
    let causes = [
        ("TurnpikeTokensRefused", Some(at)),
        ("TurnpikeLimitsReached", Some(at)),
        ("TurnpikeAdminRefused", Some(at)),
        ("TurnpikeSlowReaders", Some(at)),
        ("TurnpikeNodeFull", Some(sample.victim.admin)),
        ("TurnpikeMediaLossIn", Some(sample.pair.nodes[0].admin)),
    ];
    sample.prometheus.until_firing(&causes, BROKEN, || {});
    attacks.end();
}

/// Of file descriptors, and of room on the disk of the audit log.
fn starved(sample: &Sample) {
    let at = Some(sample.victim.admin);
    leave_few_descriptors(sample.victim.id());
    let mut causes = vec![("TurnpikeFileDescriptors", at)];
    if let Some(disk) = &sample.disk {
        disk.fill();
        causes.push(("TurnpikeAuditUnwell", at));
    }
    let victim = sample.victim.gateway;
    sample.prometheus.until_firing(&causes, BROKEN, || knock(victim));
    if let Some(disk) = &sample.disk {
        disk.clear();
    }
}

fn restarted_and_gone(sample: &mut Sample) {
    for _ in 0..3 {
        sample.victim.restart().unwrap();
        // Each must have been seen.
        std::thread::sleep(Duration::from_millis(2_500));
    }
    let at = Some(sample.victim.admin);
    sample.prometheus.until_firing(&[("TurnpikeRestarts", at)], BROKEN, || {});
    sample.victim.kill();
    sample.prometheus.until_firing(&[("TurnpikeTargetDown", at)], BROKEN, || {});
}

/// A master stands still, and its replica as well.
fn without_redis(sample: &Sample, talkers: &Talkers) {
    let master = sample.redis.masters().unwrap()[0];
    let mut frozen = sample.redis.replicas_of(master).unwrap();
    frozen.push(master);
    for node in &frozen {
        sample.redis.freeze(*node).unwrap();
    }
    // What share of events fails also depends on what else clients do meanwhile; that alert has its rule test.
    let causes = [("TurnpikeRedisBreakerOpen", None), ("TurnpikePublishFailing", None)];
    sample.prometheus.until_firing(&causes, BROKEN, || talkers.say_around());
    for node in &frozen {
        sample.redis.thaw(*node).unwrap();
    }
    sample.redis.wait_healthy(BROKEN).unwrap();
}

fn a_relay_dies(sample: &mut Sample) {
    sample.pair.nodes[1].kill();
    let at = Some(sample.pair.nodes[0].admin);
    sample.prometheus.until_firing(&[("TurnpikeMediaLinkLost", at)], BROKEN, || {});
}

fn nobody_left(sample: &mut Sample) {
    sample.pair.nodes[0].kill();
    let (at, router) = (Some(sample.router.admin), sample.router.gateway);
    let causes = [("TurnpikeRouterNoNodes", at), ("TurnpikeRouterErrors", at)];
    sample.prometheus.until_firing(&causes, BROKEN, || {
        let _ = server::get(router, "/socket.io/?EIO=4&transport=polling");
    });
}
