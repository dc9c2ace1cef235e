//! Starts what does not run yet.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::detached::{self, is_free, last_words, runs};
use super::state::{MASTERS, REDIS_COUNT, Started, State};
use super::{Place, Wish};
use crate::node::{listening, turnpike};
use crate::redis::start::{START_MAX, form};
use crate::redis::{Connection, health};
use crate::until::until;

const PORT_BASE: u16 = 7400;
/// Room for the gateways below the next habit of numbering, and for Redis' second ports above.
const PORT_BASE_MAX: u16 = 50_000;
const GATEWAYS: usize = 2;
const GATEWAYS_MAX: usize = 32;

/// What to tell whoever asked for it.
pub fn up(place: &Place, wish: &Wish) -> anyhow::Result<String> {
    let found = State::load(place)?;
    let port_base = match (&found, wish.port_base) {
        (Some(state), Some(wished)) if wished != state.port_base => bail!(
            "a cluster is up at port {}, and there is one at a time: `cargo xtask cluster down` ends it",
            state.port_base
        ),
        (Some(state), _) => state.port_base,
        (None, wished) => wished.unwrap_or(PORT_BASE),
    };
    if !(1024..=PORT_BASE_MAX).contains(&port_base) {
        bail!("--port-base wants a number from 1024 to {PORT_BASE_MAX}");
    }
    let running = found.as_ref().map_or(0, |state| state.gateways.len());
    let gateways = wish.gateways.unwrap_or(if running > 0 { running } else { GATEWAYS });
    if gateways > GATEWAYS_MAX {
        bail!("--gateways wants at most {GATEWAYS_MAX}");
    }
    if gateways < running {
        bail!("{running} gateways are up: `cargo xtask cluster down` first, for fewer");
    }
    let mut state = if let Some(state) = found {
        state
    } else {
        // The logs of the one before were kept until now.
        let _ = fs::remove_dir_all(&place.state);
        fs::create_dir_all(&place.state)
            .with_context(|| format!("{} cannot be made", place.state.display()))?;
        State::new(port_base)
    };
    redis(place, &mut state)?;
    for index in 0..gateways {
        gateway(place, &mut state, index)?;
    }
    Ok(told(place, &state))
}

fn redis(place: &Place, state: &mut State) -> anyhow::Result<()> {
    let is_new = state.redis.len() < usize::from(REDIS_COUNT);
    for index in 0..REDIS_COUNT {
        let started = state.redis.get(usize::from(index)).cloned();
        if started.as_ref().is_some_and(|started| runs(place, started)) {
            continue;
        }
        let (port, bus_port) = State::redis_ports(state.port_base, index);
        require_free(&[port, bus_port])?;
        let name = format!("redis-{}", index + 1);
        let mut command = Command::new("redis-server");
        command.arg(place.root.join("deploy/redis/redis.conf")).args([
            "--port",
            &port.to_string(),
            "--cluster-port",
            &bus_port.to_string(),
            "--bind",
            "127.0.0.1",
            // Nobody else is on this machine.
            "--aclfile",
            "",
            "--dir",
            ".",
            "--logfile",
            "log",
            // Of the sample's seconds nobody wants to wait for at a desk.
            "--cluster-node-timeout",
            "1000",
        ]);
        let id = detached::spawn(place, &name, &mut command)?;
        let process = Started { name: name.clone(), id, port, second_port: bus_port };
        match state.redis.get_mut(usize::from(index)) {
            Some(known) => *known = process.clone(),
            None => state.redis.push(process.clone()),
        }
        state.save(place)?;
        let answers = || {
            if !runs(place, &process) {
                return Ok(false);
            }
            Connection::open(("127.0.0.1", port))?.command(&["PING"])?.sound()?;
            Ok(true)
        };
        if !until(START_MAX, answers)? {
            bail!("{name} has ended:\n{}", last_words(place, &name));
        }
    }
    let ports: Vec<u16> = state.redis.iter().map(|node| node.port).collect();
    if is_new || !formed(&ports) {
        let pairs: Vec<(u16, u16)> = state.redis.iter().map(|node| (node.port, node.second_port)).collect();
        let nodes = ports.iter().map(|port| Connection::open(("127.0.0.1", *port)));
        form(&pairs, nodes.collect::<anyhow::Result<_>>()?, MASTERS)
            .context("the Redis processes do not become a cluster (`cargo xtask cluster down`, then `up`)")?;
    }
    until(START_MAX, || health::healthy(&ports, 1, None)).context("the Redis Cluster does not get healthy")
}

