//! Nothing outlives the process that started it, however that ended.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::ensure;
use turnpike_lab::{Process, RedisCluster, RedisOptions, until};

const WHO: &str = "TURNPIKE_LAB_TEST_DOOMED";

/// Run by the test below in a process of its own; as a test it does nothing.
#[test]
fn doomed() {
    if std::env::var_os(WHO).is_none() {
        return;
    }
    let one = RedisOptions { masters: 1, replicas_per_master: 0, ..RedisOptions::default() };
    let cluster = RedisCluster::start_with(one).unwrap();
    let node = cluster.nodes().next().unwrap();
    let home = cluster.command(node, &["CONFIG", "GET", "dir"]).unwrap().items()[1].text();
    println!("\nstarted {} {home}", cluster.process_id(node).unwrap());
    std::thread::sleep(Duration::from_hours(1));
}

#[test]
fn a_killed_test_leaves_nothing_behind() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "survivors::doomed", "--nocapture"]).env(WHO, "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut test = Process::spawn("the doomed test", &mut command).unwrap();
    let (id, home) = test
        .await_line(Duration::from_secs(30), |line| {
            let (id, home) = line.strip_prefix("started ")?.split_once(' ')?;
            Some((id.to_owned(), home.to_owned()))
        })
        .unwrap();
    // A process that has ended and that nobody has asked about yet still has an entry, without a folder.
    let works = || std::fs::read_link(format!("/proc/{id}/cwd")).is_ok();
    assert!(works() && Path::new(&home).exists());
    test.kill();
    let gone = until(Duration::from_secs(10), || {
        ensure!(!works() && !Path::new(&home).exists(), "process {id} and {home} are still there");
        Ok(())
    });
    gone.unwrap();
}
