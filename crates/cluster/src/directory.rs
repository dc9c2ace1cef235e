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
    /// For less than a day, it is over when its node is dead. For longer, only when its time is: what is to be known of a node
    /// that may be gone.
    pub lease_ms: u64,
    /// What the finder is told.
    pub value: String,
    /// Whose claim does not hold any more, though its time is not over.
    pub over: Option<Over>,
}

/// A node whose lease is known to have lapsed. It may be back since without the claimant knowing, so its claim is over only if
/// it was not renewed for so long: more than the time in which an owner that lives renews it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over {
    pub owner: Incarnation,
    pub unrenewed_ms: u64,
}

/// Who has the name now; after a claim that is the caller, or the one who was first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    pub owner: Incarnation,
    /// Higher than that of any earlier owner.
    pub fence: u64,
    pub value: String,
}
