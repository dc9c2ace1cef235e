use std::time::{Duration, SystemTime};

use prometheus::Registry;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use turnpike_daemon::admin;
use turnpike_daemon::config::{ByteSize, Setting as _};
use turnpike_daemon::health::Health;
use turnpike_daemon::log::{Format, Levels, Log};
use turnpike_daemon::metrics::Process;

use crate::http::get;

async fn start(health: &Health, registry: Registry) -> std::net::SocketAddr {
    serve(admin::open(health, registry)).await
}

async fn serve(router: axum::Router) -> std::net::SocketAddr {
    let bound = admin::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = bound.address;
    tokio::spawn(async move { bound.serve(router).await });
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
async fn what_is_to_be_read_can_be_kept_apart_from_what_probes_need() {
    let health = Health::new("secret-version");
    health.check("internal-name").fail("internal reason");
    let (open, kept) = admin::apart(&health, Registry::new());
    let (open, kept) = (serve(open).await, serve(kept).await);
    assert_eq!(get(open, "/live").await.status, 200);
    let ready = get(open, "/ready").await;
    assert_eq!((ready.status, ready.json()), (503, json!({ "status": "failing" })));
    for (path, status) in [("/health", 200), ("/metrics", 200), ("/ready", 404)] {
        assert_eq!(get(kept, path).await.status, status, "{path}");
        assert!(path == "/ready" || get(open, path).await.status == 404, "{path}");
    }
    assert_eq!(get(kept, "/health").await.json()["version"], json!("secret-version"));
}

#[tokio::test]
async fn a_listener_on_loopback_answers_to_no_name_that_could_be_a_pages() {
    let admin = start(&Health::new("0"), Registry::new()).await;
    let asked = async |host: &str| {
        let mut stream = TcpStream::connect(admin).await.unwrap();
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    for (host, status) in [
        (format!("localhost:{}", admin.port()), "200"),
        ("127.0.0.1".into(), "200"),
        (format!("evil.example:{}", admin.port()), "421"),
        ("127.0.0.1\r\nHost: evil.example".into(), "421"),
    ] {
        let answer = asked(&host).await;
        assert_eq!(answer.split(' ').nth(1), Some(status), "{host}");
        assert!(answer.contains("nosniff") && answer.contains("frame-ancestors 'none'"), "{answer}");
    }
}

#[tokio::test]
async fn metrics_of_the_process() {
    let registry = Registry::new();
    let config = Log {
        level: Levels::parse("off").unwrap(),
        format: Format::Json,
        file: None,
        file_bytes_max: ByteSize(1 << 20),
        file_age_max: Duration::from_hours(24),
        files_max: 8,
    };
    let (log, _) = config.install().unwrap();
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
    let begun = own_processor_time();
    while own_processor_time() < begun + Duration::from_millis(200) {
        std::hint::spin_loop();
    }
    let used = value(&get(admin, "/metrics").await.body, "process_cpu_seconds_total") - before;
    assert!(used > 0.05, "{used}");
}

/// Of this thread, however long others keep it from its turn.
fn own_processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
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
