//! The audit log of this process: opened before anything is bound, looked after while it runs, closed behind everything else.
//!
//! What is written into it is decided where it happens; here are the records about the process itself.

mod anchors;
mod meters;
mod settings;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use prometheus::Registry;
use turnpike_audit::{
    Audit, Before, Closing, Event, Health as LogHealth, Housekeeper, Kind, Object, OnFailure, OpenError,
    Outcome, PublicKey, Retention, Settings, Text, Time,
};
use turnpike_daemon::config::Effective;
use turnpike_daemon::health::{Check, Health};
use turnpike_daemon::tasks::{Stop, Tasks};

use self::anchors::Newest;
pub(crate) use self::anchors::printed as anchors_of_cluster;
use crate::audit::key_file::{self, KeyFileError};
use crate::config::{self, Config};

/// How often files are packed, pruned and removed.
const KEEP_EVERY: Duration = Duration::from_hours(1);
/// So that a start is not slower for it.
const KEEP_FIRST_AFTER: Duration = Duration::from_mins(1);

/// Held by the process until its very end: dropped, it closes the log.
pub(crate) struct Log {
    node: String,
    audit: Audit,
    housekeeper: Arc<Housekeeper>,
    newest: Newest,
    /// None: nothing is written.
    open: Option<Open>,
}

struct Open {
    closing: Closing,
    key: PublicKey,
}

/// Opens the log, or begins one.
pub(crate) fn open(config: &Config, registry: &Registry) -> anyhow::Result<Log> {
    let (wanted, data_dir) = (&config.audit, &config.node.data_dir);
    let directory = wanted.directory(data_dir);
    let newest = Newest::default();
    let opened = if wanted.enabled {
        let signers = keys(&wanted.keys(data_dir), &config.node_id())?;
        let key = signers
            .last()
            .map(|signer| signer.public().clone())
            .context("there is no key for the audit log")?;
        let settings = Settings {
            segment_bytes_max: wanted.file_bytes_max.0 as u64,
            reserve_bytes: wanted.reserve_bytes.0 as u64,
            queue_records_max: wanted.queue_records_max,
            on_failure: match wanted.on_failure {
                config::OnFailure::Deny => OnFailure::Deny,
                config::OnFailure::Degrade => OnFailure::Degrade,
            },
            decide_wait_max: wanted.wait_max,
            ..Settings::new(&directory, config.node_id())
        };
        match Audit::open(&settings, signers, Box::new(newest.clone())) {
            Ok((audit, closing)) => Some((audit, Open { closing, key })),
            // Several processes of a developer share what nobody has configured.
            Err(error @ OpenError::InUse { .. }) if !config.is_production() && wanted.dir.is_none() => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "this process writes no audit log (set AUDIT_DIR to give it one of its own)"
                );
                None
            }
            Err(error) => {
                return Err(error)
                    .context("the audit log cannot be opened (set AUDIT_DIR, or TURNPIKE_AUDIT=false)");
            }
        }
    } else {
        tracing::warn!("no audit log is written: TURNPIKE_AUDIT is false");
        None
    };
    let (audit, open) = opened.map_or_else(|| (Audit::nowhere(), None), |(audit, open)| (audit, Some(open)));
    meters::Meters::register(registry, &audit)?;
    let housekeeper = Arc::new(Housekeeper::new(audit.clone(), directory, retention(wanted)));
    Ok(Log { node: config.node_id(), audit, housekeeper, newest, open })
}

/// What of the configuration is another since it was read anew is written down before it holds.
pub(crate) async fn reloads(audit: &Audit, config: &Config, effective: &[Effective]) -> anyhow::Result<()> {
    if audit.is_written() {
        for event in settings::changes(config, effective) {
            audit.decide(event).await.context("the audit log cannot be written")?;
        }
        settings::keep(config, effective);
    }
    Ok(())
}

