//! Session records and bases.

use std::sync::Arc;
use std::time::Duration;

use fred::types::Value;
use futures_util::FutureExt;
use tokio::sync::{mpsc, watch};

use super::access::{Access, bucket_of, bytes_of, incarnation};
use super::bases::{Bases, Found};
use super::keys::Keys;
use super::{frame, record, reply};
use crate::{
    Base, BaseId, Control, Incarnation, Node, SessionId, SessionRecord, Sessions, Soon, Taken, Unavailable,
};

/// Small enough hashes that one batch of a sweep is nothing to its process, few enough that a sweep is a thousand calls.
pub(crate) const BUCKETS: u64 = 1_024;

/// Beyond the recovery window: a ticket is valid up to its last second, and a base is up to ten older than the last
/// offset against it.
const BASE_SLACK: Duration = Duration::from_secs(60);

/// Former owners that are still to be told. When it is full one is not told: it learns at its next `put`.
const NOTICES_MAX: usize = 16_384;

/// Under way at once.
const NOTICES_AT_ONCE: usize = 64;

pub(crate) struct RedisSessions {
    access: Arc<Access>,
    bases: Arc<Bases>,
    notices: mpsc::Sender<(Incarnation, SessionId)>,
}

impl RedisSessions {
    /// `nodes` says who lives and can be told something.
    pub(crate) fn new(access: Arc<Access>, nodes: watch::Receiver<Arc<[Node]>>) -> Self {
        let (notices, queue) = mpsc::channel(NOTICES_MAX);
        access.runtime.spawn(tell(Arc::clone(&access), nodes, queue));
        Self { access, bases: Arc::default(), notices }
    }

    fn key(&self, id: &SessionId) -> [String; 1] {
        [bucket_key(&self.access.keys, bucket_of(id, BUCKETS))]
    }

    fn base_key(&self, id: BaseId) -> [String; 1] {
        [format!("{{{}:b:{:016x}}}", self.access.keys.prefix(), id.0)]
    }
}

pub(crate) fn bucket_key(keys: &Keys, bucket: u64) -> String {
    format!("{{{}:s{bucket}}}", keys.prefix())
}

impl Sessions for RedisSessions {
    fn outlive_the_process(&self) -> bool {
        true
    }

    fn put(&self, id: &SessionId, record: &SessionRecord) -> Soon<Result<bool, Unavailable>> {
        let (access, keys) = (Arc::clone(&self.access), self.key(id));
        let args = vec![access.own_bytes(), bytes_of(id), record::pack(record)];
        Soon::later(async move {
            let kept = access.call("turnpike_session_put", &keys, args, reply::number).await?;
            Ok(kept == 1)
        })
    }

    /// One command, whoever had it.
    fn take(&self, id: &SessionId) -> Soon<Result<Option<Taken>, Unavailable>> {
        let (access, keys) = (Arc::clone(&self.access), self.key(id));
        let (notices, id) = (self.notices.clone(), id.clone());
        Soon::later(async move {
            let args = vec![access.own_bytes(), bytes_of(&id)];
            let taken = access.call("turnpike_session_take", &keys, args, taken).await?;
            if let Some(taken) = &taken
                && taken.from != access.own
                && notices.try_send((taken.from, id)).is_err()
            {
                access.client.metrics.signals_dropped.inc();
            }
            Ok(taken)
        })
    }

    fn remove(&self, id: &SessionId) -> Soon<Result<(), Unavailable>> {
        let (access, keys) = (Arc::clone(&self.access), self.key(id));
        let args = vec![access.own_bytes(), bytes_of(id)];
        Soon::later(async move {
            access.call("turnpike_session_remove", &keys, args, reply::number).await.map(drop)
        })
    }

    fn put_base(&self, id: BaseId, base: &Base) -> Soon<Result<(), Unavailable>> {
        let (access, keys) = (Arc::clone(&self.access), self.base_key(id));
        let (bases, base) = (Arc::clone(&self.bases), *base);
        let life = access.client.config.recovery_window + BASE_SLACK;
        let args = vec![record::pack_base(&base), bytes_of(life.as_millis())];
        Soon::later(async move {
            access.call("turnpike_base_put", &keys, args, reply::number).await?;
            bases.keep(id, base);
            Ok(())
        })
    }

    fn base(&self, id: BaseId) -> Soon<Result<Option<Base>, Unavailable>> {
        let fetch = || {
            let (access, keys) = (Arc::clone(&self.access), self.base_key(id));
            let bases = Arc::clone(&self.bases);
            async move {
                let answer = access.call("turnpike_base_get", &keys, Vec::new(), base).await;
                bases.fetched(id, &answer);
                answer
            }
            .boxed()
        };
        match self.bases.find(id, fetch) {
            Found::Here(base) => Soon::Now(Ok(Some(base))),
            Found::Fetching(fetch) => Soon::later(fetch),
        }
    }
}

/// What is kept: the owner, and the record behind it. A record that cannot be read is as good as none.
fn taken(answer: &Value) -> Option<Option<Taken>> {
    if reply::is_nil(answer) {
        return Some(None);
    }
    let kept = reply::bytes(answer)?;
    let (owner, packed) = kept.split_at_checked(16)?;
    let from = incarnation(std::str::from_utf8(owner).ok()?)?;
    Some(record::unpack(packed).map(|record| Taken { record, from }))
}

fn base(answer: &Value) -> Option<Option<Base>> {
    if reply::is_nil(answer) {
        return Some(None);
    }
    record::unpack_base(&reply::bytes(answer)?).map(Some)
}

/// Tells former owners, as long as the store lives. Of those that are dead nobody listens.
async fn tell(
    access: Arc<Access>,
    nodes: watch::Receiver<Arc<[Node]>>,
    mut queue: mpsc::Receiver<(Incarnation, SessionId)>,
) {
    let mut some = Vec::new();
    while queue.recv_many(&mut some, NOTICES_AT_ONCE).await > 0 {
        let living = Arc::clone(&nodes.borrow());
        some.retain(|(owner, _)| living.iter().any(|node| node.incarnation == *owner));
        let told = some.drain(..).map(|(owner, session)| {
            let (access, control) = (&access, frame::control(&Control::Taken { session }));
            async move {
                if access.client.spublish(&access.keys.node(owner), control).await.is_err() {
                    access.client.metrics.signals_dropped.inc();
                }
            }
        });
        futures_util::future::join_all(told).await;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use turnpike_wire::UserId;

    use super::*;

    #[test]
    fn an_answer_is_the_owner_and_the_record() {
        let user = UserId::parse("alice").unwrap();
        let record = SessionRecord { user, identity: "{}".into(), rooms: Vec::new() };
        let mut kept = Incarnation(7).to_string().into_bytes();
        kept.extend(record::pack(&record));
        assert_eq!(taken(&Value::Bytes(kept.into())), Some(Some(Taken { record, from: Incarnation(7) })));
        assert_eq!(taken(&Value::Null), Some(None));
        let unreadable = Bytes::from_static(b"0000000000000007\x09");
        assert_eq!(taken(&Value::Bytes(unreadable)), Some(None), "a session of another release is lost");
        assert_eq!(taken(&Value::Bytes(Bytes::from_static(b"00"))), None);
    }
}
