//! What the plane on Redis is told: its part of the configuration, in its own words.

use std::net::{SocketAddr, UdpSocket};

use turnpike_cluster::redis::{Durability, RedisConfig};
use turnpike_daemon::config::Secret;

use crate::cluster;
use crate::config::{self, Advertised, Config};

/// None where no Redis is configured. `gateway` is where the gateway listens.
pub(crate) fn config(config: &Config, gateway: SocketAddr) -> Option<RedisConfig> {
    let Config { redis, recovery, .. } = config;
    if redis.nodes.0.is_empty() {
        return None;
    }
    Some(RedisConfig {
        nodes: redis.nodes.0.iter().map(|node| (node.host.clone(), node.port)).collect(),
        username: redis.username.clone(),
        password: redis.password.as_ref().map(Secret::reveal).map(ToOwned::to_owned),
        prefix: redis.prefix.as_str().to_owned(),
        durability: match redis.durability {
            config::Durability::Replicated => Durability::Replicated,
            config::Durability::Stored => Durability::Stored,
        },
        replicas_min: redis.replicas_min,
        publish_deadline: redis.publish_deadline,
        call_deadline: redis.call_deadline,
        reply_deadline: redis.reply_deadline,
        history: cluster::history(config),
        node: config.node_id(),
        address: advertised(config, gateway),
        recovery_window: recovery.window,
        ..RedisConfig::default()
    })
}

/// Where the other nodes reach this one: as configured, or where it listens, or if that is everywhere, by the address
/// that this machine has towards Redis.
pub(crate) fn advertised(config: &Config, gateway: SocketAddr) -> Option<SocketAddr> {
    reached(config, config.node.advertise_address, gateway)
}

/// The same for any listener.
pub(crate) fn reached(
    config: &Config,
    configured: Option<Advertised>,
    listener: SocketAddr,
) -> Option<SocketAddr> {
    if let Some(configured) = configured {
        return Some(configured.0);
    }
    if !listener.ip().is_unspecified() {
        return Some(listener);
    }
    let towards = config.redis.nodes.0.iter().find_map(|node| {
        // Nothing is sent: connecting a datagram socket only asks the routes.
        let socket = UdpSocket::bind(("0.0.0.0", 0)).ok()?;
        socket.connect((node.host.as_str(), node.port)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    });
    towards.map(|ip| SocketAddr::new(ip, listener.port()))
}
