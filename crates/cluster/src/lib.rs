//! The coordination plane: what several nodes must agree on, behind traits that a single process fulfils as well.
//!
//! [`Broker`] gives messages their order and brings them to the nodes, [`Sessions`] remembers who may return to which
//! rooms, [`Membership`] says which nodes live, [`Presence`] who is where, [`Marks`] who has read how far, [`Directory`]
//! which node owns a name, [`Quota`] how much of something is left, [`Occupancy`] which rooms somebody is in,
//! [`Bulletin`] what every node must know, and by [`Post`] one node tells another something, or asks it in an [`Exchange`]. What a caller may rely on is
//! written at the traits, once, and holds for every implementation.
//!
//! It knows no connection, no event of a client and no engine.

mod board;
mod broker;
mod bulletin;
mod deliver;
mod directory;
pub mod embedded;
mod event;
mod exchange;
mod fnv;
mod history;
mod lane;
mod letterboxes;
mod marks;
mod membership;
mod message;
mod occupancy;
pub mod placement;
mod post;
mod presence;
mod quota;
pub mod redis;
mod sessions;
mod signal;
mod soon;

use std::sync::Arc;

use tokio::sync::watch;

pub use broker::{Broker, Continuity, Page, Publication, PublishError, Range, Read, Receipt, Standing};
pub use bulletin::{
    Bulletin, NOTICE_KEY_BYTES_MAX, NOTICE_VALUE_BYTES_MAX, NOTICES_MAX, NotPosted, Notice, Notices, Topic,
};
pub use deliver::{Deliver, Full};
pub use directory::{Claim, Claimed, Directory, Over};
pub use exchange::{Asked, Asker, Exchange, Terms};
pub use history::HistoryLimits;
pub use lane::{LANES, Lane, LanePosition, lane_of};
pub use marks::{Mark, Marks};
pub use membership::{Incarnation, Lease, Membership, Node, RelayOffer};
pub use message::Message;
pub use occupancy::{Occupancy, Turn};
pub use post::{LETTER_BYTES_MAX, Letter, Letters, NotSent, Post};
pub use presence::{Change, Presence, Roster, Row, RowKey, Status};
pub use quota::{Quota, QuotaLimit};
pub use redis::{CircuitBreaker, Refused};
pub use sessions::{Base, BaseId, RoomRecord, SessionId, SessionRecord, Sessions, Taken};
pub use signal::{Command, Control, PresenceDelta, Signal, TypingChange};
pub use soon::Soon;

/// The whole plane as a node gets it. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    pub broker: Arc<dyn Broker>,
    pub sessions: Arc<dyn Sessions>,
    pub membership: Arc<dyn Membership>,
    pub presence: Arc<dyn Presence>,
    pub marks: Arc<dyn Marks>,
    pub directory: Arc<dyn Directory>,
    pub quota: Arc<dyn Quota>,
    pub occupancy: Arc<dyn Occupancy>,
    pub post: Arc<dyn Post>,
    pub bulletin: Arc<dyn Bulletin>,
    /// How the plane is, for health pages and readiness.
    pub condition: watch::Receiver<Condition>,
}

/// A page of a listing, and where the next begins; without that it was the last.
pub type Paged<T> = (Vec<T>, Option<String>);

/// How the plane is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Condition {
    /// What keeps this node from serving users well, in words for operators; none when all is well.
    pub faults: Vec<String>,
    /// One for each part that can fail on its own (a master of Redis).
    pub breakers: Vec<Breaker>,
}

/// Whether requests to a part are let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breaker {
    pub name: String,
    pub state: BreakerState,
    /// Failures in a row.
    pub failures: u64,
    /// When the next request is let through, if it is open.
    pub retry_after_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    Closed,
    HalfOpen,
    Open,
}

/// The plane, or the part of it that the request needed, cannot answer now. The same request may be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cluster is unavailable")]
pub struct Unavailable {
    pub retry_after_ms: u64,
}
