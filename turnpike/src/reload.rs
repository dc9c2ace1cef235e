//! SIGHUP: the configuration is read anew. What can change while the process runs does, the rest is named.
//!
//! All or nothing: a configuration with a fault changes nothing.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};
use turnpike_audit::Audit;
use turnpike_daemon::config::{Effective, Environment};
use turnpike_daemon::log::{Dial, Writer};
use turnpike_daemon::signals::Hangup;
use turnpike_daemon::tasks::Stop;
use turnpike_gateway::Operator;
use turnpike_guard::Watch;
use turnpike_guard::address::Countries;
use turnpike_shard_router::Router;

use crate::command::{self, Command};
use crate::config::Config;
use crate::keys::KeyExchange;
use crate::secrets::Secrets;
use crate::{addresses, auditing};

/// What holds of the configuration. Cheap to clone.
#[derive(Clone)]
pub(crate) struct InEffect(Arc<RwLock<Vec<Effective>>>);

impl InEffect {
    pub(crate) fn new(effective: Vec<Effective>) -> Self {
        Self(Arc::new(RwLock::new(effective)))
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Vec<Effective>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn replace(&self, effective: Vec<Effective>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = effective;
    }
}

/// What a key changes in a process that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    LogLevel,
    Keys,
    Limits,
    Filters,
    /// Of a router alone.
    Rules,
}

/// The keys that can change. A test holds the list in `docs/upgrade.md` against it.
const RELOADED: &[(&str, Part)] = &[
    ("log.level", Part::LogLevel),
    ("auth.jwt_secret", Part::Keys),
    ("auth.jwt_secret_next", Part::Keys),
    ("auth.public_keys", Part::Keys),
    ("rates.events", Part::Limits),
    ("rates.bytes", Part::Limits),
    ("rates.messages", Part::Limits),
    ("rates.room_messages", Part::Limits),
    ("rates.joins", Part::Limits),
    ("rates.presence", Part::Limits),
    ("rates.history", Part::Limits),
    ("rates.recorded", Part::Limits),
    ("rates.requests", Part::Limits),
    ("rates.recorded", Part::Limits),
    ("rates.classes", Part::Limits),
    ("router.strategy", Part::Rules),
    ("router.weights", Part::Rules),
    ("router.handshakes_per_second", Part::Rules),
    ("router.handshakes_per_address", Part::Rules),
    ("addresses.deny", Part::Filters),
    ("addresses.exempt", Part::Filters),
    ("addresses.allow", Part::Filters),
    ("addresses.country_allow", Part::Filters),
    ("addresses.country_deny", Part::Filters),
    ("addresses.country_unknown", Part::Filters),
];

fn part_of(key: &str) -> Option<Part> {
    RELOADED.iter().find(|(name, _)| *name == key).map(|(_, part)| *part)
}

struct Meters {
    reloads: IntCounterVec,
    restart: IntGauge,
}

impl Meters {
    fn register(registry: &Registry) -> prometheus::Result<Self> {
        let about = Opts::new(
            "turnpike_configuration_reloads_total",
            "How often the configuration was read anew, by what came of it.",
        );
        let meters = Self {
            reloads: IntCounterVec::new(about, &["outcome"])?,
            restart: IntGauge::new(
                "turnpike_configuration_restart_keys",
                "Keys of the configuration that have another value than the one in effect, which a restart would take up.",
            )?,
        };
        for outcome in ["done", "refused"] {
            meters.reloads.with_label_values(&[outcome]);
        }
        registry.register(Box::new(meters.reloads.clone()))?;
        registry.register(Box::new(meters.restart.clone()))?;
        Ok(meters)
    }
}

/// What a node has that can change.
pub(crate) struct NodeParts {
    pub(crate) keys: KeyExchange,
    pub(crate) watch: Watch,
    pub(crate) countries: Countries,
    pub(crate) gateway: Operator,
    pub(crate) audit: Audit,
}

/// What runs, and what of it can change beside the log level.
pub(crate) enum Process {
    Node(Box<NodeParts>),
    Router(Router),
}

impl Process {
    fn has(&self, part: Part) -> bool {
        match part {
            Part::LogLevel => true,
            Part::Rules => matches!(self, Self::Router(_)),
            Part::Keys | Part::Limits | Part::Filters => matches!(self, Self::Node(_)),
        }
    }
}

pub(crate) struct Reloader {
    log: Writer,
    dial: Dial,
    in_effect: InEffect,
    process: Process,
    meters: Meters,
}

