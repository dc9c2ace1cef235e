//! Which node owns a name: a lease with a number that only rises, so that a late owner can be told from the present one.

use crate::{Incarnation, Paged, Soon, Unavailable};

pub trait Directory: Send + Sync + 'static {
    /// Takes the name for this node, or renews it, for that long. Another's valid claim is not taken away.
    fn claim(&self, claim: &Claim) -> Soon<Result<Claimed, Unavailable>>;

    /// Gives the name back, if the claim with this number still holds.
    fn release(&self, name: &str, fence: u64) -> Soon<Result<(), Unavailable>>;

    fn find(&self, name: &str) -> Soon<Result<Option<Claimed>, Unavailable>>;

    /// All names with this prefix that are claimed, a page at a time; see `Broker::rooms` for the cursor.
    fn list(
        &self,
        prefix: &str,
        cursor: &str,
        max: usize,
    ) -> Soon<Result<Paged<(String, Claimed)>, Unavailable>>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub name: String,
    pub lease_ms: u64,
    /// What the finder is told.
    pub value: String,
    /// A claim of this one does not hold any more, though its time is not over: its lease among the nodes has lapsed.
    pub over: Option<Incarnation>,
}

/// Who has the name now; after a claim that is the caller, or the one who was first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    pub owner: Incarnation,
    /// Higher than that of any earlier owner.
    pub fence: u64,
    pub value: String,
}
