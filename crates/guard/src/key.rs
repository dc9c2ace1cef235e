//! One key of tokens, and signing with a secret one.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RsaPublicKeyComponents, VerificationAlgorithm,
};
use aws_lc_rs::{hmac, rsa};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};

use crate::claims::Claims;
use crate::pem;

/// HMAC-SHA256 is no stronger than its secret, and a short one is guessed offline (RFC 7518 3.2).
pub const SECRET_BYTES_MIN: usize = 32;

/// The same of RSA (RFC 7518 3.3); above the larger one a verification costs too much to be given to strangers.
const RSA_BITS_MIN: usize = 2048;
const RSA_BITS_MAX: usize = 8192;

/// The name of a key stands in every token and in logs.
pub const KEY_ID_BYTES_MAX: usize = 128;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the secret has {bytes} bytes; HS256 needs at least {SECRET_BYTES_MIN}")]
    ShortSecret { bytes: usize },
    #[error("is not one public key in PEM, beginning with -----BEGIN PUBLIC KEY-----")]
    NotPem,
    #[error("holds a private key, and only the public one is needed here (`openssl pkey -in KEY -pubout`)")]
    Private,
    #[error("is no public key of RSA, P-256 or Ed25519")]
    Kind,
    #[error("is an RSA key of {bits} bits; expected {RSA_BITS_MIN} to {RSA_BITS_MAX}")]
    RsaBits { bits: usize },
    #[error("is an RSA key whose exponent makes it worthless")]
    RsaExponent,
    #[error("the id of a key has 1 to {KEY_ID_BYTES_MAX} bytes, none of them a control character")]
    Id,
    #[error("the token could not be written")]
    Signing,
}

/// A key belongs to one algorithm: that of its kind. What a token's header says can never choose another.
#[derive(Clone)]
pub struct TokenKey {
    /// The `kid` of tokens that are signed with it. None: of tokens whose `kid` is no other key's.
    pub(crate) id: Option<Arc<str>>,
    pub(crate) algorithm: Algorithm,
    material: Material,
    /// Of a public key alone: of a secret nothing is shown.
    fingerprint: Option<Arc<str>>,
}

#[derive(Clone)]
enum Material {
    /// Made ready once: half of what a signature costs is the making of the key.
    Secret(Arc<hmac::Key>),
    Public(DecodingKey),
}

/// A signature that is not base64url.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotBase64;

impl TokenKey {
    pub fn hs256(secret: &[u8]) -> Result<Self, KeyError> {
        check_secret(secret)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        Ok(Self::new(Algorithm::HS256, Material::Secret(Arc::new(key))))
    }

    /// A public key in PEM: RSA is RS256, P-256 is ES256, Ed25519 is `EdDSA`.
    pub fn public(text: &str) -> Result<Self, KeyError> {
        let der = pem::public_key(text)?;
        if let Some(point) = pem::p256_point(&der) {
            return Self::es256(point);
        }
        if let Some(point) = pem::ed25519_point(&der) {
            return Self::eddsa(point);
        }
        let key = rsa::PublicKey::from_der(&der).map_err(|_| KeyError::Kind)?;
        let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(&key);
        Self::rs256(&n, &e)
    }

    /// Both numbers as big-endian bytes.
    pub(crate) fn rs256(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyError> {
        let bits = bits(modulus);
        if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
            return Err(KeyError::RsaBits { bits });
        }
        // With 1 every text is its own signature. Above 33 bits the library refuses every signature instead.
        let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
        if !odd(exponent) || !odd(modulus) || !(2..=33).contains(&self::bits(exponent)) {
            return Err(KeyError::RsaExponent);
        }
        let decoding = DecodingKey::from_rsa_raw_components(modulus, exponent);
        Ok(Self::new(Algorithm::RS256, Material::Public(decoding)).with_fingerprint(modulus))
    }

    /// An uncompressed point: 4, x, y.
    pub(crate) fn es256(point: &[u8]) -> Result<Self, KeyError> {
        check_point(&ECDSA_P256_SHA256_FIXED, point)?;
        let material = Material::Public(DecodingKey::from_ec_der(point));
        Ok(Self::new(Algorithm::ES256, material).with_fingerprint(point))
    }

    pub(crate) fn eddsa(point: &[u8]) -> Result<Self, KeyError> {
        check_point(&ED25519, point)?;
        let material = Material::Public(DecodingKey::from_ed_der(point));
        Ok(Self::new(Algorithm::EdDSA, material).with_fingerprint(point))
    }

    /// Tokens with this `kid`, and only they, are signed with this key.
    pub fn with_id(mut self, id: &str) -> Result<Self, KeyError> {
        if id.is_empty() || id.len() > KEY_ID_BYTES_MAX || id.chars().any(char::is_control) {
            return Err(KeyError::Id);
        }
        self.id = Some(id.into());
        Ok(self)
    }

    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Tells a public key from others that bear its id. None: it is a secret.
    pub fn fingerprint(&self) -> Option<&str> {
        self.fingerprint.as_deref()
    }

    /// `HS256`, `RS256`, `ES256` or `EdDSA`.
    pub fn algorithm(&self) -> &'static str {
        match self.algorithm {
            Algorithm::HS256 => "HS256",
            Algorithm::RS256 => "RS256",
            Algorithm::ES256 => "ES256",
            _ => "EdDSA",
        }
    }

    fn new(algorithm: Algorithm, material: Material) -> Self {
        Self { id: None, algorithm, material, fingerprint: None }
    }

    /// Whether it has signed the message.
    pub(crate) fn has_signed(&self, message: &[u8], signature: &str) -> Result<bool, NotBase64> {
        match &self.material {
            Material::Secret(key) => {
                let tag = URL_SAFE_NO_PAD.decode(signature).map_err(|_| NotBase64)?;
                Ok(hmac::verify(key, message, &tag).is_ok())
            }
            Material::Public(key) => {
                jsonwebtoken::crypto::verify(signature, message, key, self.algorithm).map_err(|_| NotBase64)
            }
        }
    }

    fn with_fingerprint(mut self, public: &[u8]) -> Self {
        let digest = digest(&SHA256, public);
        let hex = |text: String, byte: &u8| text + &format!("{byte:02x}");
        self.fingerprint = Some(digest.as_ref()[..8].iter().fold(String::new(), hex).into());
        self
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({:?}, {:?})", self.algorithm, self.id)
    }
}

fn check_point(algorithm: &'static dyn VerificationAlgorithm, point: &[u8]) -> Result<(), KeyError> {
    match ParsedPublicKey::new(algorithm, point) {
        Ok(_) => Ok(()),
        Err(_) => Err(KeyError::Kind),
    }
}

/// Of a number in big-endian bytes.
fn bits(number: &[u8]) -> usize {
    match number.iter().position(|byte| *byte != 0) {
        Some(first) => (number.len() - first) * 8 - number[first].leading_zeros() as usize,
        None => 0,
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
