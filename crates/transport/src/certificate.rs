//! The certificate by which a process is known to all its peers: self-signed, ECDSA on P-256. Peers compare its
//! fingerprint with the one that they were told, so nobody else signs it and it is made anew at each start.

use std::fmt;

use rtc_dtls::crypto::Certificate as Chain;

use crate::fingerprint::Fingerprint;

/// A certificate with its private key.
#[derive(Clone)]
pub struct Certificate {
    pub(crate) chain: Chain,
    fingerprint: Fingerprint,
}

/// The library could not make a certificate.
#[derive(Debug, thiserror::Error)]
#[error("no certificate could be made: {0}")]
pub struct CertificateError(String);

impl Certificate {
    /// Makes a key and a certificate for it. `name` is its subject, seen by every peer on the path.
    pub fn generate(name: &str) -> Result<Self, CertificateError> {
        let provider = crate::dtls::provider();
        let chain = Chain::generate_self_signed(vec![name.to_owned()], provider.crypto())
            .map_err(|error| CertificateError(error.to_string()))?;
        let leaf = chain.certificate.first().ok_or_else(|| CertificateError("empty chain".to_owned()))?;
        let fingerprint = Fingerprint::of(leaf.as_ref());
        Ok(Self { chain, fingerprint })
    }

    /// What stands in our SDP.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificate").field(&self.fingerprint).finish()
    }
}
