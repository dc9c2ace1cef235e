//! In which of the 16,384 slots of a Redis Cluster a key lies.

use fred::util::redis_keyslot;

/// Of a key or a shard channel: of what stands between its first braces, if it has any.
pub(crate) fn slot_of(key: &str) -> u16 {
    redis_keyslot(key.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        // As `CLUSTER KEYSLOT` of Redis 7.0 answers.
        for (key, slot) in [("foo", 12182), ("bar", 5061), ("", 0), ("123456789", 12739)] {
            assert_eq!(slot_of(key), slot, "{key}");
        }
        assert_eq!(slot_of("{tp:l7}:meta"), slot_of("{tp:l7}:log:chat:a"));
        assert_eq!(slot_of("{tp:l7}:meta"), slot_of("tp:l7"));
        assert_eq!(slot_of("{}a"), redis_keyslot(b"{}a"));
        assert_ne!(slot_of("{}a"), slot_of("{}b"), "empty braces are no tag");
    }
}
