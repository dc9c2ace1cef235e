//! What nodes say to each other through Redis: with which secrets it is sealed, and who is told when something is wrong with it or
//! with this machine's clock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use turnpike_audit::Audit;
use turnpike_cluster::redis::{CLOCK_OFFSET_MAX, RedisConfig, Report, Reporter};
use turnpike_daemon::health::Health;
use turnpike_gateway::audited;

use crate::config::Config;
use crate::purpose::Purpose;
use crate::secrets::Secrets;

/// Whoever may write to Redis can forge as much as they like: one record in this time says so.
const RECORD_EVERY: Duration = Duration::from_secs(10);

pub(crate) fn guarded(
    redis: RedisConfig,
    config: &Config,
    secrets: &Secrets,
    audit: &Audit,
    health: &Health,
) -> RedisConfig {
    let report = Some(reporter(config.node_id(), audit.clone(), health));
    RedisConfig { seal_secrets: seal_secrets(config, secrets), report, ..redis }
}

/// None for processes that share no secret: each has made one for itself, and none would believe another.
fn seal_secrets(config: &Config, secrets: &Secrets) -> Vec<[u8; 32]> {
    let is_given = config.auth.cluster_secret.is_some() || config.auth.jwt_secret.is_some();
    let roots = secrets.roots().filter(|_| is_given);
    roots.map(|root| Purpose::BusSeal.secret(root)).collect()
}

fn reporter(node: String, audit: Audit, health: &Health) -> Reporter {
    let clock = health.check("clock");
    // Until it is known to be wrong.
    clock.pass();
    let recorded: Mutex<Option<Instant>> = Mutex::default();
    Arc::new(move |report| match report {
        Report::Forged { kind } => {
            let mut recorded = recorded.lock().unwrap_or_else(PoisonError::into_inner);
            if recorded.is_none_or(|at| at.elapsed() >= RECORD_EVERY) {
                *recorded = Some(Instant::now());
                drop(recorded);
                tracing::warn!(kind, "something came over Redis that no node of this system has sent");
                audited::link_forged(&audit, &node, kind);
            }
        }
        Report::Clock { is_right: true, .. } => clock.pass(),
        Report::Clock { offset_ms, is_right: false } => {
            clock.fail(format!(
                "the clock of this machine is {offset_ms} ms ahead of that of Redis, more than {} s; set it by NTP",
                CLOCK_OFFSET_MAX.as_secs()
            ));
            audited::clock_off(&audit, &node, offset_ms);
        }
    })
}

#[cfg(test)]
mod tests {
    use turnpike_daemon::config::{Environment, Sources, load};

    use super::*;

    fn seals(environment: &[(&'static str, &'static str)]) -> Vec<[u8; 32]> {
        let environment = environment.iter().copied().collect::<Environment>();
        let mut config = load::<Config>(Sources { environment, ..Sources::default() }).settings;
        let directory = std::env::temp_dir().join(format!("turnpike-bus-{}", std::process::id()));
        config.node.data_dir = directory.clone();
        let seals = seal_secrets(&config, &Secrets::of(&config).unwrap());
        let _ = std::fs::remove_dir_all(directory);
        seals
    }

    #[test]
    fn what_nodes_share_seals_and_what_one_has_made_for_itself_does_not() {
        const OLD: &str = "c3f1a97be0d2465890fe17ab34cd62b8";
        const NEW: &str = "0d97b2ce64fa4d1b8be35f02a7c1693d";
        assert_eq!(seals(&[]), Vec::<[u8; 32]>::new());
        let old = seals(&[("JWT_SECRET", OLD)]);
        assert_eq!(old.len(), 1);
        assert_eq!(seals(&[("JWT_SECRET", NEW), ("TURNPIKE_CLUSTER_SECRET", OLD)]), old);
        let both = seals(&[("TURNPIKE_CLUSTER_SECRET", OLD), ("TURNPIKE_CLUSTER_SECRET_NEXT", NEW)]);
        let new = seals(&[("TURNPIKE_CLUSTER_SECRET", NEW)]);
        assert_eq!(both, [old[0], new[0]], "the first seals, both are believed");
    }
}
