//! The driver against the floor: it passes what is right and notices what is wrong. And ours on a Redis Cluster, with
//! tiny numbers: nothing may be lost or doubled between two nodes, nor when one of them ends.

use std::process::{Command, Output};

fn quick(scenario: &str, fault: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_turnpike-benches"))
        .args([scenario, "--quick", "--servers", "floor", "--no-build"])
        .env("BENCH_FLOOR_FAULT", fault)
        .output()
        .expect("the driver is built for this test")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_server_that_does_it_right_passes() {
    for scenario in [
        "fanout-paced",
        "fanout-saturated",
        "echo",
        "session",
        "deflate-broadcast",
        "relay-forward",
        "relay-join",
        "relay-delay",
        "by-connections",
        "by-room-size",
        "by-rate",
        "by-viewers",
    ] {
        let output = quick(scenario, "");
        assert!(output.status.success(), "{scenario}: {}", stdout(&output));
        assert!(
            ["cpu_", "delay_"].iter().any(|figure| stdout(&output).contains(figure)),
            "{scenario} printed no figure: {}",
            stdout(&output)
        );
    }
}

/// A plan starts nothing, so it is there at once.
#[test]
fn a_plan_names_what_is_left() {
    let output = Command::new(env!("CARGO_BIN_EXE_turnpike-benches"))
        .args(["all", "--plan", "--no-build", "--servers", "turnpike,floor", "--rounds", "7"])
        .output()
        .expect("the driver is built for this test");
    let told = stdout(&output);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    // Two servers, seven rounds each, of which nobody has had any.
    let line = told.lines().find(|line| line.starts_with("by-rate ")).unwrap_or_default();
    assert!(line.contains(" 14 turns"), "{told}");
    assert!(told.contains("minutes in all"), "{told}");
}

/// What a tiny run says that goes well.
fn well(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_turnpike-benches"))
        .args(arguments)
        .args(["--quick", "--no-build"])
        .output()
        .expect("the driver is built for this test");
    let told = stdout(&output);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    told
}

#[test]
fn lost_doubled_and_foreign_deliveries_fail_the_run() {
    for (fault, told) in [
        ("lose", "deliveries"),
        ("double", "messages sent to its room"),
        ("swap", "the right number of messages, but not the right ones"),
    ] {
        let output = quick("fanout-paced", fault);
        assert!(!output.status.success(), "{fault} went unnoticed: {}", stdout(&output));
        assert!(stdout(&output).contains(told), "{fault}: {}", stdout(&output));
    }
}

#[test]
fn lost_and_forged_packets_fail_the_run() {
    for (fault, told) in [("lose", "packets were delivered"), ("forge", "something that was not genuine")] {
        let output = quick("relay-forward", fault);
        assert!(!output.status.success(), "{fault} went unnoticed: {}", stdout(&output));
        assert!(stdout(&output).contains(told), "{fault}: {}", stdout(&output));
    }
}

#[test]
fn an_unknown_scenario_is_refused_with_the_known_ones() {
    let output = Command::new(env!("CARGO_BIN_EXE_turnpike-benches")).arg("fanout").output().unwrap();
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("fanout-paced") && told.contains("idle-memory"), "{told}");
}

/// Needs `redis-server`, and the server beside this test's driver, as `cargo xtask test` builds it. A failover alone takes
/// ten seconds and is left to the real runs.
#[test]
fn two_nodes_on_a_redis_cluster_lose_and_double_nothing() {
    for scenario in ["cross-node", "node-killed"] {
        let output = Command::new(env!("CARGO_BIN_EXE_turnpike-benches"))
            .args([scenario, "--quick", "--no-build"])
            .output()
            .expect("the driver is built for this test");
        let told = stdout(&output);
        assert!(output.status.success(), "{scenario}: {told}{}", String::from_utf8_lossy(&output.stderr));
        assert!(told.contains("redis_commands_per_"), "{scenario} printed no figure: {told}");
    }
}

/// Six hundred clients come back at once through a router. Needs the server and Redis as well.
#[test]
fn a_storm_is_let_in_and_no_node_is_asked_for_more_than_it_takes() {
    let told = well(&["reconnect-storm"]);
    assert!(told.contains("refused_by_nodes 0.0000"), "{told}");
}

/// The same load through ours and through nginx, which has to be there.
#[test]
fn proxies_pass_everything_on() {
    let told = well(&["proxy", "--servers", "turnpike,nginx"]);
    assert_eq!(told.matches("FAILED").count(), 0, "{told}");
}

/// What is acknowledged is in the log, and the log is whole.
#[test]
fn an_audit_log_bears_those_who_wait_for_it() {
    let told = well(&["audit", "--servers", "turnpike,floor"]);
    assert_eq!(told.matches("records_per_second").count(), 2, "{told}");
    assert!(told.contains("verified_per_second"), "{told}");
}

/// Needs the server beside this test's driver, too.
#[test]
fn who_comes_and_who_loses_packets_gets_a_picture() {
    for (scenario, figures) in [
        ("relay-burst", ["first_frame_millis_p95", "keyframe_requests_in_a_second 1.0000"]),
        ("relay-loss", ["frozen_percent", "restored_per_loss"]),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_turnpike-benches"))
            .args([scenario, "--quick", "--no-build"])
            .output()
            .expect("the driver is built for this test");
        let told = stdout(&output);
        assert!(output.status.success(), "{scenario}: {told}{}", String::from_utf8_lossy(&output.stderr));
        assert!(figures.iter().all(|figure| told.contains(figure)), "{scenario}: {told}");
    }
}
