//! A set of keys as an issuer publishes it (RFC 7517 5): which of them tokens can be signed with here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::json::is_shallow;
use crate::key::{KeyError, TokenKey};

pub const JWKS_BYTES_MAX: usize = 64 * 1024;

/// Keys of one set that are used. A set with more is not one of an issuer that somebody looks after.
pub const JWKS_KEYS_MAX: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    #[error("the key set has more than {JWKS_BYTES_MAX} bytes")]
    TooLarge,
    #[error("the key set is not an object with a list of `keys`")]
    Form,
    #[error("the key set has more than {JWKS_KEYS_MAX} keys for signatures")]
    TooManyKeys,
}

/// What was read of a set.
#[derive(Debug, Clone)]
pub struct Jwks {
    pub keys: Vec<TokenKey>,
    /// Keys for something else: of other algorithms, for encryption, or not understood.
    pub skipped: usize,
    /// Keys whose secret part was published with them: anybody can sign with these, so they count for nothing.
    pub exposed: usize,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

impl Jwks {
    pub fn parse(text: &[u8]) -> Result<Self, JwksError> {
        if text.len() > JWKS_BYTES_MAX {
            return Err(JwksError::TooLarge);
        }
        if !is_shallow(text) {
            return Err(JwksError::Form);
        }
        let set: Set = serde_json::from_slice(text).map_err(|_| JwksError::Form)?;
        let mut read = Self { keys: Vec::new(), skipped: 0, exposed: 0 };
        for key in &set.keys {
            let Some(key) = key.as_object() else {
                read.skipped += 1;
                continue;
            };
            // A symmetric key in a public set is a secret that everybody has.
            if key.contains_key("d") || key.contains_key("k") {
                read.exposed += 1;
            } else if let Some(key) = is_for_signatures(key).then(|| token_key(key)).flatten() {
                if read.keys.len() == JWKS_KEYS_MAX {
                    return Err(JwksError::TooManyKeys);
                }
                read.keys.push(key);
            } else {
                read.skipped += 1;
            }
        }
        Ok(read)
    }
}

fn is_for_signatures(key: &Map<String, Value>) -> bool {
    let for_verifying = |operations: &Value| {
        operations.as_array().is_some_and(|operations| operations.iter().any(|one| one == "verify"))
    };
    key.get("use").is_none_or(|usage| usage == "sig") && key.get("key_ops").is_none_or(for_verifying)
}

/// None: not one of ours.
fn token_key(key: &Map<String, Value>) -> Option<TokenKey> {
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
    let made: Result<TokenKey, KeyError> = match (text("kty")?, text("crv")) {
        ("RSA", _) => TokenKey::rs256(&bytes("n")?, &bytes("e")?),
        ("EC", Some("P-256")) => {
            let (x, y) = (bytes("x")?, bytes("y")?);
            // Both have full length (RFC 7518 6.2.1.2); else the point would not say where x ends.
            let full = x.len() == 32 && y.len() == 32;
            full.then(|| TokenKey::es256(&[&[4], &*x, &*y].concat()))?
        }
        ("OKP", Some("Ed25519")) => TokenKey::eddsa(&bytes("x")?),
        _ => return None,
    };
    let made = made.ok()?;
    // `Ed25519` is the newer name of the same (RFC 9864 2.2).
    let fits = key
        .get("alg")
        .is_none_or(|named| named == made.algorithm() || (made.algorithm() == "EdDSA" && named == "Ed25519"));
    match key.get("kid") {
        _ if !fits => None,
        None => Some(made),
        Some(id) => made.with_id(id.as_str()?).ok(),
    }
}
