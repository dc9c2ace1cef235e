//! What the relay is told: its part of the configuration, in its own words.

use turnpike_media_relay::{Limits, RelayConfig};

use crate::config::{Config, Ice};

/// None: there is no relay in this process.
pub(crate) fn config(config: &Config) -> Option<RelayConfig> {
    let media = &config.media;
    media.enabled.then(|| RelayConfig {
        address: media.host,
        port: media.port,
        announced: media.announce.0.clone(),
        shards: media.shards.map_or_else(processors, usize::from),
        is_lite: media.ice == Ice::Lite,
        start_bits_per_second: media.start_bitrate,
        bits_per_second_max: media.bitrate_max,
        limits: Limits {
            peers_max: media.sessions_max,
            publishers_per_stream_max: media.publishers_per_stream_max,
            ..Limits::default()
        },
    })
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
