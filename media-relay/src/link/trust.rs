//! Who may link: whoever knows the cluster's secret.
//!
//! From it each relay makes the same authority, and with that a certificate for this one start of its own, which names its
//! incarnation. So there are no files, and nothing to renew: a certificate dies with its process, and all of them when the
//! secret is another. Both sides show one; a relay that restarts at the same address is not taken for the one before.

use std::sync::Arc;

use ::aws_lc_rs::signature::Ed25519KeyPair;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ED25519,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig, version};

/// Another form of pipes is another protocol, so that two relays that would not understand each other do not begin to talk.
const ALPN: &[u8] = b"turnpike-link/1";
const AUTHORITY: &str = "Turnpike links";
const DOMAIN: &str = ".relay.turnpike.internal";

pub(super) struct Trust {
    pub(super) server: ServerConfig,
    pub(super) client: ClientConfig,
}

#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("a certificate cannot be made")]
    Certificate(#[from] rcgen::Error),
    #[error("the secret gives no key")]
    Key,
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    #[error("nobody could be verified")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

impl Trust {
    pub(super) fn new(secret: &[u8; 32], incarnation: u64) -> Result<Self, TrustError> {
        let (authority, roots) = authority(secret)?;
        let own_key = KeyPair::generate_for(&PKCS_ED25519)?;
        let mut params = CertificateParams::new(vec![name_of(incarnation)])?;
        params.distinguished_name.push(DnType::CommonName, name_of(incarnation));
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let chain = vec![params.signed_by(&own_key, &authority)?.der().clone()];
        let key = || PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own_key.serialize_der()));

        let (provider, roots) = (Arc::new(provider()), Arc::new(roots));
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider)).build()?;
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key())?;
        server.alpn_protocols = vec![ALPN.to_vec()];
        // Nothing of one connection helps with another: no resumption, so no early data that could be played again.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        server.max_early_data_size = 0;
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key())?;
        client.alpn_protocols = vec![ALPN.to_vec()];
        client.resumption = rustls::client::Resumption::disabled();
        client.enable_early_data = false;
        Ok(Self { server, client })
    }
}

/// By which a relay is asked for, and which its certificate bears.
pub(super) fn name_of(incarnation: u64) -> String {
    format!("{incarnation:016x}{DOMAIN}")
}

/// Which relay is at the other end, by its certificate. The handshake has verified it.
pub(super) fn peer_of(connection: &quinn::Connection) -> Option<u64> {
    let identity = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    incarnation_of(identity.first()?)
}

/// None: not a name of ours, or more than one.
fn incarnation_of(certificate: &CertificateDer<'_>) -> Option<u64> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    let mut names = certificate.valid_dns_names();
    let hex = names.next()?.strip_suffix(DOMAIN)?;
    let is_one = names.next().is_none();
    let is_hex = hex.len() == 16 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    u64::from_str_radix(hex, 16).ok().filter(|_| is_one && is_hex)
}

fn authority(secret: &[u8; 32]) -> Result<(Issuer<'static, KeyPair>, RootCertStore), TrustError> {
    let key = Ed25519KeyPair::from_seed_unchecked(secret).map_err(|_| TrustError::Key)?;
    let key = key.to_pkcs8v1().map_err(|_| TrustError::Key)?;
    let key = KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(key.as_ref()), &PKCS_ED25519)?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, AUTHORITY);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let mut roots = RootCertStore::empty();
    // Of it only name and key count, and they are the same at all relays.
    roots.add(params.self_signed(&key)?.der().clone())?;
    Ok((Issuer::new(params, key), roots))
}

/// Of which everybody may know; its key is the secret.
#[cfg(test)]
pub(super) fn authority_certificate(secret: &[u8; 32]) -> CertificateDer<'static> {
    let (issuer, _) = authority(secret).expect("the secret gives a key");
    let mut params = CertificateParams::new(Vec::new()).expect("it has no names");
    params.distinguished_name.push(DnType::CommonName, AUTHORITY);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.self_signed(issuer.key()).expect("it signs").der().clone()
}

/// AES with 128 bits first: every packet is sealed twice, and it costs a quarter less.
fn provider() -> CryptoProvider {
    let cipher_suites = vec![
        aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
        aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    CryptoProvider { cipher_suites, ..aws_lc_rs::default_provider() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_names_one_incarnation() {
        let (authority, _) = authority(&[7; 32]).unwrap();
        let of = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.into()).collect();
            let params = CertificateParams::new(names).unwrap();
            let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
            incarnation_of(params.signed_by(&key, &authority).unwrap().der())
        };
        assert_eq!(of(&[&name_of(0x1234_5678_9abc_def0)]), Some(0x1234_5678_9abc_def0));
        assert_eq!(of(&[&name_of(0)]), Some(0));
        for names in [
            &[][..],
            &["relay.turnpike.internal"],
            &["1.relay.turnpike.internal"],
            &["000000000000000A.relay.turnpike.internal"],
            &["+00000000000000a.relay.turnpike.internal"],
            &["000000000000000a.relay.turnpike.internal.example"],
            &["000000000000000a.relay.turnpike.internal", "000000000000000b.relay.turnpike.internal"],
        ] {
            assert_eq!(of(names), None, "{names:?}");
        }
        assert_eq!(incarnation_of(&CertificateDer::from(vec![1, 2, 3])), None);
    }
}
