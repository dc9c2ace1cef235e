//! Several servers on one Redis Cluster: three masters with their replicas and append-only files, fresh for each
//! measurement. What the cluster was asked to do is read from its masters; who asked is the scenarios' business.

use std::{collections::BTreeMap, process::Command};

use anyhow::Context as _;
use turnpike_lab::{RedisCluster, RedisNode, RedisOptions};

use crate::{
    measure::{pinning::Core, process},
    server::{Contender, Places, Server, Setting},
};

/// What the functions of the library call inside of Redis, which no client sends on the way of a message; and what
/// replicas and this program say. Never the name of a command by which a gateway publishes.
const INSIDE: [&str; 31] = [
    "del",
    "exists",
    "get",
    "hdel",
    "hexists",
    "hget",
    "hgetall",
    "hincrby",
    "hlen",
    "hmget",
    "hset",
    "hsetnx",
    "info",
    "pexpire",
    "psync",
    "replconf",
    "sadd",
    "set",
    "smembers",
    "spublish",
    "srem",
    "time",
    "unlink",
    "xadd",
    "xlen",
    "xrange",
    "xrevrange",
    "xtrim",
    "zadd",
    "zrangebylex",
    "zrem",
];

pub(crate) struct System {
    // Before the cluster: they end before it does.
    pub(crate) servers: Vec<Server>,
    pub(crate) redis: RedisCluster,
}

/// Commands that the masters have executed since they began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Commands {
    /// By the names that clients send.
    pub(crate) from_clients: f64,
    /// Of these names a gateway sends some itself where sessions are taken up, and functions send the others.
    pub(crate) spublish: f64,
    /// With those that functions call inside of Redis.
    pub(crate) all: f64,
}

impl System {
    /// Redis and all servers share a core, as the load has one to itself.
    pub(crate) fn start(
        contender: Contender,
        servers: usize,
        replicas_per_master: usize,
        places: &Places,
        core: Core,
    ) -> anyhow::Result<Self> {
        Self::start_with(contender, servers, replicas_per_master, places, core, &[])
    }

    /// With an environment of their own besides what all get.
    pub(crate) fn start_with(
        contender: Contender,
        servers: usize,
        replicas_per_master: usize,
        places: &Places,
        core: Core,
        own: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let redis =
            RedisCluster::start_with(RedisOptions { replicas_per_master, ..RedisOptions::default() })?;
        if let Some(core) = core.0 {
            for node in redis.nodes() {
                let pid = redis.process_id(node).context("it was just started")?.to_string();
                let mut taskset = Command::new("taskset");
                taskset.args(["-acp", &core.to_string(), &pid]).stdout(std::process::Stdio::null());
                anyhow::ensure!(taskset.status()?.success(), "taskset of redis-server");
            }
        }
        let seeds = redis.seeds_text();
        let start = |number: usize| {
            let name = format!("bench-{number}");
            let mut environment = vec![("REDIS_NODES", &*seeds), ("SERVER_ID", &*name)];
            environment.extend_from_slice(own);
            Server::start(contender, Setting::default(), places, core, &environment)
        };
        let servers = (0..servers).map(start).collect::<anyhow::Result<_>>()?;
        Ok(Self { servers, redis })
    }

    /// User and system seconds of all servers so far, without Redis.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        self.servers.iter().map(Server::cpu_seconds).sum()
    }

    /// Of all that run of its processes.
    pub(crate) fn redis_cpu_seconds(&self) -> anyhow::Result<f64> {
        let pids = self.redis.nodes().filter_map(|node| self.redis.process_id(node));
        pids.map(process::cpu_seconds).sum()
    }

    pub(crate) fn commands(&self, contender: Contender) -> anyhow::Result<Commands> {
        let mut by_name = BTreeMap::new();
        for master in self.redis.masters()? {
            let text = self.info(master)?;
            for (name, calls) in text.lines().filter_map(calls) {
                *by_name.entry(name.to_owned()).or_insert(0.0) += calls;
            }
        }
        // Node has no functions: whatever its servers cause they have sent themselves.
        let inside = |name: &str| match contender {
            Contender::Turnpike => INSIDE.contains(&name),
            _ => matches!(name, "info" | "psync" | "replconf"),
        };
        let from_clients = by_name.iter().filter(|(name, _)| !inside(name)).map(|(_, calls)| calls).sum();
        let spublish = by_name.get("spublish").copied().unwrap_or_default();
        Ok(Commands { from_clients, spublish, all: by_name.values().sum() })
    }

    fn info(&self, node: RedisNode) -> anyhow::Result<String> {
        Ok(self.redis.command(node, &["INFO", "commandstats"])?.sound()?.text())
    }
}

impl Commands {
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            from_clients: self.from_clients - before.from_clients,
            spublish: self.spublish - before.spublish,
            all: self.all - before.all,
        }
    }
}

/// `cmdstat_fcall:calls=12,usec=...`
fn calls(line: &str) -> Option<(&str, f64)> {
    let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
    Some((name, rest.split(',').next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_by_name() {
        let line = "cmdstat_config|get:calls=3,usec=70,usec_per_call=23.33,rejected_calls=0,failed_calls=0\r";
        assert_eq!(calls(line), Some(("config|get", 3.0)));
        assert_eq!(calls("# Commandstats"), None);
    }
}
