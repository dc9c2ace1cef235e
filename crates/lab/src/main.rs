//! What of the lab is of use outside of tests: for `cargo xtask`, and for whoever wants a cluster to try things on.

#![allow(clippy::print_stdout, reason = "a command for people and programs speaks on standard output")]

use std::io::Read as _;
use std::process::ExitCode;

use turnpike_lab::RedisCluster;

const USAGE: &str = "\
turnpike-lab <command>

  redis    a Redis Cluster of three masters and three replicas on free ports, until standard input ends.
           The first line on standard output is {\"redis\":\"host:port,host:port,...\"}";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["redis"] => redis(),
        _ => {
            println!("{USAGE}");
            return ExitCode::from(64);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("turnpike-lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn redis() -> anyhow::Result<()> {
    let cluster = RedisCluster::start()?;
    println!("{}", serde_json::json!({ "redis": cluster.seeds_text() }));
    // Whoever started this holds the other end, so it ends with them.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
