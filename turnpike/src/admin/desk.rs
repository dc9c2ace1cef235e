//! What operators act upon: handles to the parts of a running process.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::Registry;
use tokio::sync::{Semaphore, watch};
use turnpike_audit::{Audit, Housekeeper};
use turnpike_cluster::Cluster;
use turnpike_daemon::health::Health;
use turnpike_daemon::log::Dial;
use turnpike_gateway::Operator;
use turnpike_guard::address::AddressKey;
use turnpike_guard::{At, Verifier, Watch};
use turnpike_wire::UserId;

use crate::dashboard::Dashboard;
use crate::reload::InEffect;

use super::attempts::Attempts;
use super::meters::Meters;
use super::orders::{self, Orders};
use super::verification;

/// Readings of the audit log at the same time; each reads files.
const READINGS_MAX: usize = 2;

/// What a desk is made of.
pub(crate) struct Parts {
    pub(crate) node: String,
    pub(crate) tokens: Verifier,
    /// Told of those who cannot prove who they are.
    pub(crate) watch: Watch,
    pub(crate) audit: Audit,
    pub(crate) audit_directory: PathBuf,
    pub(crate) audit_key_file: PathBuf,
    /// None: no audit log is written.
    pub(crate) housekeeper: Option<Arc<Housekeeper>>,
    pub(crate) cluster: Cluster,
    pub(crate) gateway: Operator,
    pub(crate) health: Health,
    pub(crate) dial: Dial,
    /// Becomes true once somebody wants the process to leave in order.
    pub(crate) drain: watch::Sender<bool>,
    pub(crate) effective: InEffect,
    pub(crate) dashboard: Arc<Dashboard>,
}

pub(crate) struct Desk {
    pub(super) parts: Parts,
    pub(super) audit: Audit,
    pub(super) meters: Meters,
    pub(super) readings: Arc<Semaphore>,
    pub(super) verification: verification::Bench,
    /// An operator has asked for a drain.
    pub(super) leaving: AtomicBool,
    pub(super) orders: Orders,
    attempts: Mutex<Attempts<AddressKey>>,
    overreaching: Mutex<Attempts<UserId>>,
    drawn: AtomicU64,
}

impl Desk {
    pub(crate) fn new(parts: Parts, registry: &Registry) -> prometheus::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            audit: parts.audit.clone(),
            orders: orders::of(&parts.cluster),
            parts,
            meters: Meters::register(registry)?,
            readings: Arc::new(Semaphore::new(READINGS_MAX)),
            verification: verification::Bench::default(),
            leaving: AtomicBool::new(false),
            attempts: Mutex::default(),
            overreaching: Mutex::default(),
            drawn: AtomicU64::new(0),
        }))
    }

    pub(super) fn now(&self) -> At {
        self.parts.watch.now()
    }

    pub(super) fn attempts(&self) -> MutexGuard<'_, Attempts<AddressKey>> {
        // Each change is one assignment.
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Users whose tokens hold and do not suffice.
    pub(super) fn overreaching(&self) -> MutexGuard<'_, Attempts<UserId>> {
        self.overreaching.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn draw_id(&self) -> String {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
        format!("{}.a.{drawn:x}", self.parts.cluster.membership.own())
    }
}
