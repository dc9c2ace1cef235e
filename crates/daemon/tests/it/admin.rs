use std::time::{Duration, SystemTime};

use prometheus::Registry;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use turnpike_daemon::admin::Admin;
use turnpike_daemon::config::Setting as _;
use turnpike_daemon::health::Health;
use turnpike_daemon::log::{Format, Levels, Log};
use turnpike_daemon::metrics::Process;

use crate::http::get;

async fn start(health: &Health, registry: Registry) -> std::net::SocketAddr {
    let bound = Admin { host: [127, 0, 0, 1].into(), port: 0 }.bind().await.unwrap();
    let address = bound.address;
    tokio::spawn(bound.serve(health.clone(), registry));
    address
}

#[tokio::test]
async fn readiness_is_all_checks_and_says_which_fails() {
    let health = Health::new("1.2.3");
    let admin = start(&health, Registry::new()).await;
    assert_eq!(get(admin, "/ready").await.status, 200, "nothing to wait for");

    let (listener, bus) = (health.check("listener"), health.check("bus"));
    let answer = get(admin, "/ready").await;
    assert_eq!(answer.status, 503);
    let waiting = |name| json!({ "name": name, "ok": false, "reason": "has not started yet" });
    assert_eq!(
        answer.json(),
        json!({ "ready": false, "draining": null, "checks": [waiting("listener"), waiting("bus")] })
    );
    assert!(
        answer.head.contains("content-type: application/json")
            && answer.head.contains("cache-control: no-store")
    );

    listener.pass();
    bus.fail("no answer from the broker");
    let answer = get(admin, "/ready").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["checks"][0], json!({ "name": "listener", "ok": true }));
    assert_eq!(answer.json()["checks"][1]["reason"], "no answer from the broker");

    bus.pass();
    let answer = get(admin, "/ready").await;
    assert_eq!((answer.status, answer.json()["ready"].clone()), (200, json!(true)));

    let answer = get(admin, "/health").await;
    assert_eq!((answer.status, answer.json()["version"].clone()), (200, json!("1.2.3")));
    assert_eq!(get(admin, "/live").await.json(), json!({ "status": "ok" }));
}

#[tokio::test]
async fn who_is_not_ready_is_live_and_healthy() {
    let health = Health::new("0");
    let admin = start(&health, Registry::new()).await;
    let _check = health.check("never");
    assert_eq!(get(admin, "/ready").await.status, 503);
    assert_eq!(get(admin, "/live").await.status, 200);
    assert_eq!(get(admin, "/health").await.status, 200);
    assert_eq!(get(admin, "/health").await.json()["ready"], json!(false));
}

#[tokio::test]
async fn the_public_form_tells_the_outcome_alone() {
    let health = Health::new("secret-version");
    health.check("internal-name").fail("internal reason");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = health.public_routes();
    tokio::spawn(async move { axum::serve(listener, router).await });
    for (path, status, body) in
        [("/live", 200, "ok"), ("/ready", 503, "failing"), ("/health", 200, "ok"), ("/metrics", 404, "")]
    {
        let answer = get(address, path).await;
        assert_eq!(answer.status, status, "{path}");
        if status != 404 {
            assert_eq!(answer.json(), json!({ "status": body }), "{path}");
        }
    }
}

#[tokio::test]
async fn metrics_of_the_process() {
    let registry = Registry::new();
    let log = Log { level: Levels::parse("off").unwrap(), format: Format::Json }.install();
    Process::register(&registry, "1.2.3", "abc", SystemTime::now(), log.clone()).unwrap();
    assert!(Process::register(&registry, "1.2.3", "abc", SystemTime::now(), log).is_err(), "names are taken");
    let admin = start(&Health::new("1.2.3"), registry).await;

    let answer = get(admin, "/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
    let value = |text: &str, name: &str| -> f64 {
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert!((1e6..1e10).contains(&value(&answer.body, "process_resident_memory_bytes")));
    assert!((3.0..1e4).contains(&value(&answer.body, "process_open_fds")));
    assert!(value(&answer.body, "process_max_fds") >= value(&answer.body, "process_open_fds"));
    assert!((1.0..1e4).contains(&value(&answer.body, "process_threads")));
    assert!(value(&answer.body, "process_start_time_seconds") > 1.7e9);
    assert!(value(&answer.body, "turnpike_log_lines_dropped_total") < 1.0);
    assert!(value(&answer.body, r#"turnpike_build_info{commit="abc",version="1.2.3"}"#) > 0.0);

    // CPU time is what this thread now uses, and nothing else in the test could.
    let before = value(&answer.body, "process_cpu_seconds_total");
    let busy_until = std::time::Instant::now() + Duration::from_millis(300);
    while std::time::Instant::now() < busy_until {
        std::hint::spin_loop();
    }
    let used = value(&get(admin, "/metrics").await.body, "process_cpu_seconds_total") - before;
    assert!(used > 0.05, "{used}");
}

#[tokio::test]
async fn silent_connections_do_not_keep_others_out() {
    let health = Health::new("0");
    let admin = start(&health, Registry::new()).await;
    let mut silent = Vec::new();
    for _ in 0..63 {
        silent.push(TcpStream::connect(admin).await.unwrap());
    }
    assert_eq!(get(admin, "/live").await.status, 200);
    // They are shown out by the limit on waiting for headers.
    let mut nothing = [0; 1];
    let read = tokio::time::timeout(Duration::from_secs(20), silent[0].read(&mut nothing)).await;
    assert_eq!(read.expect("closed in time").unwrap_or(0), 0);
}
