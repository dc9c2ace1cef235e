//! Session records and bases.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use fred::types::Value;
use futures_util::FutureExt;
use tokio::sync::{mpsc, watch};

use super::access::{Access, bucket_of, bytes_of, incarnation};
use super::address::Address;
use super::bases::{Bases, Found};
use super::keys::Keys;
use super::slot::slot_of;
use super::{frame, record, reply};
use crate::{
    Base, BaseId, Control, Incarnation, Node, SessionId, SessionRecord, Sessions, Soon, Taken, Unavailable,
};

/// Small enough hashes that one batch of a sweep is nothing to its process, few enough that a sweep is a thousand calls.
pub(crate) const BUCKETS: u64 = 1_024;

/// Beyond the recovery window: a ticket is valid up to its last second, and a base is up to ten older than the last
/// offset against it.
const BASE_SLACK: Duration = Duration::from_mins(1);

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
        access.runtime.spawn(doubt(Arc::downgrade(&access)));
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

    fn doubts(&self) -> watch::Receiver<u64> {
        self.access.doubts.subscribe()
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
            let kept = access.find("turnpike_session_take", &keys, args, kept).await?;
            // A record that cannot be read is as good as none.
            let taken =
                kept.and_then(|(from, packed)| Some(Taken { record: record::unpack(&packed)?, from }));
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
                let answer = access.find("turnpike_base_get", &keys, Vec::new(), base).await;
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

/// The owner, and the record behind it.
fn kept(answer: &Value) -> Option<(Incarnation, Bytes)> {
    let mut kept = reply::bytes(answer)?;
    (kept.len() >= 16).then_some(())?;
    let packed = kept.split_off(16);
    Some((incarnation(std::str::from_utf8(&kept).ok()?)?, packed))
}

fn base(answer: &Value) -> Option<Base> {
    record::unpack_base(&reply::bytes(answer)?)
}

/// A master with records need not have a lane, whose epoch would say that another has taken over.
async fn doubt(access: Weak<Access>) {
    let owners = |access: &Access| -> Vec<Option<Address>> {
        let topology = access.client.surveyor.topology();
        let owner = |bucket| {
            topology.master(slot_of(&bucket_key(&access.keys, bucket))).map(|master| master.address.clone())
        };
        (0..BUCKETS).map(owner).collect()
    };
    let (mut topology, mut known) = {
        let Some(access) = access.upgrade() else { return };
        (access.client.surveyor.watch(), owners(&access))
    };
    while topology.changed().await.is_ok() {
        let Some(access) = access.upgrade() else { return };
        let now = access.client.surveyor.topology();
        let found = owners(&access);
        // A slot that moved was moved with what is in it, and who gave it away is a master still.
        let is_replaced = |(before, after): (&Option<Address>, &Option<Address>)| {
            after.is_some()
                && before != after
                && before.as_ref().is_some_and(|before| now.at(before).is_none())
        };
        if known.iter().zip(&found).any(is_replaced) {
            access.doubt();
        }
        for (known, found) in known.iter_mut().zip(found) {
            // Who was there before nobody was is what the next is compared with.
            if found.is_some() {
                *known = found;
            }
        }
    }
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
            let (access, channel) = (&access, access.keys.node(owner));
            let control = frame::control(&access.seal.at(&channel), &Control::Taken { session });
            async move {
                if access.client.spublish(&channel, control).await.is_err() {
                    access.client.metrics.signals_dropped.inc();
                }
            }
        });
        futures_util::future::join_all(told).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_the_owner_and_the_record() {
        let answer = |text: &'static [u8]| Value::Bytes(Bytes::from_static(text));
        let whole = answer(b"0000000000000007\x01record");
        assert_eq!(kept(&whole), Some((Incarnation(7), Bytes::from_static(b"\x01record"))));
        assert_eq!(kept(&answer(b"0000000000000007")), Some((Incarnation(7), Bytes::new())));
        for text in [&b"00"[..], b"", b"no incarnation at all"] {
            assert_eq!(kept(&answer(text)), None);
        }
        assert_eq!(base(&answer(b"\x01")), None);
    }
}
