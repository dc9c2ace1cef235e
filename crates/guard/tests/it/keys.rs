//! Keys of other kinds than a secret: what is read as one, what they accept, and what an attacker tries with them.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaKeyPair,
};
use jsonwebtoken::Algorithm;
use turnpike_guard::{KeyError, KeyRing, TokenKey, Verifier};

use crate::signers::{ED25519, P256, RSA, Signer, pem};
use crate::tokens::{NOW, SECRET, base64url, payload, refused, sign, verifier};

fn each() -> [&'static Signer; 3] {
    [&RSA, &P256, &ED25519]
}

fn only(key: TokenKey) -> Verifier {
    Verifier::new(key, Vec::new())
}

#[test]
fn each_kind_is_accepted() {
    for signer in each() {
        assert_eq!(signer.key().algorithm(), signer.algorithm());
        let token = signer.sign(signer.header(""), payload(""));
        assert_eq!(only(signer.key()).check(&token, NOW).unwrap().user.as_str(), "alice");
        let named = only(signer.key().with_id("2026-01").unwrap());
        assert!(named.check(&token, NOW).is_ok(), "without an id every key is tried");
        let token = signer.sign(signer.header(r#","kid":"2026-01""#), payload(""));
        assert!(named.check(&token, NOW).is_ok());
        assert!(
            only(signer.key()).check(&token, NOW).is_ok(),
            "a key without an id takes what is no other's"
        );
    }
}

#[test]
fn all_kinds_at_once() {
    let secret = TokenKey::hs256(SECRET).unwrap();
    let keys = each().map(|signer| signer.key().with_id(signer.algorithm()).unwrap());
    let ring = KeyRing::new([vec![secret], keys.to_vec()].concat()).unwrap();
    let verifier = Verifier::new(ring, Vec::new());
    for signer in each() {
        let own = format!(r#","kid":"{}""#, signer.algorithm());
        assert!(verifier.check(&signer.sign(signer.header(&own), payload("")), NOW).is_ok());
        assert!(verifier.check(&signer.sign(signer.header(""), payload("")), NOW).is_ok());
    }
    let with_secret = |header: &str| {
        let message = format!("{}.{}", base64url(header), base64url(payload("")));
        sign(&message, SECRET, Algorithm::HS256)
    };
    assert!(verifier.check(&with_secret(r#"{"alg":"HS256"}"#), NOW).is_ok());
    let signed_by =
        |signer: &Signer, id: &str| signer.sign(signer.header(&format!(r#","kid":"{id}""#)), payload(""));
    refused(
        &verifier,
        &[
            (
                "the secret under the name of RSA",
                with_secret(r#"{"alg":"HS256","kid":"RS256"}"#),
                "algorithm",
            ),
            ("P-256 under the name of RSA", signed_by(&P256, "RS256"), "algorithm"),
            ("RSA under a name of nobody", signed_by(&RSA, "2025"), "key"),
            ("RSA under an empty name", signed_by(&RSA, ""), "key"),
            ("RSA under a longer name", signed_by(&RSA, "RS256 "), "key"),
            ("RSA under a path", signed_by(&RSA, "../../dev/null"), "key"),
            ("RSA under a question", signed_by(&RSA, "' or 1=1 --"), "key"),
            (
                "another RSA key under the name of RSA",
                signed_by(&Signer::rsa(KeySize::Rsa2048), "RS256"),
                "signature",
            ),
        ],
    );
}

#[test]
fn the_public_key_is_no_secret() {
    for signer in each() {
        let verifier = only(signer.key());
        let message = format!("{}.{}", base64url(r#"{"alg":"HS256","typ":"JWT"}"#), base64url(payload("")));
        let honest = format!("{}.{}", base64url(signer.header("")), base64url(payload("")));
        let point = &signer.der()[signer.der().len() - 32..];
        for secret in [signer.pem().as_bytes(), signer.pem().trim_end().as_bytes(), &signer.der(), point, b""]
        {
            for (message, slug) in [(&message, "algorithm"), (&honest, "signature")] {
                for algorithm in [Algorithm::HS256, Algorithm::HS512] {
                    let token = sign(message, secret, algorithm);
                    refused(&verifier, &[(signer.algorithm(), token, slug)]);
                }
            }
        }
    }
}

#[test]
fn signatures_that_are_none() {
    for signer in each() {
        let verifier = only(signer.key());
        let sound = signer.sign(signer.header(""), payload(""));
        let (message, text) = sound.rsplit_once('.').unwrap();
        let signature = signer.signature(message.as_bytes());
        let with = |bytes: &[u8]| format!("{message}.{}", base64url(bytes));
        let other = match signer {
            Signer::Rsa(_) => Signer::rsa(KeySize::Rsa2048),
            Signer::P256(_) => Signer::p256(),
            Signer::Ed25519(_) => Signer::ed25519(),
        };
        let admin = base64url(payload(r#","role":"admin""#));
        let mut flipped = signature.clone();
        flipped[7] ^= 1;
        refused(
            &verifier,
            &[
                ("none", format!("{message}."), "signature"),
                ("of another key", other.sign(signer.header(""), payload("")), "signature"),
                (
                    "of another payload",
                    format!("{}.{admin}.{text}", base64url(signer.header(""))),
                    "signature",
                ),
                ("zeros", with(&vec![0; signature.len()]), "signature"),
                ("ones", with(&vec![0xff; signature.len()]), "signature"),
                ("one bit", with(&flipped), "signature"),
                ("short", with(&signature[..signature.len() - 1]), "signature"),
                ("long", with(&[&*signature, &[0]].concat()), "signature"),
                ("zero before it", with(&[&[0], &*signature].concat()), "signature"),
                ("twice", with(&[&*signature, &*signature].concat()), "signature"),
                ("padded", format!("{sound}=="), "encoding"),
                (
                    "unsigned",
                    format!("{}.{}.", base64url(r#"{"alg":"none"}"#), base64url(payload(""))),
                    "algorithm",
                ),
                (
                    "a kid that is a number",
                    signer.sign(signer.header(r#","kid":1"#), payload("")),
                    "header_form",
                ),
                (
                    "a kid that is a list",
                    signer.sign(signer.header(r#","kid":["a"]"#), payload("")),
                    "header_form",
                ),
                ("two kids", signer.sign(signer.header(r#","kid":"a","kid":"b""#), payload("")), "duplicate"),
                (
                    "its own key",
                    other.sign(signer.header(&format!(r#","jwk":{{{}}}"#, other.jwk())), payload("")),
                    "header",
                ),
                (
                    "the way to its own key",
                    other.sign(signer.header(r#","jku":"https://a.example/keys""#), payload("")),
                    "header",
                ),
                ("a certificate", other.sign(signer.header(r#","x5c":["MII"]"#), payload("")), "header"),
                (
                    "the way to a certificate",
                    other.sign(signer.header(r#","x5u":"https://a.example/c""#), payload("")),
                    "header",
                ),
                (
                    "what must be understood",
                    signer.sign(signer.header(r#","crit":["exp"]"#), payload("")),
                    "header",
                ),
                ("ended", signer.sign(signer.header(""), r#"{"sub":"alice","exp":1}"#), "expired"),
                ("endless", signer.sign(signer.header(""), r#"{"sub":"alice"}"#), "claim"),
            ],
        );
        for named in ["RS256", "RS512", "PS256", "ES256", "ES384", "EdDSA", "HS256", "none", "", "rs256"] {
            if named != signer.algorithm() {
                let token = signer.sign(format!(r#"{{"alg":"{named}"}}"#), payload(""));
                refused(&verifier, &[(named, token, "algorithm")]);
            }
        }
    }
}

#[test]
fn signatures_of_relatives() {
    let message = format!("{}.{}", base64url(RSA.header("")), base64url(payload("")));
    let of_rsa =
        |encoding| format!("{message}.{}", base64url(RSA.rsa_signature(encoding, message.as_bytes())));
    refused(
        &only(RSA.key()),
        &[("PSS", of_rsa(&RSA_PSS_SHA256), "signature"), ("SHA-512", of_rsa(&RSA_PKCS1_SHA512), "signature")],
    );
    let Signer::P256(pair) = &*P256 else { panic!("a key of P-256") };
    let message = format!("{}.{}", base64url(P256.header("")), base64url(payload("")));
    // The form that other protocols write signatures in: a sequence of two numbers.
    let signature = pair.sign(&aws_lc_rs::rand::SystemRandom::new(), message.as_bytes()).unwrap();
    let number = |bytes: &[u8]| [&[2, 33, 0], bytes].concat();
    let (r, s) = signature.as_ref().split_at(32);
    let sequence = [&[0x30, 70], &*number(r), &*number(s)].concat();
    refused(&only(P256.key()), &[("a sequence", format!("{message}.{}", base64url(sequence)), "signature")]);
}

#[test]
fn what_is_read_as_a_key() {
    let windows = RSA.pem().replace('\n', "\r\n");
    let one_line = P256.pem().trim_end().replace('\n', "\\n");
    let described = format!("Key of 2026\n{}\n\n", ED25519.pem());
    for (text, algorithm) in [(&windows, "RS256"), (&one_line, "ES256"), (&described, "EdDSA")] {
        assert_eq!(TokenKey::public(text).unwrap().algorithm(), algorithm);
    }
    let Signer::Rsa(pair) = &*RSA else { panic!("an RSA key") };
    let pkcs1 = pem("RSA PUBLIC KEY", pair.public_key().as_ref());
    let token = RSA.sign(RSA.header(""), payload(""));
    assert!(only(TokenKey::public(&pkcs1).unwrap()).check(&token, NOW).is_ok());
}

#[test]
fn what_is_read_as_no_key() {
    let Signer::Rsa(pair) = &*RSA else { panic!("an RSA key") };
    let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let private = pem("PRIVATE KEY", private.as_ref());
    let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    let p384 = p384.public_key().as_der().unwrap();
    let mut beside_the_curve = P256.der();
    *beside_the_curve.last_mut().unwrap() ^= 1;
    let cut = |der: &[u8]| pem("PUBLIC KEY", &der[..der.len() - 1]);
    for (what, text, error) in [
        ("nothing", String::new(), KeyError::NotPem),
        ("words", "a public key".to_owned(), KeyError::NotPem),
        ("a private key", private.clone(), KeyError::Private),
        ("a private key behind the public one", RSA.pem() + &private, KeyError::Private),
        ("two keys", RSA.pem() + &P256.pem(), KeyError::NotPem),
        ("a certificate", pem("CERTIFICATE", &RSA.der()), KeyError::NotPem),
        ("an end of something else", RSA.pem().replace("END PUBLIC", "END RSA PUBLIC"), KeyError::NotPem),
        ("no end", RSA.pem().split("-----END").next().unwrap().to_owned(), KeyError::NotPem),
        ("half of it", RSA.pem()[..200].to_owned(), KeyError::NotPem),
        ("a star in it", RSA.pem().replace("MII", "M*I"), KeyError::NotPem),
        ("P-384", pem("PUBLIC KEY", p384.as_ref()), KeyError::Kind),
        ("a point beside the curve", pem("PUBLIC KEY", &beside_the_curve), KeyError::Kind),
        ("RSA without its end", cut(&RSA.der()), KeyError::Kind),
        ("P-256 without its end", cut(&P256.der()), KeyError::Kind),
        ("Ed25519 without its end", cut(&ED25519.der()), KeyError::Kind),
        ("an empty block", pem("PUBLIC KEY", b""), KeyError::Kind),
        ("very much", format!("{}{}", " ".repeat(16 * 1024), RSA.pem()), KeyError::NotPem),
    ] {
        assert_eq!(TokenKey::public(&text).map(|key| key.algorithm()), Err(error), "{what}");
    }
    let id = "x".repeat(129);
    for id in ["", "a\nb", &id] {
        assert_eq!(RSA.key().with_id(id).map(|_| ()), Err(KeyError::Id));
    }
}

#[test]
fn rsa_keys_that_are_worth_nothing() {
    let number = |bytes: &[u8]| {
        // Never as long as 64 KiB, and positive.
        let bytes = [&[0], bytes].concat();
        let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        [&[2, 0x82, length[0], length[1]], &*bytes].concat()
    };
    let key = |n: &[u8], e: &[u8]| {
        let numbers = [number(n), number(e)].concat();
        let length = u16::try_from(numbers.len()).unwrap().to_be_bytes();
        pem("RSA PUBLIC KEY", &[&[0x30, 0x82, length[0], length[1]], &*numbers].concat())
    };
    let Signer::Rsa(pair) = &*RSA else { panic!("an RSA key") };
    let n = pair.public_key().modulus().big_endian_without_leading_zero().to_vec();
    // The library looks first: which of both refuses does not matter.
    for (what, n, e) in [
        ("1,024 bits", &n[..128], &[1, 0, 1][..]),
        ("512 bits", &n[..64], &[1, 0, 1]),
        ("exponent 1", &n, &[1]),
        ("exponent 0", &n, &[0]),
        ("even exponent", &n, &[1, 0, 0]),
        ("exponent of 40 bits", &n, &[0x80, 0, 0, 0, 1]),
    ] {
        assert!(TokenKey::public(&key(n, e)).is_err(), "{what}");
    }
    let small = RsaKeyPair::generate(KeySize::Rsa3072).unwrap();
    assert!(TokenKey::public(&pem("RSA PUBLIC KEY", small.public_key().as_ref())).is_ok());
}

#[test]
fn a_header_that_is_an_older_form_of_ours_changes_nothing() {
    let token = RSA.sign(RSA.header(r#","kid":"a""#), payload(""));
    refused(&verifier(), &[("RSA, where there is a secret alone", token, "algorithm")]);
}
