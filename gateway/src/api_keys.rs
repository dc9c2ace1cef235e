//! Keys that let a backend ask over HTTP without a token: long random texts, known to the node as digests alone.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

/// Whoever shows one of them may do what a token of the role `service` lets them do.
#[derive(Clone, Default)]
pub struct ApiKeys(Vec<[u8; SHA256_OUTPUT_LEN]>);

impl ApiKeys {
    /// An empty key is none: it would let everybody in.
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self(keys.into_iter().filter(|key| !key.is_empty()).map(of).collect())
    }

    /// Takes as long for a key that is nearly right as for one that is not, and whichever of them it is.
    pub(crate) fn hold(&self, shown: &[u8]) -> bool {
        let shown = of(shown);
        self.0.iter().fold(false, |found, key| verify_slices_are_equal(key, &shown).is_ok() | found)
    }
}

/// Digests have one length, so that of the key is not told either.
fn of(key: &[u8]) -> [u8; SHA256_OUTPUT_LEN] {
    digest(&SHA256, key).as_ref().try_into().expect("a digest of SHA-256 has this length")
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeys({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_whole_or_not_at_all() {
        let keys = ApiKeys::new([&b"first"[..], b"", b"second"]);
        assert!(keys.hold(b"first") && keys.hold(b"second"));
        for other in [&b""[..], b"f", b"firs", b"first ", b"First", b"firstsecond"] {
            assert!(!keys.hold(other), "{other:?}");
        }
        assert!(!ApiKeys::default().hold(b"") && !ApiKeys::new([&b""[..]]).hold(b""));
        assert_eq!(format!("{keys:?}"), "ApiKeys(2)");
    }
}
