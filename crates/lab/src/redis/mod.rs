//! A Redis Cluster of this machine: three masters with a replica each, with faults on request.
//!
//! All methods take `&self`, so that a test can share the cluster between threads. A node is named by a [`RedisNode`], which
//! stays the same whatever role the process has at the moment.

mod connection;
pub(crate) mod health;
mod layout;
mod migration;
mod server;
mod slot;
pub(crate) mod start;
mod users;

use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, bail};

pub use connection::{Connection, Reply};
pub use layout::{Layout, Member};
pub use migration::Migration;
pub use slot::{SLOTS, slot_of};

use crate::directory::Directory;
use crate::guardian::Guardian;
use crate::network::{Network, Relay};
use crate::until::until;
use server::Server;

/// One of the processes, whatever its role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RedisNode(pub usize);

#[derive(Debug, Clone)]
pub struct RedisOptions {
    pub masters: usize,
    pub replicas_per_master: usize,
    /// How long a master may be silent before its replica takes over.
    pub node_timeout: Duration,
    pub append_only: bool,
    /// Of the user `default`.
    pub password: Option<String>,
    /// With a [`Network`] between the processes that can be cut. Every byte is then carried by this process as well.
    pub cuttable: bool,
    /// Lines for `redis.conf` of every node, behind all others.
    pub lines: Vec<String>,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            masters: 3,
            replicas_per_master: 1,
            node_timeout: Duration::from_secs(1),
            append_only: true,
            password: None,
            cuttable: false,
            lines: Vec::new(),
        }
    }
}

/// Gone with its value: processes and files.
#[derive(Debug)]
pub struct RedisCluster {
    options: RedisOptions,
    servers: Vec<Mutex<Server>>,
    network: Option<Network>,
    _relays: Vec<Relay>,
    // After the servers: it would kill them, which is nothing they should have to expect.
    _guardian: Guardian,
    _directory: Directory,
}

