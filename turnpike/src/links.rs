//! The links of this process's relay with those of other nodes.

use std::net::SocketAddr;

use anyhow::Context as _;
use prometheus::Registry;
use turnpike_audit::Audit;
use turnpike_cluster::Cluster;
use turnpike_media_relay::{Links, LinksConfig, Relay};

use crate::config::Config;
use crate::purpose::Purpose;
use crate::redis;
use crate::secrets::Secrets;

/// Opened, and where other relays are told to come.
pub(crate) struct Linked {
    pub(crate) links: Links,
    pub(crate) address: Option<SocketAddr>,
}

/// None: this process is the whole system.
pub(crate) fn start(
    config: &Config,
    secrets: &Secrets,
    cluster: &Cluster,
    relay: &Relay,
    registry: &Registry,
    audit: &Audit,
) -> anyhow::Result<Option<Linked>> {
    if config.redis.nodes.0.is_empty() {
        return Ok(None);
    }
    let address = SocketAddr::new(config.links.host.unwrap_or(config.gateway.host), config.links.port);
    let wanted = LinksConfig {
        incarnation: cluster.membership.own().0,
        address,
        secret: Purpose::LinkAuthority.secret(secrets.root()),
        audit: audit.clone(),
    };
    let links = Links::start(&wanted, relay.clone(), registry).with_context(|| {
        format!("other relays cannot be linked at {address} (set TURNPIKE_LINK_HOST and TURNPIKE_LINK_PORT)")
    })?;
    let address = redis::reached(config, config.links.advertise, links.local_addr());
    Ok(Some(Linked { links, address }))
}
