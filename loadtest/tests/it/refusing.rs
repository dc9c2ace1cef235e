//! What the program does not do, and says.

use std::time::{Duration, Instant};

use turnpike_lab::Node;

use crate::program::{run, run_named};

const CHAT: &str = "users = 3\nrun_time_s = 1\nsettle_s = 1\n";

#[test]
fn other_machines_are_not_loaded() {
    let run = run_named("http://192.0.2.7:3010", "idle", &[]);
    assert_eq!(run.code, 64, "{}", run.text);
    assert!(run.text.contains("--allow-remote"), "{}", run.text);
}

#[test]
fn what_is_wrong_is_said_at_once() {
    let fault = run("http://127.0.0.1:9", "users = 0\nrun_time_s = 0\n", &[]);
    assert_eq!(fault.code, 64);
    assert!(fault.text.contains("nobody takes part") && fault.text.contains("run_time_s"), "{}", fault.text);
    let many = run("http://127.0.0.1:9", "users = 200000\nrun_time_s = 1\n", &[]);
    assert!(many.code == 64 && many.text.contains("ulimit -n"), "{}", many.text);
}

#[test]
fn a_server_that_is_not_there_is_not_loaded() {
    // Bound and not listened to by anybody: what connects is refused.
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = format!("http://{}", socket.local_addr().unwrap());
    drop(socket);
    for profile in [CHAT, "users = 0\nrun_time_s = 1\n[api]\nusers = 1\nevery_ms = 100\n"] {
        let begun = Instant::now();
        let run = run(&host, profile, &[]);
        assert_eq!(run.code, 1, "{}", run.text);
        assert!(run.text.contains("connection refused; nobody listens there"), "{}", run.text);
        assert!(begun.elapsed() < Duration::from_secs(20), "it did not try again and again");
    }
}

#[test]
fn whatever_is_wrong_is_said_with_what_to_do() {
    let node = Node::start(&[]).unwrap();
    let (url, admin) = (node.url(), format!("http://{}", node.admin));
    let secured = url.replace("http:", "https:");
    let table: [(&str, &[&str], i32, &str); 9] = [
        (&url, &["--jwt-secret", "not the one that the server has"], 1, "--jwt-secret must be"),
        (
            &url,
            &["--jwt-secret", "neither is this one", "--transport", "websocket"],
            1,
            "--jwt-secret must be",
        ),
        (&admin, &[], 1, "is this the port of the gateway"),
        (&secured, &[], 1, "a server without TLS is http://"),
        (&url, &["--pid", "4194304"], 1, "there is no process"),
        (&url, &["--metrics", "http://127.0.0.1:9"], 1, "--metrics: http://127.0.0.1:9/metrics: no answer"),
        (&url, &["--metrics", &url], 1, "where the node tells its metrics"),
        (
            &url,
            &["--goose-report-file", "/nowhere/at/all.html"],
            64,
            "/nowhere/at/all.html cannot be written",
        ),
        ("http://127.0.0.1:9/socket.io/", &[], 64, "leave it out"),
    ];
    for (host, arguments, code, part) in table {
        let run = run(host, CHAT, arguments);
        assert_eq!(run.code, code, "{arguments:?}: {}", run.text);
        assert!(run.text.contains(part), "{part} in {}", run.text);
    }
}
