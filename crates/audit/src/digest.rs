//! SHA-256 values, and their text: 64 hexadecimal digits. Pure.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256, digest};

pub(crate) const DIGEST_BYTES: usize = 32;
/// Of its text.
pub(crate) const HEX_BYTES: usize = 2 * DIGEST_BYTES;

/// Parts that are no longer together are put together first: a context takes memory from the allocator, and there are
/// ten values to a record.
const SHORT_BYTES_MAX: usize = 320;

/// A SHA-256 value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; DIGEST_BYTES]);

impl Digest {
    /// What stands as `prev` in the very first record of a log.
    pub const NONE: Self = Self([0; DIGEST_BYTES]);

    /// Of the parts, one behind the other.
    pub fn of(parts: &[&[u8]]) -> Self {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let made = if let [whole] = parts {
            digest(&SHA256, whole)
        } else if length <= SHORT_BYTES_MAX {
            let mut short = [0; SHORT_BYTES_MAX];
            let mut rest = &mut short[..];
            for part in parts {
                let (place, behind) = rest.split_at_mut(part.len());
                place.copy_from_slice(part);
                rest = behind;
            }
            digest(&SHA256, &short[..length])
        } else {
            let mut context = Context::new(&SHA256);
            for part in parts {
                context.update(part);
            }
            context.finish()
        };
        let mut bytes = [0; DIGEST_BYTES];
        bytes.copy_from_slice(made.as_ref());
        Self(bytes)
    }

    pub(crate) fn hex(&self) -> [u8; HEX_BYTES] {
        let mut hex = [0; HEX_BYTES];
        write_hex(&self.0, &mut hex);
        hex
    }
}

pub(crate) fn push_hex(bytes: &[u8], out: &mut Vec<u8>) {
    let from = out.len();
    out.resize(from + 2 * bytes.len(), 0);
    write_hex(bytes, &mut out[from..]);
}

fn write_hex(bytes: &[u8], out: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in out.as_chunks_mut().0.iter_mut().zip(bytes) {
        *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.hex()).expect("digits are ASCII"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not 64 digits in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a SHA-256 value of 64 hexadecimal digits in lower case")]
pub struct NotADigest;

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let nibble = |digit: u8| match digit {
            b'0'..=b'9' => Ok(digit - b'0'),
            b'a'..=b'f' => Ok(digit - b'a' + 10),
            _ => Err(NotADigest),
        };
        let text: &[u8; HEX_BYTES] = text.as_bytes().try_into().map_err(|_| NotADigest)?;
        let mut bytes = [0; DIGEST_BYTES];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_one_text_however_long() {
        let bytes: Vec<u8> = (0..=255).cycle().take(3 * SHORT_BYTES_MAX).collect();
        for length in (0..bytes.len()).step_by(7).chain(SHORT_BYTES_MAX - 1..SHORT_BYTES_MAX + 2) {
            let whole = &bytes[..length];
            let (one, other) = whole.split_at(length / 3);
            assert_eq!(Digest::of(&[one, &[], other]), Digest::of(&[whole]), "{length} bytes");
        }
    }

    #[test]
    fn text_and_back() {
        let digest = Digest::of(&[b"ab", b"c"]);
        assert_eq!(digest, Digest::of(&[b"abc"]));
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_string(), text, "FIPS 180-2, appendix B.1");
        assert_eq!(text.parse(), Ok(digest));
        for wrong in ["", "ba", &text.to_uppercase(), &text.replace('b', "g"), &format!("{text}0")] {
            assert_eq!(wrong.parse::<Digest>(), Err(NotADigest));
        }
    }
}
