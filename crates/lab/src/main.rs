//! What of the lab is of use outside of tests: for `cargo xtask`, and for whoever wants a cluster to try things on.

#![allow(clippy::print_stdout, reason = "a command for people and programs speaks on standard output")]

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use turnpike_lab::RedisCluster;
use turnpike_lab::local::{self, Place, Wish};

const USAGE: &str = "\
turnpike-lab <command>

  redis    a Redis Cluster of three masters and three replicas on free ports, until standard input ends.
           The first line on standard output is {\"redis\":\"host:port,host:port,...\"}
  up [--gateways N] [--port-base PORT] | down | status
           a Redis Cluster and gateways that go on when the command has ended.
           --root DIR: the repository [.]; --state DIR: where the cluster lives [ROOT/target/cluster]";

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<bool> {
    let command = arguments.next().unwrap_or_default();
    let mut wish = Wish { gateways: None, port_base: None };
    let (mut root, mut state) = (PathBuf::from("."), None);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} wants a value"));
        match (command.as_str(), argument.as_str()) {
            ("up", "--gateways") => wish.gateways = Some(number(&argument, &value()?)?),
            ("up", "--port-base") => wish.port_base = Some(number(&argument, &value()?)?),
            ("up" | "down" | "status", "--root") => root = value()?.into(),
            ("up" | "down" | "status", "--state") => state = Some(PathBuf::from(value()?)),
            _ => bail!("{argument} means nothing here\n\n{USAGE}"),
        }
    }
    let mut place = Place::of_repository(std::path::absolute(root)?);
    if let Some(state) = state {
        place.state = std::path::absolute(state)?;
    }
    let said = match command.as_str() {
        "redis" => return redis().map(|()| true),
        "up" => local::up(&place, &wish)?,
        "down" => local::down(&place)?,
        "status" => {
            let (said, well) = local::status(&place)?;
            println!("{said}");
            return Ok(well);
        }
        _ => bail!("{USAGE}"),
    };
    println!("{said}");
    Ok(true)
}

fn number<T: std::str::FromStr>(flag: &str, text: &str) -> anyhow::Result<T> {
    text.parse().ok().with_context(|| format!("{flag} wants a whole number"))
}

fn redis() -> anyhow::Result<()> {
    let cluster = RedisCluster::start()?;
    println!("{}", serde_json::json!({ "redis": cluster.seeds_text() }));
    // Whoever started this holds the other end, so it ends with them.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
