use std::net::TcpListener;

use serde_json::json;

use crate::process::{Directory, System, eventually, get, get_json, run};

#[test]
fn it_starts_from_nothing_and_says_where_it_is() {
    let directory = Directory::new();
    let system = System::start(&directory);
    let shown = system
        .block
        .replace(&system.gateway, "GATEWAY")
        .replace(&system.admin, "ADMIN")
        .replace(env!("CARGO_BIN_EXE_turnpike"), "turnpike")
        .replace(env!("CARGO_PKG_VERSION"), "VERSION");
    let token = shown.lines().find(|line| line.starts_with("ey")).unwrap();
    let shown = shown.replace(token, "TOKEN");
    let (_, operator) = shown.split_once("/dashboard#token=").unwrap();
    let shown = shown.replace(operator.lines().next().unwrap(), "OPERATOR");
    let limits = shown.lines().find(|line| line.starts_with("  Limits")).unwrap();
    insta::assert_snapshot!(shown.replace(limits, "  Limits"));
    let limits: Vec<u64> = limits.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert!(limits.len() == 2 && limits[0] > limits[1], "{limits:?}");
}

#[test]
fn every_endpoint_answers() {
    let directory = Directory::new();
    let system = System::start(&directory);
    eventually("ready", || get(&system.admin, "/ready").0 == 200);
    assert_eq!(get_json(&system.admin, "/live"), (200, json!({ "status": "ok" })));
    let (status, health) = get_json(&system.admin, "/health");
    assert_eq!((status, &health["status"], &health["ready"]), (200, &json!("ok"), &json!(true)));
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    let tasks: Vec<_> =
        health["tasks"].as_array().unwrap().iter().map(|task| task["state"].as_str().unwrap()).collect();
    assert!(!tasks.is_empty() && tasks.iter().all(|state| *state == "running"), "{health}");

    let (status, metrics) = get(&system.admin, "/metrics");
    assert_eq!(status, 200);
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "turnpike_build_info",
    ] {
        assert!(metrics.contains(&format!("# HELP {name} ")), "{name}");
    }
    assert_eq!(get(&system.admin, "/nothing").0, 404);

    // Everybody may know whether; why is for operators.
    for path in ["/live", "/ready", "/health"] {
        assert_eq!(get_json(&system.gateway, path), (200, json!({ "status": "ok" })), "{path}");
    }
    assert_eq!(get(&system.gateway, "/metrics").0, 404);
}

#[test]
fn a_port_in_use_is_a_failure_to_start_that_names_the_key() {
    for (host, key, other) in [("HOST", "PORT", "ADMIN_PORT"), ("ADMIN_HOST", "ADMIN_PORT", "PORT")] {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port().to_string();
        let output = run(&Directory::new(), &[], &[(key, &port), (other, "0")]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(
            stderr.contains(&format!("{port} (set {host} and {key}): Address already in use")),
            "{stderr}"
        );
        assert_eq!(output.stdout, b"", "nothing was announced");
    }
}

#[test]
fn addresses_that_mean_every_interface_are_announced_as_one_to_connect_to() {
    let directory = Directory::new();
    let system = System::start_with(&directory, &["--host", "0.0.0.0"], &[]);
    assert!(system.gateway.starts_with("127.0.0.1:"));
    assert_eq!(get(&system.gateway, "/live").0, 200);
}

#[test]
fn more_connections_than_file_descriptors_are_cut_to_what_fits() {
    let directory = Directory::new();
    let system = System::start_with(&directory, &["--max-connections", "10000000"], &[]);
    assert!(!system.block.contains("10000000 connections"), "{}", system.block);
    let log = system.stop().join("\n");
    assert!(log.contains("MAX_CONNECTIONS does not fit into the file descriptors"), "{log}");
}
