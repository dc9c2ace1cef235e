//! A public key as `openssl pkey -pubout` writes it (RFC 7468 13), and what of it is the key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::key::KeyError;

/// The largest key that is taken has 2,100 bytes as text.
pub const KEY_FILE_BYTES_MAX: usize = 16 * 1024;

/// `SubjectPublicKeyInfo` (RFC 5280 4.1.2.7) up to the point itself: both kinds of curves have keys of one length, so all
/// that stands before the key is always the same.
const P256_PREFIX: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const ED25519_PREFIX: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

const P256_POINT_BYTES: usize = 65;
const ED25519_POINT_BYTES: usize = 32;

/// The bytes of the one public key in a text. What stands before and behind it means nothing, unless it is another block.
pub(crate) fn public_key(text: &str) -> Result<Vec<u8>, KeyError> {
    const BEGIN: &str = "-----BEGIN ";
    if text.len() > KEY_FILE_BYTES_MAX {
        return Err(KeyError::NotPem);
    }
    let (_, block) = text.split_once(BEGIN).ok_or(KeyError::NotPem)?;
    if text.contains("PRIVATE KEY-----") {
        return Err(KeyError::Private);
    }
    if block.contains(BEGIN) {
        return Err(KeyError::NotPem);
    }
    let (label, rest) = block.split_once("-----").ok_or(KeyError::NotPem)?;
    if !matches!(label, "PUBLIC KEY" | "RSA PUBLIC KEY") {
        return Err(KeyError::NotPem);
    }
    let (body, end) = rest.split_once("-----END ").ok_or(KeyError::NotPem)?;
    if end.strip_prefix(label).is_none_or(|end| !end.starts_with("-----")) {
        return Err(KeyError::NotPem);
    }
    // Where a variable of the environment can hold one line only, line breaks are written as `\n`.
    let mut letters = body.replace("\\n", "");
    letters.retain(|letter| !letter.is_ascii_whitespace());
    STANDARD.decode(letters).map_err(|_| KeyError::NotPem)
}

pub(crate) fn p256_point(der: &[u8]) -> Option<&[u8]> {
    der.strip_prefix(P256_PREFIX).filter(|point| point.len() == P256_POINT_BYTES)
}

pub(crate) fn ed25519_point(der: &[u8]) -> Option<&[u8]> {
    der.strip_prefix(ED25519_PREFIX).filter(|point| point.len() == ED25519_POINT_BYTES)
}
