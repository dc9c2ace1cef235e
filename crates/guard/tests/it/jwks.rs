//! Sets of keys as issuers publish them.

use aws_lc_rs::signature::KeyPair as _;
use turnpike_guard::{Jwks, JwksError, KeyRing, Verifier};

use crate::signers::{ED25519, P256, RSA, Signer};
use crate::tokens::{NOW, base64url, payload};

fn set(keys: &[String]) -> String {
    format!(r#"{{"keys":[{}]}}"#, keys.iter().map(|key| format!("{{{key}}}")).collect::<Vec<_>>().join(","))
}

#[test]
fn keys_of_each_kind_are_read_and_used() {
    let signers: [&Signer; 3] = [&RSA, &P256, &ED25519];
    let keys = signers.map(|signer| {
        let algorithm = signer.algorithm();
        format!(r#"{},"kid":"{algorithm}","use":"sig","alg":"{algorithm}""#, signer.jwk())
    });
    let read = Jwks::parse(set(&keys).as_bytes()).unwrap();
    assert_eq!((read.keys.len(), read.skipped, read.exposed), (3, 0, 0));
    let verifier = Verifier::new(KeyRing::new(read.keys).unwrap(), Vec::new());
    for signer in signers {
        let header = signer.header(&format!(r#","kid":"{}""#, signer.algorithm()));
        assert!(verifier.check(&signer.sign(header, payload("")), NOW).is_ok(), "{}", signer.algorithm());
    }
}

#[test]
fn what_tokens_cannot_be_signed_with_is_left_out() {
    let p256 = P256.jwk();
    let Signer::P256(pair) = &*P256 else { panic!("a key of P-256") };
    let point = |x: &[u8], y: &[u8]| {
        format!(r#""kty":"EC","crv":"P-256","x":"{}","y":"{}""#, base64url(x), base64url(y))
    };
    let numbers = &pair.public_key().as_ref()[1..];
    assert_eq!(point(&numbers[..32], &numbers[32..]), p256);
    for (what, key, exposed) in [
        ("for encryption", format!(r#"{p256},"use":"enc""#), false),
        ("for signing alone", format!(r#"{p256},"key_ops":["sign"]"#), false),
        ("operations a text", format!(r#"{p256},"key_ops":"verify""#), false),
        ("of another algorithm", format!(r#"{p256},"alg":"ES384""#), false),
        ("of another kind's algorithm", format!(r#"{p256},"alg":"HS256""#), false),
        ("of PSS", format!(r#"{},"alg":"PS256""#, RSA.jwk()), false),
        ("of SHA-512", format!(r#"{},"alg":"RS512""#, RSA.jwk()), false),
        ("algorithm a number", format!(r#"{p256},"alg":256"#), false),
        ("id a number", format!(r#"{p256},"kid":5"#), false),
        ("id empty", format!(r#"{p256},"kid":"""#), false),
        ("id too long", format!(r#"{p256},"kid":"{}""#, "x".repeat(129)), false),
        ("of another curve", p256.replace("P-256", "P-384"), false),
        ("of Ed448", ED25519.jwk().replace("Ed25519", "Ed448"), false),
        ("of X25519", ED25519.jwk().replace("Ed25519", "X25519"), false),
        ("of a kind to come", r#""kty":"AKP","pub":"AA""#.to_owned(), false),
        ("of no kind", r#""kid":"a""#.to_owned(), false),
        ("beside the curve", point(&numbers[..32], &[7; 32]), false),
        ("a point cut elsewhere", point(&numbers[..31], &numbers[31..]), false),
        ("exponent one", RSA.jwk().replace("AQAB", "AQ"), false),
        ("a modulus of few bits", r#""kty":"RSA","n":"AQAB","e":"AQAB""#.to_owned(), false),
        ("with its private part", format!(r#"{p256},"d":"AAAA""#), true),
        ("a secret", r#""kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0""#.to_owned(), true),
    ] {
        let read = Jwks::parse(set(&[ED25519.jwk(), key]).as_bytes()).unwrap();
        let counts = (read.keys.len(), read.skipped, read.exposed);
        assert_eq!(counts, (1, usize::from(!exposed), usize::from(exposed)), "{what}");
    }
    let read = Jwks::parse(br#"{"keys":[5,null,"key",[]],"more":{}}"#).unwrap();
    assert_eq!((read.keys.len(), read.skipped), (0, 4));
    let read = Jwks::parse(set(&[format!(r#"{},"alg":"Ed25519""#, ED25519.jwk())]).as_bytes()).unwrap();
    assert_eq!(read.keys.len(), 1, "the newer name of EdDSA");
}

#[test]
fn what_is_no_set() {
    for text in
        ["", "null", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[]} x"#, r#"{"keys":[],"keys":[]}"#, "<html>"]
    {
        assert_eq!(Jwks::parse(text.as_bytes()).unwrap_err(), JwksError::Form, "{text}");
    }
    let deep = format!(r#"{{"keys":[{}{}]}}"#, "[".repeat(20), "]".repeat(20));
    assert_eq!(Jwks::parse(deep.as_bytes()).unwrap_err(), JwksError::Form);
    let long = format!(r#"{{"keys":[],"x":"{}"}}"#, "x".repeat(64 * 1024));
    assert_eq!(Jwks::parse(long.as_bytes()).unwrap_err(), JwksError::TooLarge);
    let many = vec![ED25519.jwk(); 17];
    assert_eq!(Jwks::parse(set(&many).as_bytes()).unwrap_err(), JwksError::TooManyKeys);
    assert_eq!(Jwks::parse(set(&many[1..]).as_bytes()).unwrap().keys.len(), 16);
    assert!(Jwks::parse(br#"{"keys":[]}"#).unwrap().keys.is_empty(), "an issuer may have none");
}
