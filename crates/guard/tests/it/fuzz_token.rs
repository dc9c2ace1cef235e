//! Fuzz targets: bytes by chance in tokens, in what a genuine signature vouches for, in key sets and in key files.
//!
//! Their corpus stands in `corpus/<target>/`.

use std::sync::LazyLock;

use turnpike_fuzz::fuzz;
use turnpike_guard::{Jwks, KeyRing, TokenKey, Verifier};
use turnpike_wire::limits::TOKEN_BYTES_MAX;

use crate::tokens::{NOW, base64url, token, verifier};

static VERIFIER: LazyLock<Verifier> = LazyLock::new(verifier);

#[test]
fn tokens_hold() {
    fuzz!("token", whole);
}

#[test]
fn signed_tokens_hold() {
    fuzz!("signed", signed);
}

#[test]
fn key_sets_hold() {
    fuzz!("jwks", key_set);
}

#[test]
fn key_files_hold() {
    fuzz!("pem", key_file);
}

#[test]
fn the_corpus_is_understood() {
    let (header, payload) = include_str!("../../corpus/signed/every-claim").split_once('\n').unwrap();
    VERIFIER.check(&token(header, payload), NOW).unwrap();
    assert_eq!(Jwks::parse(include_bytes!("../../corpus/jwks/each-kind")).unwrap().keys.len(), 3);
    for text in [
        include_str!("../../corpus/pem/rsa"),
        include_str!("../../corpus/pem/p256"),
        include_str!("../../corpus/pem/ed25519"),
    ] {
        TokenKey::public(text).unwrap();
    }
}

/// The token as a client sends it. Nobody signs by chance.
fn whole(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let error = VERIFIER.check(&text, NOW).expect_err("nothing here is signed");
    assert!(!error.slug().is_empty());
}

/// Header and payload, a line each. What is accepted has kept to the limits.
fn signed(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (header, payload) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    let token = token(header, payload);
    if let Ok(identity) = VERIFIER.check(&token, NOW) {
        assert!(token.len() <= TOKEN_BYTES_MAX);
        assert!(identity.expires_at + 30 > NOW);
        assert!(!identity.user.is_empty());
        let names = String::from_utf8_lossy(header);
        assert!(!names.contains("\"crit\"") && !names.contains("\"jwk\""), "{names}");
    }
}

/// The body of the answer.
fn key_set(data: &[u8]) {
    let Ok(read) = Jwks::parse(data) else { return };
    use_keys(read.keys);
}

/// The content of the file.
fn key_file(data: &[u8]) {
    if let Ok(key) = TokenKey::public(&String::from_utf8_lossy(data)) {
        use_keys(vec![key]);
    }
}

/// A key that was read can be used: by it, nothing is signed.
fn use_keys(keys: Vec<TokenKey>) {
    let algorithms: Vec<&str> = keys.iter().map(TokenKey::algorithm).collect();
    let verifier = Verifier::new(KeyRing::new(keys).expect("a set is smaller than a ring"), Vec::new());
    for algorithm in algorithms {
        let header = base64url(format!(r#"{{"alg":"{algorithm}"}}"#));
        let forged = format!("{header}.{}.{}", base64url("{}"), base64url([0; 64]));
        verifier.check(&forged, NOW).expect_err("nothing is signed");
    }
}
