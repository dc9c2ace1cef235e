//! What is written down: every kind of event, once, with what follows from it. Pure.
//!
//! The tables of docs/audit.md are held against this one by a test.

use serde::{Deserialize, Serialize};

/// Whether the effect waits for the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Access or an admin's action: it takes effect only after its record is on disk. Use [`Audit::decide`](crate::Audit::decide).
    Durable,
    /// The first of its kind, reason and origin as [`Durable`](Self::Durable); those that follow within
    /// [`MERGE_WINDOW`](crate::MERGE_WINDOW) are merged. For what anybody can bring about as often as they like.
    First,
    /// It follows soon after. Use [`Audit::note`](crate::Audit::note).
    Soon,
    /// Merged by whom and what for [`MERGE_WINDOW`](crate::MERGE_WINDOW), with a count.
    Merged,
    /// Written by the log itself.
    Own,
}

/// How much it matters, as in OCSF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    pub fn word(self) -> &'static str {
        ["info", "low", "medium", "high", "critical"][self as usize]
    }
}

macro_rules! kinds {
    ($($Kind:ident = $class:literal $activity:literal, $Severity:ident, $Wait:ident, ocsf $ocsf_class:literal $ocsf_activity:literal: $about:literal;)+) => {
        /// A kind of event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind { $(#[doc = $about] $Kind),+ }

        impl Kind {
            pub const ALL: &[Self] = &[$(Self::$Kind),+];

            pub fn class(self) -> &'static str {
                match self { $(Self::$Kind => $class),+ }
            }

            pub fn activity(self) -> &'static str {
                match self { $(Self::$Kind => $activity),+ }
            }

            /// Unless the event says another.
            pub fn severity(self) -> Severity {
                match self { $(Self::$Kind => Severity::$Severity),+ }
            }

            pub fn wait(self) -> Wait {
                match self { $(Self::$Kind => Wait::$Wait),+ }
            }

            /// One sentence for those who read the log.
            pub fn about(self) -> &'static str {
                match self { $(Self::$Kind => $about),+ }
            }

            /// Class and activity in OCSF 1.x.
            pub fn ocsf(self) -> (u32, u32) {
                match self { $(Self::$Kind => ($ocsf_class, $ocsf_activity)),+ }
            }

            /// `None` for what another version wrote.
            pub fn named(class: &str, activity: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.class() == class && kind.activity() == activity)
            }
        }
    };
}

