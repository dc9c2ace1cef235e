//! How servers prove who they are: by the authorities that this machine trusts, or by one that was given.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use rustls_platform_verifier::BuilderVerifierExt as _;

/// For websockets and requests alike.
pub fn configuration(authority: Option<&Path>) -> anyhow::Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().context("TLS")?;
    let Some(path) = authority else {
        let builder = builder.with_platform_verifier().context("the authorities of this machine")?;
        return Ok(Arc::new(builder.with_no_client_auth()));
    };
    let mut roots = RootCertStore::empty();
    let fault = || format!("--ca: {}", path.display());
    for certificate in CertificateDer::pem_file_iter(path).with_context(fault)? {
        roots.add(certificate.with_context(fault)?).with_context(fault)?;
    }
    anyhow::ensure!(!roots.is_empty(), "--ca: {} has no certificate", path.display());
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
