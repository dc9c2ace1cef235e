//! What the program does not do, and says.

use crate::program::{run, run_named};

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
fn a_server_that_is_not_there_is_an_objective_missed() {
    // Bound and not listened to by anybody: what connects is refused.
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = format!("http://{}", socket.local_addr().unwrap());
    drop(socket);
    let run = run(&host, "users = 3\nrun_time_s = 1\nsettle_s = 1\nobjectives = ['errors=0']\n", &[]);
    assert_eq!(run.code, 1, "{}", run.text);
    assert!(run.text.contains("connection refused"), "{}", run.text);
}