impl Reloader {
    pub(crate) fn new(
        log: Writer,
        dial: Dial,
        in_effect: InEffect,
        process: Process,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        Ok(Self { log, dial, in_effect, process, meters: Meters::register(registry)? })
    }

    pub(crate) async fn keep(self, mut hangup: Hangup, mut stop: Stop) {
        loop {
            tokio::select! {
                () = hangup.next() => {}
                () = stop.requested() => return,
            }
            tracing::info!("asked to read the configuration anew");
            // A disk that hangs holds a thread made for that, not those who wait for answers.
            let log = self.log.clone();
            let reopened = tokio::task::spawn_blocking(move || (log.reopen(), read())).await;
            let Ok((reopened, read)) = reopened else { continue };
            if let Err(error) = reopened {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the log file could not be opened anew: the old one goes on"
                );
            }
            let outcome = match read {
                Ok((config, effective)) => self.take_up(&config, effective).await,
                Err(error) => Err(error),
            };
            let outcome = match outcome {
                Ok(()) => "done",
                Err(error) => {
                    tracing::error!(problem = format!("{error:#}"), "the configuration stays as it was");
                    "refused"
                }
            };
            self.meters.reloads.with_label_values(&[outcome]).inc();
        }
    }

    async fn take_up(&self, config: &Config, read: Vec<Effective>) -> anyhow::Result<()> {
        let before = self.in_effect.read().clone();
        let can_change = |key: &str| part_of(key).filter(|part| self.process.has(*part));
        let (mut parts, mut in_effect, mut waiting) = (Vec::new(), Vec::new(), 0);
        for (old, new) in before.into_iter().zip(read) {
            let key = new.key.path;
            if old.mark == new.mark {
                in_effect.push(new);
                continue;
            }
            if let Some(part) = can_change(key) {
                if !parts.contains(&part) {
                    parts.push(part);
                }
                tracing::info!(key, "a key of the configuration has another value");
                in_effect.push(new);
            } else {
                waiting += 1;
                tracing::warn!(key, "a key of the configuration has another value, which a restart takes up");
                in_effect.push(old);
            }
        }
        match &self.process {
            Process::Node(node) => node.take_up(config, &in_effect, &parts).await?,
            Process::Router(router) if parts.contains(&Part::Rules) => {
                router.replace_rules(crate::router::rules(config));
            }
            Process::Router(_) => {}
        }
        if parts.contains(&Part::LogLevel) {
            self.dial.configure(config.log.level.clone());
        }
        self.in_effect.replace(in_effect);
        self.meters.restart.set(waiting);
        tracing::info!(restart_keys = waiting, "the configuration was read anew");
        Ok(())
    }
}

impl NodeParts {
    async fn take_up(&self, config: &Config, in_effect: &[Effective], parts: &[Part]) -> anyhow::Result<()> {
        // What could fail comes first.
        let secrets = Secrets::of(config)?;
        auditing::reloads(&self.audit, config, in_effect).await?;
        if parts.contains(&Part::Keys) {
            self.keys.set(config, &secrets)?;
            if config.auth.cluster_secret.is_none() {
                tracing::warn!(
                    "what nodes prove to one another was made of JWT_SECRET, and stays as it was until a restart"
                );
            }
        }
        if parts.contains(&Part::Limits) {
            self.gateway.limit(config.rates.classes());
        }
        if parts.contains(&Part::Filters) {
            self.watch.warden.replace_rules(addresses::rules(config, &self.countries));
        }
        Ok(())
    }
}

/// With the arguments and the environment of the start; what changes is the file, and the files that it names.
fn read() -> anyhow::Result<(Box<Config>, Vec<Effective>)> {
    match command::parse(command::arguments(std::env::args_os().skip(1)), Environment::of_process())? {
        Command::Run(_, config, effective) | Command::Router(config, effective) => Ok((config, effective)),
        _ => anyhow::bail!("this process was started otherwise"),
    }
}

#[cfg(test)]
mod tests {
    use turnpike_daemon::config::Settings as _;

    use super::*;

    #[test]
    fn the_keys_that_can_change_are_keys_and_documented() {
        let sections = Config::sections();
        let known: Vec<&str> = sections.iter().flat_map(|section| section.keys).map(|key| key.path).collect();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/upgrade.md");
        let document = std::fs::read_to_string(path).unwrap();
        for (key, _) in RELOADED {
            assert!(known.contains(key), "{key}");
            assert!(document.contains(&format!("`{key}`")), "{key} is not in docs/upgrade.md");
        }
        assert_eq!(document.matches("`rates.").count(), 10, "no other is promised");
    }
}
