//! From nothing to a cluster that serves, as fast as Redis lets one.
//!
//! The floor is two seconds: so long a master that starts waits before it says that the cluster is well. Everything
//! else happens meanwhile.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::connection::Connection;
use super::server::Server;
use super::slot::SLOTS;
use super::{RedisCluster, RedisNode, RedisOptions};
use crate::directory::Directory;
use crate::guardian::Guardian;
use crate::network::{End, Network, Relay};
use crate::ports;
use crate::until::until;

/// Redis forgets a handshake that takes longer than the node timeout.
const MEET_AGAIN: Duration = Duration::from_secs(2);
/// A machine with much else to do; beyond it something is broken.
pub(crate) const START_MAX: Duration = Duration::from_mins(1);
/// Between looking for free ports and using them others may take one.
const ATTEMPTS: usize = 5;

/// Where a node is reached: by clients, and by the other nodes.
pub(crate) type Ports = (u16, u16);

pub(crate) fn start(options: RedisOptions) -> anyhow::Result<RedisCluster> {
    let directory = Directory::new("redis")?;
    let guardian = Guardian::over(directory.path())?;
    let mut attempt = 1;
    let (servers, connections) = loop {
        match servers(&directory, &options) {
            Ok(started) => break started,
            Err(_) if attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(error),
        }
    };
    let network = options.cuttable.then(Network::default);
    let relays = match &network {
        Some(network) => relays(&servers, network)?,
        None => Vec::new(),
    };
    let ports: Vec<Ports> = servers.iter().map(|server| (server.port, server.bus_port)).collect();
    form(&ports, connections, options.masters)?;
    let servers = servers.into_iter().map(Mutex::new).collect();
    let cluster = RedisCluster {
        options,
        servers,
        network,
        _relays: relays,
        _guardian: guardian,
        _directory: directory,
    };
    cluster.wait_healthy(START_MAX)?;
    Ok(cluster)
}

/// All processes, each answering.
fn servers(directory: &Directory, options: &RedisOptions) -> anyhow::Result<(Vec<Server>, Vec<Connection>)> {
    let count = options.masters * (1 + options.replicas_per_master);
    let ports_each = if options.cuttable { 4 } else { 2 };
    let ports = ports::free(count * ports_each)?;
    let mut servers = Vec::with_capacity(count);
    for (index, ports) in ports.chunks(ports_each).enumerate() {
        let home = directory.path().canonicalize()?.join(index.to_string());
        // What an attempt before this one has left.
        let _ = std::fs::remove_dir_all(&home);
        let mut server = Server::prepare(home, ports, options)?;
        server.start()?;
        servers.push(server);
    }
    let connections = servers.iter_mut().map(|server| first_answer(server, options));
    let connections = connections.collect::<anyhow::Result<_>>()?;
    Ok((servers, connections))
}

fn relays(servers: &[Server], network: &Network) -> anyhow::Result<Vec<Relay>> {
    let mut relays = Vec::with_capacity(servers.len() * 2);
    for (index, server) in servers.iter().enumerate() {
        let node = RedisNode(index);
        network.introduce(server.process_id().context("it was just started")?, node);
        for (port, target) in [(server.port, server.own_port), (server.bus_port, server.own_bus_port)] {
            relays.push(Relay::start(port, target, End::Redis(node), network.clone())?);
        }
    }
    Ok(relays)
}

fn first_answer(server: &mut Server, options: &RedisOptions) -> anyhow::Result<Connection> {
    let first = until(START_MAX, || {
        if !server.is_running() {
            return Ok(None);
        }
        let mut connection = Connection::signed_in(server.own_port, options.password.as_deref())?;
        connection.command(&["PING"])?.sound()?;
        Ok(Some(connection))
    });
    first.ok().flatten().with_context(|| server.last_words())
}

/// Each with each: gossip alone would take seconds to bring the news around.
fn meet(nodes: &mut [Connection], ports: &[Ports]) -> anyhow::Result<()> {
    for (index, node) in nodes.iter_mut().enumerate() {
        for (port, bus_port) in &ports[index + 1..] {
            let (port, bus_port) = (port.to_string(), bus_port.to_string());
            node.command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus_port])?.sound()?;
        }
    }
    Ok(())
}

/// Whether each knows each, and is through with the handshake.
fn all_known(nodes: &mut [Connection]) -> anyhow::Result<bool> {
    let count = nodes.len();
    for node in nodes {
        let told = node.command(&["CLUSTER", "NODES"])?.sound()?.text();
        if told.lines().filter(|line| !line.contains("handshake")).count() < count {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Until all have met.
fn acquaint(nodes: &mut [Connection], ports: &[Ports]) -> anyhow::Result<()> {
    meet(nodes, ports)?;
    let mut met = Instant::now();
    until(START_MAX, || {
        // On a busy machine a handshake takes longer than Redis waits for it, and is forgotten.
        if met.elapsed() > MEET_AGAIN {
            meet(nodes, ports)?;
            met = Instant::now();
        }
        ensure!(all_known(nodes)?, "nodes do not find one another");
        Ok(())
    })
}

/// Slots to the masters, everybody to everybody, replicas to their masters.
/// The first so many are the masters.
pub(crate) fn form(ports: &[Ports], mut nodes: Vec<Connection>, masters: usize) -> anyhow::Result<()> {
    for (index, node) in nodes.iter_mut().enumerate() {
        // Else all begin with epoch 0, and have to settle a collision later, one a second.
        node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()])?.sound()?;
        if index < masters {
            let bound = |part: usize| (part * usize::from(SLOTS) / masters).to_string();
            let (first, behind) = (bound(index), index + 1);
            let last = (behind * usize::from(SLOTS) / masters - 1).to_string();
            node.command(&["CLUSTER", "ADDSLOTSRANGE", &first, &last])?.sound()?;
        }
    }
    acquaint(&mut nodes, ports)?;
    let ids = nodes
        .iter_mut()
        .map(|node| Ok(node.command(&["CLUSTER", "MYID"])?.sound()?.text()))
        .collect::<anyhow::Result<Vec<String>>>()?;
    for index in masters..nodes.len() {
        let replicate = ["CLUSTER", "REPLICATE", &*ids[index % masters]];
        nodes[index].command(&replicate)?.sound().context("a replica does not find its master")?;
    }
    Ok(())
}