kinds! {
    Login = "authentication" "login", Info, Durable, ocsf 3002 1: "A token was accepted and a user came in.";
    LoginFailed = "authentication" "login_failed", Medium, First, ocsf 3002 1: "A token or credential was refused; the reason says why.";
    Refreshed = "authentication" "refreshed", Info, Durable, ocsf 3002 4: "A connected user showed a new token.";
    Expired = "authentication" "expired", Info, Soon, ocsf 3002 2: "A token ended while its user was connected.";
    Revoked = "authentication" "revoked", Medium, Durable, ocsf 3002 2: "A token, a user's tokens or a connection were called back.";
    Denied = "authorization" "denied", Low, Merged, ocsf 3003 99: "A right was missing for what somebody tried.";
    ConnectionOpened = "connection" "opened", Info, Soon, ocsf 4001 1: "A connection was let in.";
    ConnectionClosed = "connection" "closed", Info, Soon, ocsf 4001 2: "A connection ended, with its reason and bytes.";
    OriginRefused = "connection" "origin_refused", Medium, Merged, ocsf 4001 5: "A page of another origin tried to connect.";
    AddressRefused = "connection" "address_refused", Medium, Merged, ocsf 4001 5: "An address on a deny list, or on no allow list, tried to connect.";
    CountryRefused = "connection" "country_refused", Medium, Merged, ocsf 4001 5: "An address of a country that is not served tried to connect.";
    LimitTripped = "limit" "tripped", Low, Merged, ocsf 6003 99: "A limit refused something.";
    Muted = "limit" "muted", Medium, Durable, ocsf 3005 99: "A user may not send for a while.";
    Disconnected = "limit" "disconnected", Medium, Durable, ocsf 4001 5: "A connection was closed for what it did.";
    BanPlaced = "ban" "placed", High, Durable, ocsf 3005 4: "A user or address is shut out, until when.";
    BanLifted = "ban" "lifted", Medium, Durable, ocsf 3005 3: "A ban was taken back.";
    BanExpired = "ban" "expired", Info, Soon, ocsf 3005 3: "A ban ended by itself.";
    Signalled = "detection" "signal", Low, Merged, ocsf 2004 99: "Something that speaks against somebody; the reason is the signal's name.";
    Detected = "detection" "found", High, Soon, ocsf 2004 1: "Behaviour crossed a threshold; the detail names the signals.";
    AdminIntent = "admin" "intent", Medium, Durable, ocsf 6003 99: "An operator is about to do something.";
    AdminResult = "admin" "result", Medium, Durable, ocsf 6003 99: "What came of it.";
    ConfigChanged = "config" "changed", Medium, Durable, ocsf 6002 99: "A setting is another than before.";
    KeyChanged = "key" "changed", High, Soon, ocsf 6002 99: "A key that tokens are checked with came, went or was replaced.";
    PublishStarted = "media" "publish_started", Info, Durable, ocsf 6003 1: "A stream of live video began.";
    PublishEnded = "media" "publish_ended", Info, Soon, ocsf 6003 4: "A stream of live video ended.";
    SubscribeStarted = "media" "subscribe_started", Info, Durable, ocsf 6003 2: "Somebody began to watch a stream.";
    SubscribeEnded = "media" "subscribe_ended", Info, Soon, ocsf 6003 99: "Somebody stopped watching.";
    TurnIssued = "turn" "issued", Info, Durable, ocsf 3002 99: "Credentials for a TURN server were given out.";
    LinkUp = "link" "up", Info, Soon, ocsf 4001 1: "Two nodes are linked.";
    LinkDown = "link" "down", Medium, Soon, ocsf 4001 2: "Two nodes lost each other.";
    BusForged = "link" "forged", Critical, Soon, ocsf 2004 1: "A message between nodes did not carry the right seal and was thrown away.";
    NodeStarted = "node" "started", Info, Durable, ocsf 6002 3: "A node began to serve.";
    NodeDraining = "node" "draining", Info, Soon, ocsf 6002 99: "A node lets nobody new in and sends the others away.";
    NodeStopped = "node" "stopped", Info, Soon, ocsf 6002 4: "A node has come to its end as intended.";
    NodeRecovered = "node" "recovered", Medium, Soon, ocsf 6002 3: "A node starts after an end that was not intended.";
    ClockOff = "node" "clock_off", Medium, Soon, ocsf 6002 99: "A node's clock differs from that of the cluster.";
    SegmentOpened = "log" "segment_opened", Info, Own, ocsf 1008 1: "A file of the log begins; the detail has what is needed to check it alone.";
    Checkpoint = "log" "checkpoint", Info, Own, ocsf 1008 99: "All records before this one, signed.";
    Anchor = "log" "anchor", Info, Soon, ocsf 1008 99: "A checkpoint of another node's log, kept here as a witness.";
    KeyIntroduced = "log" "key_introduced", High, Own, ocsf 1008 99: "The log is signed with another key from here on.";
    TornTail = "log" "torn_tail", Medium, Own, ocsf 1008 99: "A crash left a part of a record, which was put aside.";
    DamageFound = "log" "damage_found", Critical, Own, ocsf 1008 99: "Records that were signed are no longer readable; what was left of them was put aside.";
    Dropped = "log" "dropped", High, Own, ocsf 1008 99: "Records were not written because too many waited; how many of which class.";
    Gap = "log" "gap", Critical, Own, ocsf 1008 99: "The disk could not be written for a while; what is missing because of it.";
    DiskFull = "log" "disk_full", Critical, Own, ocsf 1008 99: "The disk is full; the log goes on in its reserve.";
    DiskFailed = "log" "disk_failed", Critical, Own, ocsf 1008 99: "The disk refused a write; the log goes on in another file.";
    DiskRecovered = "log" "disk_recovered", Medium, Own, ocsf 1008 99: "The disk can be written again.";
    Rewritten = "log" "rewritten", Medium, Own, ocsf 1008 3: "Personal values were erased from a file, or old records pruned: how many, and a digest of which.";
    Retired = "log" "retired", Medium, Own, ocsf 1008 4: "A file whose records were all past their age was removed.";
    Verified = "log" "verified", Info, Soon, ocsf 1008 2: "Somebody verified the log; what came of it.";
    Closed = "log" "closed", Info, Own, ocsf 1008 99: "The log ends here as intended.";
}

/// How it came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Success,
    Failure,
    /// Not allowed.
    Refused,
    /// Not known yet: the intent of an action.
    Pending,
}

impl Outcome {
    pub const ALL: [Self; 4] = [Self::Success, Self::Failure, Self::Refused, Self::Pending];

    pub fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Refused => "refused",
            Self::Pending => "pending",
        }
    }
}

/// The classes, each once, in the order of [`Kind::ALL`].
pub fn classes() -> Vec<&'static str> {
    let mut classes: Vec<_> = Kind::ALL.iter().map(|kind| kind.class()).collect();
    classes.dedup();
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_classes_stand_together() {
        for kind in Kind::ALL {
            assert_eq!(Kind::named(kind.class(), kind.activity()), Some(*kind));
        }
        let mut sorted = classes();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), classes().len());
    }
}