impl RedisCluster {
    /// Whole, writable, and every replica level with its master when it returns.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(RedisOptions::default())
    }

    pub fn start_with(options: RedisOptions) -> anyhow::Result<Self> {
        start::start(options)
    }

    pub fn nodes(&self) -> impl Iterator<Item = RedisNode> + use<> {
        (0..self.servers.len()).map(RedisNode)
    }

    /// Where clients may begin: all nodes, running or not.
    pub fn seeds(&self) -> Vec<(String, u16)> {
        self.nodes().map(|node| self.address(node)).collect()
    }

    /// The same as `host:port,host:port`, as environment variables have it.
    pub fn seeds_text(&self) -> String {
        let seeds: Vec<String> =
            self.seeds().into_iter().map(|(host, port)| format!("{host}:{port}")).collect();
        seeds.join(",")
    }

    pub fn address(&self, node: RedisNode) -> (String, u16) {
        ("127.0.0.1".into(), self.server(node).port)
    }

    pub fn node_at_port(&self, port: u16) -> Option<RedisNode> {
        self.nodes().find(|node| self.server(*node).port == port)
    }

    /// # Panics
    ///
    /// If the cluster was not started as [`RedisOptions::cuttable`].
    pub fn network(&self) -> &Network {
        self.network.as_ref().expect("the cluster was started as one that can be cut")
    }

    pub fn password(&self) -> Option<&str> {
        self.options.password.as_deref()
    }

    pub fn process_id(&self, node: RedisNode) -> Option<u32> {
        self.server(node).process_id()
    }

    /// Those that are masters now, by what the nodes say that answer.
    pub fn masters(&self) -> anyhow::Result<Vec<RedisNode>> {
        Ok(self.layout()?.members.iter().filter(|m| m.serves()).filter_map(|m| self.node_of(m)).collect())
    }

    /// Those that are replicas now, of whichever master.
    pub fn replicas(&self) -> anyhow::Result<Vec<RedisNode>> {
        Ok(self
            .layout()?
            .members
            .iter()
            .filter(|m| m.master_id.is_some())
            .filter_map(|m| self.node_of(m))
            .collect())
    }

    pub fn replicas_of(&self, master: RedisNode) -> anyhow::Result<Vec<RedisNode>> {
        let layout = self.layout()?;
        let port = self.server(master).port;
        let id = &layout.members.iter().find(|m| m.port == port).context("the node is unknown")?.id;
        let replicas = layout.members.iter().filter(|m| m.master_id.as_ref() == Some(id));
        Ok(replicas.filter_map(|m| self.node_of(m)).collect())
    }

    pub fn master_of_slot(&self, slot: u16) -> anyhow::Result<RedisNode> {
        let layout = self.layout()?;
        let owner = layout.members.iter().find(|m| m.serves() && m.owns(slot));
        owner.and_then(|m| self.node_of(m)).with_context(|| format!("nobody serves slot {slot}"))
    }

    /// Of the key, or of any key with that hash tag.
    pub fn master_of_key(&self, key: &str) -> anyhow::Result<RedisNode> {
        self.master_of_slot(slot_of(key.as_bytes()))
    }

    /// On a connection of its own. An error of Redis is a [`Reply::Error`]; `Err` is a node that does not answer.
    pub fn command(&self, node: RedisNode, command: &[&str]) -> anyhow::Result<Reply> {
        self.connect(node)?.command(command)
    }

    /// Signed in, if there is a password.
    pub fn connect(&self, node: RedisNode) -> anyhow::Result<Connection> {
        // Around the network, so that one can ask on both sides of a cut.
        Connection::signed_in(self.server(node).own_port, self.password())
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&self, node: RedisNode) {
        self.server(node).kill();
    }

    /// Stops it where it stands; to the others it looks like a network that takes packets and answers none.
    pub fn freeze(&self, node: RedisNode) -> anyhow::Result<()> {
        self.server(node).process()?.freeze()
    }

    pub fn thaw(&self, node: RedisNode) -> anyhow::Result<()> {
        self.server(node).process()?.thaw()
    }

    /// Again in the same place, with the files it had; ended first if it runs. It answers when this returns, but may
    /// still be catching up: [`Self::wait_healthy`].
    pub fn restart(&self, node: RedisNode) -> anyhow::Result<()> {
        let limit = Duration::from_secs(20);
        self.server(node).start()?;
        self.introduce(node);
        until(limit, || {
            if !self.server(node).is_running() {
                bail!("{}", self.server(node).last_words());
            }
            self.command(node, &["PING"])?.sound().map(drop)
        })
    }

    /// Moves a slot with its keys, as an operator would who adds a master.
    pub fn migrate_slot(&self, slot: u16, to: RedisNode) -> anyhow::Result<()> {
        let mut migration = self.begin_migration(slot, to)?;
        while migration.move_keys(100)? > 0 {}
        migration.finish()
    }

    /// The same by hand, for tests that look at what happens in between.
    pub fn begin_migration(&self, slot: u16, to: RedisNode) -> anyhow::Result<Migration<'_>> {
        Migration::begin(self, slot, to)
    }

    /// Every process runs, all agree who serves what, and every replica is level with its master.
    pub fn wait_healthy(&self, limit: Duration) -> anyhow::Result<()> {
        until(limit, || self.healthy()).context("the cluster does not get healthy")
    }

    /// Every slot is served by a master that answers and that all that answer agree upon. Replicas may be missing.
    pub fn wait_served(&self, limit: Duration) -> anyhow::Result<()> {
        until(limit, || self.served()).context("not every slot is served")
    }

    /// Who is what, by the answer of the first node that is part of a working cluster.
    pub fn layout(&self) -> anyhow::Result<Layout> {
        let mut fallback = None;
        for node in self.nodes().filter(|node| self.server(*node).answers()) {
            let Ok(layout) = self.layout_by(node) else { continue };
            if layout.works {
                return Ok(layout);
            }
            fallback.get_or_insert(layout);
        }
        fallback.context("no node answers")
    }

    /// Who is what, by this node's knowledge.
    pub fn layout_by(&self, node: RedisNode) -> anyhow::Result<Layout> {
        Layout::ask(&mut self.connect(node)?)
    }

    fn introduce(&self, node: RedisNode) {
        if let (Some(network), Some(process)) = (&self.network, self.process_id(node)) {
            network.introduce(process, node);
        }
    }

    fn node_of(&self, member: &Member) -> Option<RedisNode> {
        self.node_at_port(member.port)
    }

    fn server(&self, node: RedisNode) -> std::sync::MutexGuard<'_, Server> {
        // A test that panicked with the lock leaves nothing half done.
        self.servers[node.0].lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn served(&self) -> anyhow::Result<()> {
        let answering = self.nodes().filter(|node| self.server(*node).answers());
        let ports: Vec<u16> = answering.map(|node| self.server(node).port).collect();
        health::served(&ports, self.password())
    }

    fn healthy(&self) -> anyhow::Result<()> {
        if let Some(node) = self.nodes().find(|node| !self.server(*node).answers()) {
            bail!("{node:?} does not run");
        }
        let ports: Vec<u16> = self.nodes().map(|node| self.server(node).port).collect();
        health::healthy(&ports, self.options.replicas_per_master, self.password())
    }
}