/// Those of the file, which is made if there is none.
fn keys(path: &Path, node: &str) -> anyhow::Result<Vec<turnpike_audit::Signer>> {
    if !path.exists() {
        match key_file::make(path, node) {
            Ok(public) => {
                let file = path.display();
                tracing::info!(%public, %file, "a key for the audit log was made: whoever verifies needs its public half");
            }
            // Another process was faster.
            Err(KeyFileError::Exists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(key_file::read(path)?)
}

fn retention(wanted: &config::Audit) -> Retention {
    let mut retention = Retention::default();
    retention.otherwise = wanted.retention;
    for kept in retention.classes.values_mut() {
        *kept = wanted.retention_short;
    }
    retention
}

impl Log {
    pub(crate) fn audit(&self) -> Audit {
        self.audit.clone()
    }

    /// None: nothing is written.
    pub(crate) fn housekeeper(&self) -> Option<Arc<Housekeeper>> {
        self.open.as_ref().map(|_| Arc::clone(&self.housekeeper))
    }

    /// The process is about to serve. What of its configuration is another than at the last start is written down before that.
    pub(crate) async fn started(
        &self,
        config: &Config,
        effective: &[Effective],
        version: &'static str,
    ) -> anyhow::Result<()> {
        if !self.audit.is_written() {
            return Ok(());
        }
        if self.audit.before() == Before::Broken {
            let event =
                Event::new(Kind::NodeRecovered, Outcome::Success).on(Object::Node, self.node.as_str());
            self.audit.note(event);
        }
        let refused =
            "the audit log cannot be written, and nothing may happen without it (TURNPIKE_AUDIT_ON_FAILURE)";
        for event in settings::changes(config, effective) {
            self.audit.decide(event).await.context(refused)?;
        }
        let event = Event::new(Kind::NodeStarted, Outcome::Success)
            .on(Object::Node, self.node.as_str())
            .detail("version", Text::new(version))
            .detail("settings", Text::new(&settings::digest(effective)));
        self.audit.decide(event).await.context(refused)?;
        settings::keep(config, effective);
        Ok(())
    }

    /// Looks after it until the tasks end.
    pub(crate) fn keep(&self, tasks: &Tasks, health: &Health) {
        if !self.audit.is_written() {
            return;
        }
        let (audit, check) = (self.audit.clone(), health.check("audit log"));
        tasks.spawn("audit log watch", |stop| watch(audit, check, stop));
        let housekeeper = Arc::clone(&self.housekeeper);
        tasks.spawn("audit housekeeping", |stop| keep_house(housekeeper, stop));
    }

    /// Takes its checkpoints to other nodes and to where else they are kept, and keeps theirs.
    pub(crate) fn anchor(&self, config: &Config, cluster: &turnpike_cluster::Cluster, tasks: &Tasks) {
        if let Some(open) = &self.open {
            let place = anchors::Place::new(config, cluster, open.key.clone());
            anchors::start(place, &self.audit, &self.newest, tasks);
        }
    }

    pub(crate) fn draining(&self, reason: &'static str) {
        let event = Event::new(Kind::NodeDraining, Outcome::Success).on(Object::Node, self.node.as_str());
        self.audit.note(event.reason(reason));
    }

    /// The last record before the end of the log. Blocks for as long as the disk takes.
    pub(crate) fn close(self, reason: &'static str) {
        let event = Event::new(Kind::NodeStopped, Outcome::Success).on(Object::Node, self.node.as_str());
        self.audit.note(event.reason(reason));
        if let Some(open) = self.open {
            open.closing.close();
        }
    }
}

/// Users are given to this node only while what decides over them can be written down.
async fn watch(audit: Audit, check: Check, mut stop: Stop) {
    let mut health = audit.health();
    loop {
        match &*health.borrow_and_update() {
            LogHealth::Well => check.pass(),
            LogHealth::Reserve => check.fail("the disk of the audit log is full: it goes on in its reserve"),
            LogHealth::Failing(why) => check.fail(format!("the audit log cannot be written: {why}")),
            LogHealth::Closed => check.fail("the audit log is closed"),
        }
        tokio::select! {
            changed = health.changed() => if changed.is_err() { return stop.requested().await },
            () = stop.requested() => return,
        }
    }
}

async fn keep_house(housekeeper: Arc<Housekeeper>, mut stop: Stop) {
    let mut after = KEEP_FIRST_AFTER;
    loop {
        tokio::select! {
            () = tokio::time::sleep(after) => after = KEEP_EVERY,
            () = stop.requested() => return,
        }
        let (housekeeper, now) = (Arc::clone(&housekeeper), now());
        match tokio::task::spawn_blocking(move || housekeeper.keep(now)).await {
            Ok(Ok(kept)) => tracing::debug!(?kept, "the files of the audit log are in order"),
            Ok(Err(error)) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "the files of the audit log could not be put in order"
            ),
            // A panic there has been said by the panic hook.
            Err(_) => {}
        }
    }
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
