//! What a description says of DTLS: fingerprints (RFC 8122) and who begins (RFC 8842).

use std::fmt;

/// Hash of a certificate, by one of the algorithms that are still worth something.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    hash: HashFunction,
    digest: Box<[u8]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashFunction {
    Sha256,
    Sha384,
    Sha512,
}

impl HashFunction {
    const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    pub fn bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

impl Fingerprint {
    /// Of `sha-256 AB:CD:...`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::read(text).ok().flatten()
    }

    /// None within: well formed, but of a hash that binds nothing any more, or that we do not know.
    pub(crate) fn read(text: &str) -> Result<Option<Self>, &'static str> {
        const FORM: &str = "a fingerprint is the name of a hash and hexadecimal pairs with colons between";
        let (name, pairs) = text.split_once(' ').ok_or(FORM)?;
        let mut digest = Vec::with_capacity(64);
        for pair in pairs.trim().split(':') {
            let is_pair = pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !is_pair || digest.len() == 64 {
                return Err(FORM);
            }
            digest.push(u8::from_str_radix(pair, 16).map_err(|_| FORM)?);
        }
        let hash = HashFunction::ALL.into_iter().find(|hash| hash.name().eq_ignore_ascii_case(name));
        match hash {
            Some(hash) if hash.bytes() == digest.len() => Ok(Some(Self { hash, digest: digest.into() })),
            Some(_) => Err("the fingerprint is not as long as its hash"),
            None => Ok(None),
        }
    }

    pub fn hash(&self) -> HashFunction {
        self.hash
    }

    pub fn digest(&self) -> &[u8] {
        &self.digest
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hash.name())?;
        let mut between = ' ';
        for byte in &self.digest {
            write!(f, "{between}{byte:02X}")?;
            between = ':';
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `a=setup`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    ActPass,
    Active,
    Passive,
}

impl Setup {
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "actpass" => Ok(Self::ActPass),
            "active" => Ok(Self::Active),
            "passive" => Ok(Self::Passive),
            // RFC 8842 5 forbids it.
            "holdconn" => Err("`a=setup:holdconn` is not possible here"),
            _ => Err("`a=setup` is actpass, active or passive"),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::ActPass => "actpass",
            Self::Active => "active",
            Self::Passive => "passive",
        }
    }
}

/// What we are in the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DtlsRole {
    Server,
    Client,
}

impl DtlsRole {
    pub(crate) fn setup(self) -> Setup {
        match self {
            Self::Server => Setup::Passive,
            Self::Client => Setup::Active,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let text = format!("sha-256 {}", vec!["AB"; 32].join(":"));
        assert_eq!(Fingerprint::parse(&text.to_lowercase()).unwrap().to_string(), text);
        assert_eq!(Fingerprint::read(&format!("sha-1 {}", vec!["00"; 20].join(":"))), Ok(None));
        for bad in ["sha-256", "sha-256 AB", "sha-256 AB:C", &format!("{text}:00"), "sha-256 +A:BB"] {
            assert!(Fingerprint::read(bad).is_err(), "{bad}");
        }
    }
}
