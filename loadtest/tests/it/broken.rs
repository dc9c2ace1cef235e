//! A server that breaks one delivery in ten thousand is found, each time, by the right name.

use turnpike_lab::Node;

use crate::{
    breaker::{Breaker, Fault},
    program::run,
};

/// Twenty thousand deliveries in a few seconds, so that two of them are broken.
const PROFILE: &str = "users = 40\nrun_time_s = 5\nsettle_s = 5\n[rooms]\nmembers = 20\n[messages]\nevery_ms = 200\nbody_bytes = 64\n";

fn find(fault: Fault, transport: &str) {
    let node = Node::start(&[]).unwrap();
    let breaker = Breaker::before(node.gateway, fault);
    let host = format!("http://{}", breaker.address);
    let run = run(
        &host,
        PROFILE,
        &[
            "--transport",
            transport,
            "-o",
            "lost=0",
            "-o",
            "doubled=0",
            "-o",
            "disordered=0",
            "-o",
            "altered=0",
        ],
    );
    assert_eq!(run.account("sent"), 40 * 25, "{}", run.text);
    let broken = breaker.broken();
    assert!(broken >= 2, "{broken} of {} deliveries", run.account("delivered"));
    let found = ["lost", "doubled", "disordered", "altered"].map(|name| run.account(name));
    let expected = match fault {
        Fault::None => [0, 0, 0, 0],
        Fault::Lose => [broken, 0, 0, 0],
        Fault::Double => [0, broken, 0, 0],
        Fault::Swap => [0, 0, broken, 0],
        Fault::Alter => [0, 0, 0, broken],
    };
    assert_eq!(found, expected, "{fault:?}, broken {broken} times:\n{}", run.text);
    let is_clean = matches!(fault, Fault::None);
    assert_eq!(run.code == 1, !is_clean, "{fault:?}: exit code {}\n{}", run.code, run.text);
    if !matches!(fault, Fault::None | Fault::Alter) {
        assert!(!run.report["examples"].as_array().unwrap().is_empty(), "it is named: {}", run.text);
    }
}

#[test]
fn a_server_behind_a_proxy_that_does_nothing_is_sound() {
    find(Fault::None, "socketio");
}

#[test]
fn lost_deliveries_are_found() {
    find(Fault::Lose, "socketio");
}

#[test]
fn doubled_deliveries_are_found() {
    find(Fault::Double, "websocket");
}

#[test]
fn swapped_deliveries_are_found() {
    find(Fault::Swap, "socketio");
}

#[test]
fn altered_deliveries_are_found() {
    find(Fault::Alter, "websocket");
}
