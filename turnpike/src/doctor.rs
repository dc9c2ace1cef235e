//! `turnpike doctor`, and the same questions at every start: is there anything that would keep this system from serving
//! well, and what is to be done about it?
//!
//! What is wrong with a Redis Cluster is known to `turnpike_cluster::redis::check`; this adds what is wrong with the
//! machine, and shows it.

mod machine;
mod table;

use std::fmt;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::json;
use turnpike_cluster::redis::check::{Finding, Level, check};
use turnpike_daemon::health::Check;

use crate::config::Config;
use crate::line::{Example, Exit, JSON, Keys, Spec};
use crate::{redis, terminal};

pub(crate) const SPEC: Spec = Spec {
    more: "It looks at this machine (file descriptors, ports, clock, memory) and at the Redis Cluster of the configuration (reached, all slots \
           covered, persistence, replicas, latency), and names for each fault what to do.",
    flags: &[&[JSON]],
    keys: Keys::These(&["redis.nodes", "redis.username", "redis.password", "gateway.host", "gateway.port"]),
    examples: &[
        Example("turnpike doctor", "before the first start, and whenever something is odd"),
        Example("turnpike doctor --json | jq '.findings[] | select(.level != \"ok\")'", "for a script"),
    ],
    exits: &[Exit(0, "all is well, or could be better"), Exit(1, "something fails")],
    ..Spec::new("doctor", "Looks for what would keep the system from serving well, and says what to do")
};

/// In the environment of a process that starts over by itself. No key: it begins as none does.
pub(crate) const STARTS_OVER: &str = "_TURNPIKE_STARTS_OVER";
/// What is not as it should be while a master is being replaced or a process restarted, and is so again by itself.
const MAY_PASS: [&str; 6] = ["reach", "state", "slots", "masters", "replicas", "bus"];
/// With the node timeout of the sample, a failover and what follows it take about so long.
const FAILOVER_MAX: Duration = Duration::from_secs(10);
/// Between two looks at a cluster that is waited for. One look takes as long when nobody answers.
const PAUSE: Duration = Duration::from_secs(1);

/// A start that was stopped because of what was found.
#[derive(Debug)]
pub(crate) struct Unfit(Vec<Finding>);

impl Unfit {
    /// `EX_UNAVAILABLE` of sysexits.h: nothing is wrong with the configuration, but with what it relies on. Starting again
    /// later may well succeed.
    pub(crate) const EXIT_CODE: u8 = 69;
}

impl std::error::Error for Unfit {}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        let faults = if count == 1 { "fault" } else { "faults" };
        write!(
            f,
            "not started: {count} {faults} of the Redis Cluster (`turnpike doctor` looks at everything):"
        )?;
        for Finding { check, what, remedy, .. } in &self.0 {
            write!(f, "\n  {check}: {what}\n    to do: {remedy}")?;
        }
        Ok(())
    }
}

/// The command: prints everything that was looked at. 1 if something fails.
pub(crate) fn examine(config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut findings = machine::check(config);
    match redis::config(config, gateway(config)) {
        Some(redis) => {
            let asked = terminal::waiting("the Redis Cluster is looked at", check(&redis));
            findings.extend(runtime.block_on(asked));
        }
        None => findings.push(Finding::ok("redis", "none configured: this process is the whole system")),
    }
    let well = findings.iter().all(|finding| finding.level != Level::Fail);
    crate::print(&if json {
        as_json(&findings, well)
    } else {
        table::render(&findings, terminal::colours(&std::io::stdout()))
    })?;
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether this process starts over by itself, because it was cut off from Redis.
pub(crate) fn starts_over() -> bool {
    std::env::var_os(STARTS_OVER).is_some()
}

/// Before anything is served: logs what could be better, and fails with everything that must be. What a failover brings with
/// it is given a while.
pub(crate) async fn before_start(config: &Config) -> Result<(), Unfit> {
    until_fit(config, None).await
}

/// The same for a process that starts over. It waits for as long as it takes: it would be alone again, and nobody may be there
/// to start it. Meanwhile the check says what it waits for.
pub(crate) async fn before_it_goes_on(config: &Config, check: &Check) -> Result<(), Unfit> {
    until_fit(config, Some(check)).await
}

async fn until_fit(config: &Config, waits: Option<&Check>) -> Result<(), Unfit> {
    let Some(redis) = redis::config(config, gateway(config)) else { return Ok(()) };
    let began = Instant::now();
    loop {
        let mut failures = Vec::new();
        for finding in check(&redis).await {
            let Finding { level, check, what, remedy } = &finding;
            match level {
                Level::Ok => tracing::debug!(check, found = what, "checked"),
                Level::Warn => {
                    tracing::warn!(check, found = what, remedy, "the Redis Cluster could be better");
                }
                Level::Fail => failures.push(finding),
            }
        }
        let passing = failures.iter().all(|failure| MAY_PASS.contains(&failure.check));
        match failures.first() {
            None => return Ok(()),
            Some(first) if waits.is_some() || (passing && began.elapsed() < FAILOVER_MAX) => {
                let count = failures.len();
                if let Some(check) = waits {
                    check.fail(format!("cut off, and waits for the Redis Cluster: {}", first.what));
                }
                tracing::warn!(failures = count, first = first.what, "waiting for the Redis Cluster");
                tokio::time::sleep(PAUSE).await;
            }
            Some(_) => return Err(Unfit(failures)),
        }
    }
}

fn gateway(config: &Config) -> SocketAddr {
    SocketAddr::new(config.gateway.host, config.gateway.port)
}

/// Its form is a promise to scripts.
fn as_json(findings: &[Finding], well: bool) -> String {
    let findings: Vec<_> = findings
        .iter()
        .map(|Finding { level, check, what, remedy }| {
            json!({ "level": level.word(), "check": check, "what": what, "remedy": remedy })
        })
        .collect();
    json!({ "ok": well, "findings": findings }).to_string()
}
