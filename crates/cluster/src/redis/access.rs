//! What every store needs: Redis, its names there, and the node that it serves.

use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use fred::types::Value;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tracing::error;
use turnpike_wire::RoomId;

use super::client::Client;
use super::config::Report;
use super::keys::Keys;
use super::lanes::Lanes;
use super::reply;
use super::seal::Seal;
use super::versions::Versions;
use crate::letterboxes::Letterboxes;
use crate::{Deliver, Incarnation, PresenceDelta, Unavailable};

pub(crate) struct Access {
    pub(crate) client: Arc<Client>,
    pub(crate) keys: Keys,
    pub(crate) own: Incarnation,
    pub(crate) seal: Seal,
    /// Where the plane's own tasks run; who asks may be on another one, which ends earlier.
    pub(crate) runtime: Handle,
    /// Set when the broker is started; nothing is told before.
    pub(crate) deliver: OnceLock<Arc<dyn Deliver>>,
    /// The way to it: what is of a lane comes in turn.
    pub(crate) lanes: OnceLock<Weak<Lanes>>,
    /// Changes when what is written without waiting for replicas may be lost.
    pub(crate) doubts: watch::Sender<u64>,
    pub(crate) versions: Versions,
    /// Who on this node listens for which letters.
    pub(crate) letterboxes: Letterboxes,
    /// Something was posted.
    pub(crate) posted: Notify,
}

impl Access {
    /// Calls a function that may be called twice, and has `parse` make something of the answer.
    pub(crate) async fn call<T>(
        &self,
        function: &'static str,
        keys: &[String],
        args: Vec<Bytes>,
        parse: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<T, Unavailable> {
        // Boxed, or the futures of all who call would be as large as that of a connection being made.
        let answer = Box::pin(self.client.call(function, keys, args)).await?;
        parse(&answer).ok_or_else(|| self.unexpected(function))
    }

    /// The same for a function that may find nothing.
    pub(crate) async fn find<T>(
        &self,
        function: &'static str,
        keys: &[String],
        args: Vec<Bytes>,
        parse: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, Unavailable> {
        let answer = Box::pin(self.client.call(function, keys, args)).await?;
        if reply::is_nil(&answer) {
            return Ok(None);
        }
        parse(&answer).map(Some).ok_or_else(|| self.unexpected(function))
    }

    /// Redis runs somebody else's function of that name, or one of another version of ours.
    pub(crate) fn unexpected(&self, function: &'static str) -> Unavailable {
        self.client.metrics.undecodable.inc();
        error!(function, "Redis gave an answer that the function does not give");
        Unavailable { retry_after_ms: 1_000 }
    }

    /// Something came that no node of this cluster has made, or that it made for another place.
    pub(crate) fn forged(&self, kind: &'static str) {
        self.client.metrics.forged.with_label_values(&[kind]).inc();
        if let Some(report) = &self.client.config.report {
            report(Report::Forged { kind });
        }
    }

    /// What the bus brings of presence goes through here before it is delivered. Of this node's own changes only the
    /// version is news: they were told when they were made, and there may be newer ones.
    pub(crate) fn hear(&self, room: &RoomId, delta: &mut PresenceDelta) {
        if delta.incarnation == self.own && !delta.gone {
            delta.rows.clear();
        }
        if let Some(version) = delta.version {
            self.versions.heard(room, version);
        }
    }

    /// A process was replaced by one that need not have the latest, or has lost it itself.
    pub(crate) fn doubt(&self) {
        self.doubts.send_modify(|doubts| *doubts += 1);
    }

    pub(crate) fn own_bytes(&self) -> Bytes {
        self.own.to_string().into()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "what is written down may be borrowed or not")]
pub(crate) fn bytes_of(text: impl ToString) -> Bytes {
    text.to_string().into()
}

/// As it stands in keys and arguments.
pub(crate) fn incarnation(text: &str) -> Option<Incarnation> {
    (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok().map(Incarnation)).flatten()
}

/// Which of so many a name belongs to: the same on every node and in every run.
pub(crate) fn bucket_of(name: &str, buckets: u64) -> u64 {
    (crate::fnv::mixed(name) >> 32) % buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incarnations_come_back_from_text() {
        let one = Incarnation(0x1f_ffff_ffff_ffff);
        assert_eq!(incarnation(&one.to_string()), Some(one));
        for text in ["", "1", "00000000000000zz", "+000000000000001x"] {
            assert_eq!(incarnation(text), None, "{text}");
        }
    }

    #[test]
    fn names_spread_over_all_buckets() {
        let mut counts = [0; 64];
        for number in 0..6_400 {
            counts[bucket_of(&format!("session-{number}"), 64) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (60..150).contains(count)), "{counts:?}");
        // Records must be found again by a later release.
        assert_eq!(bucket_of("abc", 1024), bucket_of("abc", 1024));
    }
}
