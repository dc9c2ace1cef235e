//! Joined to others by its Redis adapter, over a Redis Cluster with sharded channels, with the adapter's defaults.

use anyhow::Context as _;
use fred::{
    prelude::{Builder, Config},
    types::RespVersion,
};
use socketioxide::{SocketIoBuilder, adapter::LocalAdapter};
use socketioxide_redis::{FredAdapter, RedisAdapterCtr};

use super::vocabulary;

pub(super) async fn app(
    builder: SocketIoBuilder<LocalAdapter>,
    nodes: &str,
    secret: &str,
) -> anyhow::Result<axum::Router> {
    let first = nodes.split(',').next().context("REDIS_NODES is empty")?;
    // It finds the others by asking this one.
    let mut config = Config::from_url(&format!("redis-cluster://{first}"))?;
    config.version = RespVersion::RESP3;
    let client = Builder::from_config(config).build_subscriber_client()?;
    let adapter = RedisAdapterCtr::new_with_fred(client).await?;
    let (layer, io) = builder.with_adapter::<FredAdapter<_>>(adapter).build_layer();
    vocabulary(&io, secret).await?;
    Ok(axum::Router::new().layer(layer))
}