/// Whether anybody knows anybody else: an earlier `up` may have been interrupted before it came so far.
fn formed(ports: &[u16]) -> bool {
    ports.iter().any(|port| {
        let info =
            Connection::open(("127.0.0.1", *port)).and_then(|mut node| node.command(&["CLUSTER", "INFO"]));
        info.is_ok_and(|info| !info.text().contains("cluster_known_nodes:1\r"))
    })
}

fn gateway(place: &Place, state: &mut State, index: usize) -> anyhow::Result<()> {
    let started = state.gateways.get(index).cloned();
    if started.as_ref().is_some_and(|started| runs(place, started)) {
        return Ok(());
    }
    let (port, admin_port) = State::gateway_ports(state.port_base, u16::try_from(index)?);
    require_free(&[port, admin_port])?;
    let name = format!("gateway-{}", index + 1);
    let mut command = Command::new(turnpike()?);
    command
        .arg("--config")
        .arg(place.root.join("deploy/turnpike.toml"))
        .envs([
            ("TURNPIKE_ENV", "development"),
            ("HOST", "127.0.0.1"),
            ("ADMIN_HOST", "127.0.0.1"),
            ("SERVER_ID", &name),
            ("PORT", &port.to_string()),
            ("ADMIN_PORT", &admin_port.to_string()),
            ("REDIS_NODES", &state.redis_nodes()),
            ("TURNPIKE_DRAIN_WINDOW", "1s"),
            ("CORS_ORIGIN", "*"),
        ])
        // One folder for all: the secret that is made there on first use is then the same.
        .env("DATA_DIR", data(place));
    let id = detached::spawn(place, &name, &mut command)?;
    let process = Started { name: name.clone(), id, port, second_port: admin_port };
    match state.gateways.get_mut(index) {
        Some(known) => *known = process.clone(),
        None => state.gateways.push(process.clone()),
    }
    state.save(place)?;
    let listens = || {
        let said = fs::read_to_string(detached::stdout(place, &name)).unwrap_or_default();
        if said.lines().any(|line| listening(line).is_some()) || !runs(place, &process) {
            return Ok(());
        }
        bail!("{name} does not say that it listens:\n{}", last_words(place, &name))
    };
    until(Duration::from_secs(30), listens)?;
    if !runs(place, &process) {
        bail!("{name} has ended:\n{}", last_words(place, &name));
    }
    Ok(())
}

fn data(place: &Place) -> std::path::PathBuf {
    place.state.join("data")
}

fn require_free(ports: &[u16]) -> anyhow::Result<()> {
    match ports.iter().find(|port| !is_free(**port)) {
        None => Ok(()),
        Some(port) => bail!(
            "port {port} is taken: end what is there (`ss -ltnp` names it), or choose others with --port-base"
        ),
    }
}

fn told(place: &Place, state: &State) -> String {
    let mut out = format!("  Redis     {}\n", state.redis_nodes());
    for gateway in &state.gateways {
        let Started { name, port, second_port, .. } = gateway;
        let _ = writeln!(out, "  {name:9} http://127.0.0.1:{port}   admin http://127.0.0.1:{second_port}");
    }
    let binary = turnpike().map_or_else(|_| "turnpike".into(), |path| path.display().to_string());
    let _ = write!(
        out,
        "  Token     {binary} token --user alice --data-dir {}\n  Logs      {}/*/log\n  End it    cargo xtask cluster down",
        data(place).display(),
        place.state.display(),
    );
    out
}
