//! The handshake: authenticates the peer by the fingerprint of its certificate and gives the keys of the media
//! (RFC 5763, 5764). The messages are the work of `rtc-dtls`; here stand the guard before it, the choice of what it
//! may negotiate, and its timers.
//!
//! It must not know which addresses the datagrams come from and go to.

mod association;
mod guard;
mod hello;
mod record;

use std::fmt;
use std::sync::Arc;

use rtc_dtls::cipher_suite::CipherSuiteId;
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc_dtls::crypto_provider::{RTCCryptoProvider, default_provider};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;

use crate::certificate::Certificate;
use crate::config::ConfigError;
use crate::srtp::Profile;

pub(crate) use association::{Association, Failure, Progress};

/// The library's view of AWS-LC.
pub(crate) fn provider() -> Arc<dyn RTCCryptoProvider> {
    default_provider().expect("the feature crypto-aws-lc-rs is on, so there is a provider")
}

/// What may be negotiated, made once a process and shared by all its handshakes.
///
/// The library takes the first profile of the client's list that we offer, and browsers list the slowest first. So
/// there is one configuration a profile, and the client's hello decides which is used.
pub(crate) struct Handshakes {
    server: [(Profile, Arc<HandshakeConfig>); 3],
    client: Arc<HandshakeConfig>,
}

impl Handshakes {
    pub(crate) fn new(certificate: &Certificate, mtu_bytes: usize) -> Result<Self, ConfigError> {
        let build = |profiles: &[Profile], is_client: bool| {
            let builder = ConfigBuilder::default()
                .with_crypto_provider(provider())
                .with_certificates(vec![certificate.chain.clone()])
                // AES-GCM, which every WebRTC endpoint must have (RFC 8827 6.5); ChaCha20 for those without AES in
                // hardware. Both with ECDSA: our key is nothing else. The library draws the nonces of AES-GCM; a key
                // of a handshake protects a Finished and an alert, a dozen records at most.
                .with_cipher_suites(vec![
                    CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256,
                    CipherSuiteId::Tls_Ecdhe_Ecdsa_With_ChaCha20_Poly1305_Sha256,
                ])
                .with_srtp_protection_profiles(profiles.iter().map(|profile| named(*profile)).collect())
                .with_client_auth(ClientAuthType::RequireAnyClientCert)
                // Binds the keys to the whole handshake (RFC 7627); the library does not compare a client's Finished.
                .with_extended_master_secret(ExtendedMasterSecretType::Require)
                // Nobody signs these certificates: the fingerprint is compared by `Association`.
                .with_insecure_skip_verify(true)
                .with_server_name("turnpike".to_owned())
                .with_mtu(mtu_bytes);
            builder.build(is_client, None).map(Arc::new).map_err(|error| ConfigError(error.to_string()))
        };
        let server = |profile| build(&[profile], false).map(|config| (profile, config));
        let [best, second, third] = Profile::PREFERENCE;
        Ok(Self {
            server: [server(best)?, server(second)?, server(third)?],
            client: build(&Profile::PREFERENCE, true)?,
        })
    }

    /// The configuration for a client that offers these profiles, by our preference.
    fn for_client(&self, offered: hello::Offered) -> Option<&Arc<HandshakeConfig>> {
        self.server.iter().find(|(profile, _)| offered.has(*profile)).map(|(_, config)| config)
    }
}

impl fmt::Debug for Handshakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshakes").finish_non_exhaustive()
    }
}

fn named(profile: Profile) -> SrtpProtectionProfile {
    match profile {
        Profile::Aes128CmSha1_80 => SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
        Profile::AeadAes128Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
        Profile::AeadAes256Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm,
    }
}

fn profile(named: SrtpProtectionProfile) -> Option<Profile> {
    match named {
        SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 => Some(Profile::Aes128CmSha1_80),
        SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => Some(Profile::AeadAes128Gcm),
        SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm => Some(Profile::AeadAes256Gcm),
        _ => None,
    }
}
