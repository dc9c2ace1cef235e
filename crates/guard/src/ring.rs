//! The keys that count at this moment, and which of them a token can be signed with.
//!
//! Whoever finds out which keys there are (files, a key server) replaces all of them at once; whoever verifies sees the
//! keys of before or those of after, and waits for nobody.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use jsonwebtoken::Algorithm;
use smallvec::SmallVec;

use crate::key::TokenKey;
use crate::token::TokenError;

/// Keys at once. An issuer has two or three: one that signs, the one before, and the next.
pub const KEYS_MAX: usize = 64;

/// Keys that are tried for one token, so that a bad one costs no more than so many good ones. Who has more of a kind
/// gives them ids.
pub const KEYS_TRIED_MAX: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are {count} keys; expected at most {KEYS_MAX}")]
pub struct TooManyKeys {
    pub count: usize,
}

/// Clones share their keys.
#[derive(Clone)]
pub struct KeyRing(Arc<ArcSwap<Vec<TokenKey>>>);

impl KeyRing {
    pub fn new(keys: Vec<TokenKey>) -> Result<Self, TooManyKeys> {
        check(&keys)?;
        Ok(Self(Arc::new(ArcSwap::from_pointee(keys))))
    }

    /// The keys of before mean nothing from now on.
    pub fn replace(&self, keys: Vec<TokenKey>) -> Result<(), TooManyKeys> {
        check(&keys)?;
        self.0.store(Arc::new(keys));
        Ok(())
    }

    pub(crate) fn keys(&self) -> impl std::ops::Deref<Target = Arc<Vec<TokenKey>>> {
        self.0.load()
    }
}

fn check(keys: &[TokenKey]) -> Result<(), TooManyKeys> {
    if keys.len() > KEYS_MAX { Err(TooManyKeys { count: keys.len() }) } else { Ok(()) }
}

impl From<TokenKey> for KeyRing {
    fn from(key: TokenKey) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(vec![key])))
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyRing").field(&**self.keys()).finish()
    }
}

pub(crate) type Candidates<'a> = SmallVec<[&'a TokenKey; KEYS_TRIED_MAX]>;

/// The keys that a token with this header can be signed with, at least one.
pub(crate) fn candidates<'a>(
    keys: &'a [TokenKey],
    algorithm: Algorithm,
    id: Option<&str>,
) -> Result<Candidates<'a>, TokenError> {
    let named = |key: &TokenKey| id.is_some() && key.id() == id;
    let by_id = keys.iter().any(named);
    let mut found = Candidates::new();
    let mut has_algorithm = false;
    for key in keys {
        if key.algorithm != algorithm {
            continue;
        }
        has_algorithm |= !by_id;
        // A key that bears the name is meant and no other, whatever its algorithm is. Without a name all are.
        if if by_id { named(key) } else { id.is_none() || key.id.is_none() } {
            if found.len() == KEYS_TRIED_MAX {
                return Err(TokenError::AmbiguousKey);
            }
            found.push(key);
        }
    }
    match found.is_empty() {
        false => Ok(found),
        true if has_algorithm => Err(TokenError::UnknownKey),
        true => Err(TokenError::Algorithm),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(letter: u8, id: &str) -> TokenKey {
        let key = TokenKey::hs256(&[letter; 32]).unwrap();
        if id.is_empty() { key } else { key.with_id(id).unwrap() }
    }

    #[test]
    fn a_name_leads_to_its_key_and_to_those_without_a_name() {
        let keys = [key(b'a', "a"), key(b'b', "b"), key(b'c', ""), key(b'd', "b")];
        let found = |id: Option<&str>| -> Result<Vec<Option<&str>>, TokenError> {
            Ok(candidates(&keys, Algorithm::HS256, id)?.into_iter().map(TokenKey::id).collect())
        };
        assert_eq!(found(Some("a")), Ok(vec![Some("a")]));
        assert_eq!(found(Some("b")), Ok(vec![Some("b"), Some("b")]));
        assert_eq!(found(Some("x")), Ok(vec![None]));
        assert_eq!(found(None), Ok(vec![Some("a"), Some("b"), None, Some("b")]));
        assert_eq!(candidates(&keys, Algorithm::RS256, Some("a")).unwrap_err(), TokenError::Algorithm);
        assert_eq!(candidates(&keys[..2], Algorithm::HS256, Some("x")).unwrap_err(), TokenError::UnknownKey);
        assert_eq!(candidates(&[], Algorithm::HS256, None).unwrap_err(), TokenError::Algorithm);
        let many = [(); 5].map(|()| key(b'a', ""));
        assert_eq!(candidates(&many, Algorithm::HS256, None).unwrap_err(), TokenError::AmbiguousKey);
    }

    #[test]
    fn a_ring_has_an_end() {
        let ring = KeyRing::new(Vec::new()).unwrap();
        let many = vec![key(b'a', ""); KEYS_MAX + 1];
        assert_eq!(ring.replace(many), Err(TooManyKeys { count: KEYS_MAX + 1 }));
        assert!(ring.keys().is_empty());
    }
}
