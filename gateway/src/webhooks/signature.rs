//! What proves to the receiver that a batch comes from here, and when it was sent.

use std::fmt::Write;

use aws_lc_rs::hmac;

/// `v1=<hex>` for each secret, separated by commas. The time is part of what is signed: an old request cannot be sent
/// again under a new time.
pub(super) fn sign(keys: &[hmac::Key], timestamp: u64, body: &[u8]) -> String {
    let mut header = String::with_capacity(keys.len() * 68);
    for key in keys {
        let mut context = hmac::Context::with_key(key);
        context.update(format!("{timestamp}.").as_bytes());
        context.update(body);
        header.push_str(if header.is_empty() { "v1=" } else { ",v1=" });
        for byte in context.sign().as_ref() {
            write!(header, "{byte:02x}").expect("a string takes everything");
        }
    }
    header
}

pub(super) fn keys(secrets: &[Vec<u8>]) -> Vec<hmac::Key> {
    secrets.iter().map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with `printf '%s.%s' 1700000000 '{"a":1}' | openssl dgst -sha256 -hmac <secret>`.
    const FIRST: &str = "6cec7c3b97296f6145c73e625243d78410b7e9bc25f64f9065364bc2424d8933";
    const SECOND: &str = "5929603d3c4708e1bd2b60b15eb7238c9c5e7ea672c323685492c927776c28d5";

    #[test]
    fn it_is_what_openssl_makes_of_time_and_body() {
        let keys = keys(&[b"first".to_vec(), b"second".to_vec()]);
        let body = br#"{"a":1}"#;
        assert_eq!(sign(&keys[..1], 1_700_000_000, body), format!("v1={FIRST}"));
        assert_eq!(sign(&keys, 1_700_000_000, body), format!("v1={FIRST},v1={SECOND}"));
    }

    #[test]
    fn it_depends_on_all_of_it() {
        let keys = keys(&[b"first".to_vec()]);
        let signed = sign(&keys, 17, b"body");
        assert_ne!(signed, sign(&keys, 18, b"body"));
        assert_ne!(signed, sign(&keys, 17, b"bode"));
        assert_ne!(sign(&keys, 1, b"1.body"), sign(&keys, 11, b".body"));
    }
}
