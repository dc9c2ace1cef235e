//! Which rooms somebody is in, in buckets. What the dead have said is found by their names: whoever is named and does not
//! live, as far as can be known, is dead.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use fred::types::Value;
use turnpike_wire::RoomId;

use super::access::{Access, bucket_of, bytes_of, incarnation};
use super::keys::Keys;
use super::membership::Shared;
use super::reply;
use crate::{Incarnation, Occupancy, Soon, Turn, Unavailable};

/// Spread over all masters, and few enough to be looked through when somebody has died.
const BUCKETS: u64 = 64;
const ROOMS_PER_CALL: u32 = 200;

pub(crate) struct RedisOccupancy {
    access: Arc<Access>,
    shared: Arc<Shared>,
}

impl RedisOccupancy {
    pub(crate) fn new(access: Arc<Access>, shared: Arc<Shared>) -> Self {
        Self { access, shared }
    }

    fn change(
        &self,
        function: &'static str,
        room: &RoomId,
        occupied: bool,
    ) -> Soon<Result<Option<Turn>, Unavailable>> {
        let (access, keys) = (Arc::clone(&self.access), key_of(&self.access.keys, room));
        let args = vec![access.own_bytes(), bytes_of(room)];
        Soon::later(async move {
            let number = access.find(function, &keys, args, reply::number).await?;
            Ok(number.map(|number| Turn { occupied, number }))
        })
    }
}

impl Occupancy for RedisOccupancy {
    fn is_shared(&self) -> bool {
        true
    }

    fn enter(&self, room: &RoomId) -> Soon<Result<Option<Turn>, Unavailable>> {
        self.change("turnpike_occupancy_enter", room, true)
    }

    fn leave(&self, room: &RoomId) -> Soon<Result<Option<Turn>, Unavailable>> {
        self.change("turnpike_occupancy_leave", room, false)
    }

    fn told(&self, room: &RoomId, turn: Turn) -> Soon<Result<(), Unavailable>> {
        let (access, keys) = (Arc::clone(&self.access), key_of(&self.access.keys, room));
        let args = vec![access.own_bytes(), bytes_of(room), bytes_of(turn.number)];
        Soon::later(async move {
            access.call("turnpike_occupancy_told", &keys, args, reply::number).await.map(drop)
        })
    }

    fn take_over(&self) -> Soon<Result<Vec<(RoomId, Turn)>, Unavailable>> {
        let (access, shared) = (Arc::clone(&self.access), Arc::clone(&self.shared));
        Soon::later(async move {
            let named = named(&access).await?;
            // Read afterwards: whoever had joined by the time that they were named is among the living then.
            shared.refreshed().await;
            let living = shared.expected();
            let dead: Vec<Incarnation> = named.into_iter().filter(|one| !living.contains(one)).collect();
            if dead.is_empty() { Ok(Vec::new()) } else { take_over(&access, &dead).await }
        })
    }
}

async fn named(access: &Access) -> Result<HashSet<Incarnation>, Unavailable> {
    let mut named = HashSet::new();
    for bucket in 0..BUCKETS {
        let keys = [bucket_key(&access.keys, bucket)];
        let mut cursor = "0".to_owned();
        loop {
            let args = vec![bytes_of(&cursor), bytes_of(ROOMS_PER_CALL)];
            let (next, found) = access.call("turnpike_occupancy_named", &keys, args, names).await?;
            named.extend(found);
            if next == "0" {
                break;
            }
            cursor = next;
        }
    }
    Ok(named)
}

async fn take_over(access: &Access, dead: &[Incarnation]) -> Result<Vec<(RoomId, Turn)>, Unavailable> {
    let dead: Vec<Bytes> = dead.iter().map(bytes_of).collect();
    let mut left = Vec::new();
    for bucket in 0..BUCKETS {
        let keys = [bucket_key(&access.keys, bucket)];
        let mut cursor = "0".to_owned();
        loop {
            let mut args = vec![access.own_bytes(), bytes_of(&cursor), bytes_of(ROOMS_PER_CALL)];
            args.extend(dead.iter().cloned());
            let (next, found) = access.call("turnpike_occupancy_take_over", &keys, args, turns).await?;
            left.extend(found);
            if next == "0" {
                break;
            }
            cursor = next;
        }
    }
    Ok(left)
}

fn bucket_key(keys: &Keys, bucket: u64) -> String {
    format!("{{{}:o{bucket}}}", keys.prefix())
}

fn key_of(keys: &Keys, room: &RoomId) -> [String; 1] {
    [bucket_key(keys, bucket_of(room.as_str(), BUCKETS))]
}

fn names(answer: &Value) -> Option<(String, Vec<Incarnation>)> {
    let (next, names) = reply::array(answer)?.split_first()?;
    let names = names.iter().filter_map(|name| incarnation(reply::text(name)?)).collect();
    Some((reply::text(next)?.to_owned(), names))
}

fn turns(answer: &Value) -> Option<(String, Vec<(RoomId, Turn)>)> {
    let (next, words) = reply::array(answer)?.split_first()?;
    let turns = words
        .chunks(3)
        .map(|words| {
            let [room, state, number] = words else { return None };
            let occupied = reply::text(state)? == "o";
            Some((RoomId::parse(reply::text(room)?).ok()?, Turn { occupied, number: reply::number(number)? }))
        })
        .collect::<Option<_>>()?;
    Some((reply::text(next)?.to_owned(), turns))
}
