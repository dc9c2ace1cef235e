//! The key of tokens, and signing with it.

use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};

use crate::claims::Claims;

/// HMAC-SHA256 is no stronger than its secret, and a short one is guessed offline (RFC 7518 3.2).
pub const SECRET_BYTES_MIN: usize = 32;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the secret has {bytes} bytes; HS256 needs at least {SECRET_BYTES_MIN}")]
    ShortSecret { bytes: usize },
    #[error("the token could not be written")]
    Signing,
}

/// A key belongs to one algorithm. What a token's header says can never choose another.
#[derive(Clone)]
pub struct TokenKey {
    pub(crate) algorithm: Algorithm,
    pub(crate) decoding: DecodingKey,
}

impl TokenKey {
    pub fn hs256(secret: &[u8]) -> Result<Self, KeyError> {
        check_secret(secret)?;
        Ok(Self { algorithm: Algorithm::HS256, decoding: DecodingKey::from_secret(secret) })
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({:?})", self.algorithm)
    }
}

fn check_secret(secret: &[u8]) -> Result<(), KeyError> {
    if secret.len() < SECRET_BYTES_MIN {
        return Err(KeyError::ShortSecret { bytes: secret.len() });
    }
    Ok(())
}

/// Writes a token: for development, tests and the command line. In production the product's backend does it.
pub fn mint(secret: &[u8], claims: &Claims) -> Result<String, KeyError> {
    check_secret(secret)?;
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(secret))
        .map_err(|_| KeyError::Signing)
}
