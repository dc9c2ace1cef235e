//! Values that can tell who a person is. The record holds a commitment, the value and its salt lie beside it and are not part
//! of the hash: taken away later, nothing of the chain changes, and without the salt nobody can find the value by trying.
//! Pure.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

pub(crate) const SALT_BYTES: usize = 16;

/// Fresh for every value, so that two records of one person cannot be told to be so once both are erased.
pub(crate) type Salt = [u8; SALT_BYTES];

/// Where personal values stand in a record, in the order of their names.
pub(crate) const FIELDS: [&str; 4] = ["actor.user", "connection.address", "connection.agent", "object.id"];

/// HMAC-SHA-256 under the salt, of the field's name, a line feed and the value.
pub(crate) fn commitment(salt: &[u8], field: &str, value: &str) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, salt));
    context.update(field.as_bytes());
    context.update(b"\n");
    context.update(value.as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(context.sign())
}

pub(crate) fn written(salt: &Salt) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(salt)
}

/// Whether the value and salt that lie beside a record are those that it was written with.
pub(crate) fn fits(salt: &str, field: &str, value: &str, committed: &str) -> bool {
    BASE64_URL_SAFE_NO_PAD
        .decode(salt)
        .is_ok_and(|salt| salt.len() == SALT_BYTES && commitment(&salt, field, value) == committed)
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
