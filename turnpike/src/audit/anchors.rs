//! `turnpike audit anchors`: the checkpoints of all nodes that Redis has, for `turnpike audit verify --anchors`.

use anyhow::Context as _;

use crate::config::Config;
use crate::{auditing, redis};

pub(super) fn execute(config: &Config) -> anyhow::Result<()> {
    let address = std::net::SocketAddr::new(config.gateway.host, config.gateway.port);
    let wanted = redis::config(config, address)
        .context("this system has no Redis (REDIS_CLUSTER_NODES), and so nothing keeps checkpoints there")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let text = runtime.block_on(async {
        let directory = turnpike_cluster::redis::directory(wanted).await?;
        auditing::anchors_of_cluster(&*directory).await
    })?;
    crate::print(text.trim_end())
}
