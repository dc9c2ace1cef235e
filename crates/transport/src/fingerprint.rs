//! The fingerprint of a certificate as it stands in `a=fingerprint` (RFC 8122 5).

use std::fmt;

use aws_lc_rs::{constant_time, digest};

/// A hash of a certificate, by one of the algorithms that are still worth something.
#[derive(Clone, PartialEq, Eq)]
pub struct Fingerprint {
    hash: Hash,
    digest: Box<[u8]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FingerprintError {
    /// SHA-1 and MD5 count as unknown: they bind nothing any more.
    #[error("the fingerprint's hash is none of sha-256, sha-384, sha-512")]
    Hash,
    #[error("the fingerprint is not a row of hex pairs of the hash's length")]
    Digest,
}

impl Fingerprint {
    /// Of `sha-256 AB:CD:...`, the value of `a=fingerprint`.
    pub fn parse(text: &str) -> Result<Self, FingerprintError> {
        let (name, pairs) = text.trim().split_once(' ').ok_or(FingerprintError::Hash)?;
        let hash = [Hash::Sha256, Hash::Sha384, Hash::Sha512]
            .into_iter()
            .find(|hash| hash.name().eq_ignore_ascii_case(name))
            .ok_or(FingerprintError::Hash)?;
        let mut digest = Vec::with_capacity(hash.algorithm().output_len());
        for pair in pairs.trim().split(':') {
            let hex = pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !hex || digest.len() == hash.algorithm().output_len() {
                return Err(FingerprintError::Digest);
            }
            digest.push(u8::from_str_radix(pair, 16).map_err(|_| FingerprintError::Digest)?);
        }
        if digest.len() != hash.algorithm().output_len() {
            return Err(FingerprintError::Digest);
        }
        Ok(Self { hash, digest: digest.into() })
    }

    /// The SHA-256 of a certificate in DER.
    pub(crate) fn of(der: &[u8]) -> Self {
        let hash = Hash::Sha256;
        Self { hash, digest: digest::digest(hash.algorithm(), der).as_ref().into() }
    }

    /// Whether this is the fingerprint of the certificate.
    pub(crate) fn matches(&self, der: &[u8]) -> bool {
        let theirs = digest::digest(self.hash.algorithm(), der);
        constant_time::verify_slices_are_equal(theirs.as_ref(), &self.digest).is_ok()
    }
}

/// As it stands in an SDP.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.hash.name())?;
        for (index, byte) in self.digest.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Hash {
    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let ours = Fingerprint::of(b"certificate");
        let text = ours.to_string();
        assert!(text.starts_with("sha-256 "));
        assert_eq!(text.len(), "sha-256 ".len() + 32 * 3 - 1);
        let theirs = Fingerprint::parse(&text.to_lowercase()).unwrap();
        assert_eq!(theirs, ours);
        assert!(theirs.matches(b"certificate"));
        assert!(!theirs.matches(b"another"));
    }

    #[test]
    fn faults() {
        let good = Fingerprint::of(b"x").to_string();
        for (text, error) in [
            ("", FingerprintError::Hash),
            ("sha-1 AA:BB", FingerprintError::Hash),
            ("sha-256 AA", FingerprintError::Digest),
            (&format!("{good}:00"), FingerprintError::Digest),
            (&good.replace(':', "-"), FingerprintError::Digest),
            (&good.replacen("sha-256 ", "sha-256 +", 1), FingerprintError::Digest),
        ] {
            assert_eq!(Fingerprint::parse(text), Err(error), "{text}");
        }
    }
}
