//! Names and who owns them, in buckets. A lease is judged by the clock of the Redis process that has the bucket.

use std::sync::Arc;

use fred::types::Value;

use super::access::{Access, bucket_of, bytes_of, incarnation};
use super::keys::Keys;
use super::reply;
use crate::{Claim, Claimed, Directory, Paged, Soon, Unavailable};

/// Names spread over all masters, and a listing asks for all buckets: few enough for that.
pub(crate) const BUCKETS: u64 = 64;

/// The order of a listing ends behind every name, because no text has this byte.
const BEHIND_ALL: u8 = 0xff;

pub(crate) struct RedisDirectory {
    access: Arc<Access>,
}

impl RedisDirectory {
    pub(crate) fn new(access: Arc<Access>) -> Self {
        Self { access }
    }
}

/// Names, their order, and what the bucket as a whole remembers.
pub(crate) fn bucket_keys(keys: &Keys, bucket: u64) -> [String; 3] {
    ["names", "order", "meta"].map(|what| format!("{{{}:d{bucket}}}:{what}", keys.prefix()))
}

impl Directory for RedisDirectory {
    fn claim(&self, claim: &Claim) -> Soon<Result<Claimed, Unavailable>> {
        let access = Arc::clone(&self.access);
        let keys = bucket_keys(&access.keys, bucket_of(&claim.name, BUCKETS));
        let args = vec![
            access.own_bytes(),
            bytes_of(&claim.name),
            bytes_of(claim.lease_ms),
            bytes_of(&claim.value),
            claim.over.map(|over| bytes_of(over.owner)).unwrap_or_default(),
            claim.over.map(|over| bytes_of(over.unrenewed_ms)).unwrap_or_default(),
        ];
        Soon::later(async move {
            access
                .call("turnpike_directory_claim", &keys, args, |answer| claimed(reply::array(answer)?))
                .await
        })
    }

    fn release(&self, name: &str, fence: u64) -> Soon<Result<(), Unavailable>> {
        let access = Arc::clone(&self.access);
        let keys = bucket_keys(&access.keys, bucket_of(name, BUCKETS));
        let args = vec![access.own_bytes(), bytes_of(name), bytes_of(fence)];
        Soon::later(async move {
            access.call("turnpike_directory_release", &keys, args, reply::number).await.map(drop)
        })
    }

    fn find(&self, name: &str) -> Soon<Result<Option<Claimed>, Unavailable>> {
        let access = Arc::clone(&self.access);
        let keys = bucket_keys(&access.keys, bucket_of(name, BUCKETS));
        let args = vec![bytes_of(name)];
        Soon::later(async move {
            access.find("turnpike_directory_find", &keys, args, |answer| claimed(reply::array(answer)?)).await
        })
    }

    fn list(
        &self,
        prefix: &str,
        cursor: &str,
        max: usize,
    ) -> Soon<Result<Paged<(String, Claimed)>, Unavailable>> {
        let access = Arc::clone(&self.access);
        let (prefix, max) = (prefix.to_owned(), max.max(1));
        let (mut bucket, mut after) = place(cursor);
        Soon::later(async move {
            let mut found = Vec::new();
            while bucket < BUCKETS {
                let wanted = max - found.len();
                let keys = bucket_keys(&access.keys, bucket);
                let from = after.take().map_or_else(|| format!("[{prefix}"), |name| format!("({name}"));
                let mut to = format!("({prefix}").into_bytes();
                to.push(BEHIND_ALL);
                let args = vec![from.into(), to.into(), bytes_of(wanted)];
                let (last, names) = access.call("turnpike_directory_list", &keys, args, listed).await?;
                found.extend(names);
                if found.len() >= max {
                    return Ok((found, Some(format!("{bucket}.{last}"))));
                }
                if last.is_empty() {
                    bucket += 1;
                } else {
                    // Some that were looked at may have lapsed, so there may be more.
                    after = Some(last);
                }
            }
            Ok((found, None))
        })
    }
}

/// Where a listing goes on: the bucket and the last name of it, if any.
fn place(cursor: &str) -> (u64, Option<String>) {
    let (bucket, last) = cursor.split_once('.').unwrap_or((cursor, ""));
    (bucket.parse().unwrap_or(0), (!last.is_empty()).then(|| last.to_owned()))
}

fn claimed(words: &[Value]) -> Option<Claimed> {
    let [owner, fence, value] = words else { return None };
    Some(Claimed {
        owner: incarnation(reply::text(owner)?)?,
        fence: reply::number(fence)?,
        value: reply::text(value)?.to_owned(),
    })
}

fn listed(answer: &Value) -> Option<(String, Vec<(String, Claimed)>)> {
    let (last, words) = reply::array(answer)?.split_first()?;
    let names = words
        .chunks(4)
        .map(|words| {
            let (name, rest) = words.split_first()?;
            Some((reply::text(name)?.to_owned(), claimed(rest)?))
        })
        .collect::<Option<_>>()?;
    Some((reply::text(last)?.to_owned(), names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_names_a_bucket_and_a_name() {
        assert_eq!(place(""), (0, None));
        assert_eq!(place("7."), (7, None));
        assert_eq!(place("7.stream.one"), (7, Some("stream.one".to_owned())));
        assert_eq!(place("x"), (0, None));
    }
}
