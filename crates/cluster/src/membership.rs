//! Which nodes live. A node holds a lease, and what it says of its users is true as long as the lease is.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{Soon, Unavailable};

/// One start of a node's process. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Incarnation(pub u64);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub incarnation: Incarnation,
    /// As in session ids.
    pub name: String,
    /// Where other nodes reach its public port. None: they cannot.
    pub address: Option<SocketAddr>,
    pub version: String,
    /// Takes nobody in any more.
    pub draining: bool,
    /// Connections that it has room for yet, roughly. None: it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub places: Option<u32>,
    /// There is a relay of live video in its process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<RelayOffer>,
}

/// What a relay says of itself, so that others can choose one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RelayOffer {
    /// Where clients of WHIP and WHEP are sent, if they can be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<Box<str>>,
    /// Where other relays reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<SocketAddr>,
    /// Of what it can do, in thousandths.
    pub load_permille: u16,
    /// Publishers and viewers that are there, and how many there may be. None and none: it does not say.
    #[serde(default)]
    pub sessions: u32,
    #[serde(default)]
    pub sessions_max: u32,
    /// Whether it takes anybody in. One that is full says so before it refuses.
    pub has_room: bool,
    /// Its process is there for live video alone: sessions of users begin elsewhere.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alone: bool,
}

impl Node {
    /// Whether sessions of users may begin there.
    pub fn takes_users(&self) -> bool {
        !self.draining && !self.relay.as_ref().is_some_and(|relay| relay.alone)
    }
}

/// - Of a node that died all others know within the lease and a second.
/// - A node that cannot renew its lease knows it by its own steady clock, before others take it for dead.
/// - No decision rests on the wall clock.
pub trait Membership: Send + Sync + 'static {
    fn own(&self) -> Incarnation;

    /// All nodes that live, this one among them.
    fn nodes(&self) -> watch::Receiver<Arc<[Node]>>;

    fn lease(&self) -> watch::Receiver<Lease>;

    /// Changes what others see of this node.
    fn announce(&self, draining: bool) -> Soon<Result<(), Unavailable>>;

    /// The same: how many connections it has room for yet. As seldom as [`Self::offer`].
    fn vacant(&self, places: u32) -> Soon<Result<(), Unavailable>>;

    /// The same: which relay there is in its process, if any. Told to all nodes, so not to be called more often than once a
    /// second, nor for a change that nobody would act on. Loads alone are told when it is this node's turn: the more nodes
    /// there are, the less often.
    fn offer(&self, relay: Option<RelayOffer>) -> Soon<Result<(), Unavailable>>;

    /// Whether the lease of that node is known to have lapsed: it is dead, or others will soon take it for dead. Of one that was
    /// never heard of that is not known.
    fn has_lapsed(&self, node: Incarnation) -> bool {
        let _ = node;
        false
    }

    /// Says goodbye: what belongs to this incarnation may be cleared away at once; sessions keep their window.
    fn leave(&self) -> Soon<Result<(), Unavailable>>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// Valid by this node's own clock.
    Held,
    /// Could not be renewed in time. Others may take this node for dead soon: nothing new is begun.
    Doubtful,
    /// Others have, or may have, taken this node for dead: it must close its connections and start over.
    Lost,
}
