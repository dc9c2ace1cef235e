//! Keys that sign checkpoints, and their texts (C2SP signed-note). Pure.
//!
//! A public key is `NAME+HASH+BASE64`, as every tool for transparency logs takes it. The name is the log's origin.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::digest::{Digest, push_hex};

/// The type of a key in a signed note: Ed25519.
const ED25519_TYPE: u8 = 1;
const KEY_BYTES: usize = 32;
/// Bytes of a key's name.
pub(crate) const ORIGIN_BYTES_MAX: usize = 96;
const PRIVATE: &str = "PRIVATE+KEY+";

/// The private half. Never shown by `Debug`.
pub struct Signer {
    pair: Ed25519KeyPair,
    seed: [u8; KEY_BYTES],
    public: PublicKey,
}

/// The public half: enough to verify a log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey {
    name: String,
    bytes: [u8; KEY_BYTES],
}

/// Text that is no key, without the text: it may be a private one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAKey {
    #[error("is not a key of the form NAME+HASH+BASE64")]
    Form,
    #[error("is not an Ed25519 key")]
    Type,
    #[error("has a hash that is not that of its name and bytes")]
    Hash,
    #[error("has a name with spaces, with a plus, or of more than 96 bytes")]
    Name,
}

impl Signer {
    /// `seed` must come from a source of randomness and be used for nothing else.
    pub fn from_seed(name: &str, seed: [u8; KEY_BYTES]) -> Result<Self, NotAKey> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| NotAKey::Type)?;
        let bytes = pair.public_key().as_ref().try_into().map_err(|_| NotAKey::Type)?;
        Ok(Self { public: PublicKey::new(name, bytes)?, pair, seed })
    }

    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(crate) fn sign(&self, text: &[u8]) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes.copy_from_slice(self.pair.sign(text).as_ref());
        bytes
    }

    /// The one text of the private key. It belongs into a file that only the process can read.
    pub fn reveal(&self) -> String {
        format!("{PRIVATE}{}", written(&self.public.name, self.public.id(), &self.seed))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signer").field(&self.public).finish()
    }
}

impl FromStr for Signer {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let (name, id, seed) = read(text.strip_prefix(PRIVATE).ok_or(NotAKey::Form)?)?;
        let signer = Self::from_seed(name, seed)?;
        if signer.public.id() == id { Ok(signer) } else { Err(NotAKey::Hash) }
    }
}

impl PublicKey {
    fn new(name: &str, bytes: [u8; KEY_BYTES]) -> Result<Self, NotAKey> {
        if name.is_empty()
            || name.len() > ORIGIN_BYTES_MAX
            || name.contains(|letter: char| letter.is_whitespace() || letter.is_control() || letter == '+')
        {
            return Err(NotAKey::Name);
        }
        Ok(Self { name: name.into(), bytes })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number by which a signature says whose it is.
    pub fn id(&self) -> KeyId {
        let digest = Digest::of(&[self.name.as_bytes(), b"\n", &[ED25519_TYPE], &self.bytes]);
        let mut id = [0; 4];
        id.copy_from_slice(&digest.0[..4]);
        KeyId(id)
    }

    pub(crate) fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.bytes).verify(text, signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&written(&self.name, self.id(), &self.bytes))
    }
}

impl FromStr for PublicKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let (name, id, bytes) = read(text)?;
        let key = Self::new(name, bytes)?;
        if key.id() == id { Ok(key) } else { Err(NotAKey::Hash) }
    }
}

/// The first four bytes of the SHA-256 of a key's name and bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub(crate) [u8; 4]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn written(name: &str, id: KeyId, bytes: &[u8; KEY_BYTES]) -> String {
    let mut typed = vec![ED25519_TYPE];
    typed.extend(bytes);
    format!("{name}+{id}+{}", STANDARD.encode(typed))
}

/// Name, id and bytes.
fn read(text: &str) -> Result<(&str, KeyId, [u8; KEY_BYTES]), NotAKey> {
    let mut parts = text.trim().splitn(3, '+');
    let (Some(name), Some(hash), Some(encoded)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(NotAKey::Form);
    };
    let typed = STANDARD.decode(encoded).map_err(|_| NotAKey::Form)?;
    let (kind, bytes) = typed.split_first().ok_or(NotAKey::Form)?;
    if *kind != ED25519_TYPE {
        return Err(NotAKey::Type);
    }
    let bytes = bytes.try_into().map_err(|_| NotAKey::Form)?;
    let mut id = [0; 4];
    let mut hex = Vec::new();
    for (at, byte) in id.iter_mut().enumerate() {
        *byte = hash
            .get(2 * at..2 * at + 2)
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
            .ok_or(NotAKey::Form)?;
    }
    push_hex(&id, &mut hex);
    if hex == hash.as_bytes() { Ok((name, KeyId(id), bytes)) } else { Err(NotAKey::Form) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys in the documentation of Go's `golang.org/x/mod/sumdb/note`.
    const PETER_NEUMANN: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const PETER_NEUMANN_PRIVATE: &str =
        "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";

    #[test]
    fn keys_are_those_of_signed_notes() {
        let public: PublicKey = PETER_NEUMANN.parse().unwrap();
        assert_eq!((public.name(), public.id().to_string().as_str()), ("PeterNeumann", "c74f20a3"));
        assert_eq!(public.to_string(), PETER_NEUMANN);
        let signer: Signer = PETER_NEUMANN_PRIVATE.parse().unwrap();
        assert_eq!(signer.public(), &public);
        assert_eq!(signer.reveal(), PETER_NEUMANN_PRIVATE);
        assert!(!format!("{signer:?}").contains("AYEK"));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for (wrong, why) in [
            ("", NotAKey::Form),
            ("a+b", NotAKey::Form),
            ("PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", NotAKey::Hash),
            ("PeterNeumanm+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", NotAKey::Hash),
            ("PeterNeumann+C74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", NotAKey::Form),
            ("PeterNeumann+c74f20a3+Ahpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", NotAKey::Type),
            ("PeterNeumann+c74f20a3+ARpc", NotAKey::Form),
            ("Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", NotAKey::Name),
        ] {
            assert_eq!(wrong.parse::<PublicKey>(), Err(why), "{wrong}");
        }
        assert_eq!(PETER_NEUMANN.parse::<Signer>().unwrap_err(), NotAKey::Form);
    }
}
