//! The warden of this process, as it was told, with the clock that all who ask it share.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use turnpike_guard::address::Countries;
use turnpike_guard::{At, Bounds, Door, Doors, Terms, Warden, WardenConfig, Watch};

use crate::addresses;
use crate::config::Config;

pub(crate) fn watch(config: &Config, countries: &Countries) -> Watch {
    let started = Instant::now();
    let now = move || At {
        steady_ms: ms(started.elapsed()),
        unix_ms: ms(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
    };
    Watch::new(Arc::new(Warden::new(told(config, countries))), now)
}

fn told(config: &Config, countries: &Countries) -> WardenConfig {
    let abuse = &config.abuse;
    WardenConfig {
        name: config.node_id(),
        rules: addresses::rules(config, countries),
        proxies: addresses::trusted(config),
        doors: Doors {
            connections: Door {
                per_second: abuse.connections_per_second,
                burst: abuse.connections_burst,
                open_max: abuse.connections_max,
            },
            sessions: Door {
                per_second: abuse.sessions_per_second,
                burst: abuse.sessions_burst,
                open_max: abuse.sessions_max,
            },
            failures: Door {
                per_second: abuse.failures_per_second,
                burst: abuse.failures_burst,
                open_max: u32::MAX,
            },
        },
        terms: Terms {
            enabled: abuse.enabled,
            half_life_ms: ms(abuse.half_life),
            mute_at: abuse.mute_score as f32,
            disconnect_at: abuse.disconnect_score as f32,
            ban_at: abuse.ban_score as f32,
            mute_ms: ms(abuse.mute),
            mute_ms_max: ms(abuse.mute_max),
            ban_ms: ms(abuse.ban),
            ban_ms_max: ms(abuse.ban_max),
            forget_ms: ms(abuse.memory),
        },
        bounds: Bounds {
            addresses_max: abuse.addresses_max,
            suspects_max: abuse.suspects_max,
            bans_max: abuse.bans_max,
        },
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use turnpike_daemon::config::{Sources, load};

    use super::*;

    /// Whoever sets nothing has what the crate itself says.
    #[test]
    fn defaults_are_those_of_the_warden() {
        let loaded = load::<Config>(Sources::default());
        let told = told(&loaded.settings, &Countries::default());
        assert_eq!(format!("{:?}", told.terms), format!("{:?}", Terms::default()));
        assert_eq!(format!("{:?}", told.doors), format!("{:?}", Doors::default()));
        assert_eq!(format!("{:?}", told.bounds), format!("{:?}", Bounds::default()));
    }
}
