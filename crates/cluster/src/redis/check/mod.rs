//! Whether a Redis Cluster is fit for what is asked of it: told before anybody relies on it, with what to do.
//!
//! [`check`] asks every process once and changes nothing. What it asks is in `survey`, what the answers mean in `bus`,
//! `layout`, `settings` and `place`, which are functions of the answers alone.

mod bus;
mod fields;
mod finding;
mod knock;
mod layout;
mod place;
mod settings;
mod survey;

pub use finding::{Finding, Level};

use super::config::RedisConfig;

/// All that was found, the good as well, in an order that makes sense to read. Never takes longer than a few deadlines of
/// a reply, whatever is away.
pub async fn check(config: &RedisConfig) -> Vec<Finding> {
    let survey = survey::survey(config).await;
    let mut findings = layout::reach(&survey);
    if survey.answering().next().is_none() {
        return findings;
    }
    findings.extend(layout::cluster(&survey));
    findings.extend(layout::replicas(&survey, config));
    findings.extend(settings::durability(&survey, config));
    findings.extend(settings::memory(&survey));
    findings.extend(settings::failover(&survey));
    findings.extend(settings::buffers(&survey));
    findings.extend(place::versions(&survey));
    findings.extend(place::library(&survey, super::library::version()));
    findings.extend(place::access(&survey, config));
    findings.extend(place::clocks(&survey));
    findings.extend(place::latency(&survey));
    findings.extend(bus::round_trips(&survey));
    findings
}
