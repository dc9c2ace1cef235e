//! Values that can tell who a person is. The record holds a commitment, the value and its salt lie beside it and are not part
//! of the hash: taken away later, nothing of the chain changes, and without the salt nobody can find the value by trying.
//! Pure.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::digest::Digest;

pub(crate) const SALT_BYTES: usize = 16;

/// Fresh for every value, so that two records of one person cannot be told to be so once both are erased.
pub(crate) type Salt = [u8; SALT_BYTES];

/// Where personal values stand in a record, in the order of their names.
pub(crate) const FIELDS: [&str; 4] = ["actor.user", "connection.address", "connection.agent", "object.id"];

/// HMAC-SHA-256 under the salt, of the field's name, a line feed and the value.
pub(crate) fn commitment(salt: &Salt, field: &str, value: &str) -> String {
    // RFC 2104, 2. A salt is used once, so that a keyed context would be made for a single value, at twice the cost.
    const BLOCK_BYTES: usize = 64;
    let padded = |pad: u8| {
        let mut key = [pad; BLOCK_BYTES];
        key.iter_mut().zip(salt).for_each(|(byte, salt)| *byte ^= salt);
        key
    };
    let inner = Digest::of(&[&padded(0x36), field.as_bytes(), b"\n", value.as_bytes()]);
    BASE64_URL_SAFE_NO_PAD.encode(Digest::of(&[&padded(0x5c), &inner.0]).0)
}

pub(crate) fn written(salt: &Salt) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(salt)
}

/// Whether the value and salt that lie beside a record are those that it was written with.
pub(crate) fn fits(salt: &str, field: &str, value: &str, committed: &str) -> bool {
    BASE64_URL_SAFE_NO_PAD
        .decode(salt)
        .is_ok_and(|salt| Salt::try_from(salt).is_ok_and(|salt| commitment(&salt, field, value) == committed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_value_field_and_salt_fit() {
        let salt = [7; SALT_BYTES];
        let committed = commitment(&salt, "actor.user", "alice");
        // printf 'actor.user\nalice' | openssl dgst -sha256 -mac HMAC -macopt hexkey:07070707070707070707070707070707
        assert_eq!(committed, "VNhuF7N47BTt_5Wo74-LcvQlpapdioh34mArXIkDxtc");
        assert!(fits(&written(&salt), "actor.user", "alice", &committed));
        assert!(!fits(&written(&salt), "actor.user", "alicf", &committed));
        assert!(!fits(&written(&salt), "object.id", "alice", &committed));
        assert!(!fits(&written(&[8; SALT_BYTES]), "actor.user", "alice", &committed));
        assert!(!fits("", "actor.user", "alice", &committed));
    }
}
