//! Writing tokens of any kind, sound or not.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use turnpike_guard::{TokenKey, Verifier};

/// The moment at which every test here happens, in Unix seconds.
pub(crate) const NOW: u64 = 1_790_000_000;

pub(crate) const SECRET: &[u8] = b"thirty-two bytes of test secret!";

pub(crate) const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

pub(crate) fn verifier() -> Verifier {
    Verifier::new(TokenKey::hs256(SECRET).unwrap(), vec!["chat:*=join,send".parse().unwrap()])
}

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A signature over whatever text, sound as it may.
pub(crate) fn sign(message: &str, secret: &[u8], algorithm: Algorithm) -> String {
    let key = EncodingKey::from_secret(secret);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm).unwrap();
    format!("{message}.{signature}")
}

/// A token with a genuine signature of our secret, whatever its header and payload say.
pub(crate) fn token(header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
    sign(&format!("{}.{}", base64url(header), base64url(payload)), SECRET, Algorithm::HS256)
}

/// The claims that are needed, and then some text inside the same object.
pub(crate) fn payload(more: &str) -> String {
    format!(r#"{{"sub":"alice","exp":{}{more}}}"#, NOW + 3600)
}

/// Each with the reason that it must be refused for.
pub(crate) fn refused(verifier: &Verifier, cases: &[(&str, String, &str)]) {
    let mut wrong = Vec::new();
    for (what, token, slug) in cases {
        match verifier.check(token, NOW) {
            Ok(identity) => wrong.push(format!("{what}: accepted as {}", identity.user)),
            Err(error) if error.slug() != *slug => {
                wrong.push(format!("{what}: {slug} expected, got {error:?}"));
            }
            Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
