//! Tokens that must be refused, each with the reason it must be refused for.
//!
//! Unless the point is the signature, each bears a genuine one: so it is refused for what it says and for nothing else.

use jsonwebtoken::Algorithm;
use turnpike_wire::{Code, Failure};

use crate::tokens::{HEADER, NOW, SECRET, base64url, payload, refused, sign, token, verifier};

fn with_header(more: &str) -> String {
    token(format!(r#"{{"alg":"HS256"{more}}}"#), payload(""))
}

fn with_payload(more: &str) -> String {
    token(HEADER, payload(more))
}

#[test]
fn form() {
    let sound = token(HEADER, payload(""));
    let parts: Vec<&str> = sound.split('.').collect();
    let [header, body, signature] = parts[..] else { panic!("three parts") };
    refused(
        &verifier(),
        &[
            ("nothing", String::new(), "form"),
            ("a word", "token".to_owned(), "form"),
            ("two parts", format!("{header}.{body}"), "form"),
            ("four parts", format!("{sound}.{signature}"), "form"),
            (
                "five parts, like an encrypted token",
                format!("{header}.{body}.{body}.{body}.{signature}"),
                "form",
            ),
            ("dots only", "..".to_owned(), "json"),
            ("with its scheme", format!("Bearer {sound}"), "encoding"),
            ("a line break behind it", format!("{sound}\n"), "encoding"),
            ("a space before it", format!(" {sound}"), "encoding"),
            ("padded", format!("{header}=.{body}.{signature}"), "encoding"),
            ("padded signature", format!("{sound}="), "encoding"),
            ("standard base64", sign(&format!("{header}+/.{body}"), SECRET, Algorithm::HS256), "encoding"),
            (
                "payload not base64url",
                sign(&format!("{header}.{body}!"), SECRET, Algorithm::HS256),
                "encoding",
            ),
            ("header not JSON", token("alg=HS256", payload("")), "json"),
            ("header a list", token(r#"["HS256"]"#, payload("")), "json"),
            ("header not UTF-8", token(b"{\"alg\":\"HS256\",\"\xff\":1}", payload("")), "json"),
            ("text behind the header", token(format!("{HEADER}{{}}"), payload("")), "json"),
            ("payload not JSON", token(HEADER, "sub=alice"), "json"),
            ("payload a string", token(HEADER, r#""alice""#), "json"),
            ("payload null", token(HEADER, "null"), "json"),
            ("payload empty", token(HEADER, ""), "json"),
            ("text behind the payload", token(HEADER, format!("{} x", payload(""))), "json"),
            ("a lone surrogate for a key", with_payload(r#","\ud800":1"#), "json"),
            ("too large", with_payload(&format!(r#","x":"{}""#, "x".repeat(8192))), "too_large"),
            (
                "nested in the payload",
                with_payload(&format!(r#","x":{}{}"#, "[".repeat(16), "]".repeat(16))),
                "depth",
            ),
            (
                "nested in the header",
                with_header(&format!(r#","x":{}{}"#, "[".repeat(16), "]".repeat(16))),
                "depth",
            ),
        ],
    );
}

#[test]
fn header() {
    let unsigned =
        |alg: &str| format!("{}.{}.", base64url(format!(r#"{{"alg":{alg}}}"#)), base64url(payload("")));
    let signed = |alg: &str| token(format!(r#"{{"alg":{alg}}}"#), payload(""));
    refused(
        &verifier(),
        &[
            ("unsigned", unsigned(r#""none""#), "algorithm"),
            ("unsigned, in capitals", unsigned(r#""NONE""#), "algorithm"),
            ("unsigned, mixed", unsigned(r#""nOnE""#), "algorithm"),
            ("none, and signed all the same", signed(r#""none""#), "algorithm"),
            ("no algorithm", token(r#"{"typ":"JWT"}"#, payload("")), "algorithm"),
            ("algorithm empty", signed(r#""""#), "algorithm"),
            ("algorithm null", signed("null"), "algorithm"),
            ("algorithm a list", signed(r#"["HS256"]"#), "algorithm"),
            ("algorithm in lower case", signed(r#""hs256""#), "algorithm"),
            ("algorithm with a space", signed(r#""HS256 ""#), "algorithm"),
            ("another algorithm of the family", signed(r#""HS384""#), "algorithm"),
            (
                "another algorithm, truly used",
                sign(
                    &format!("{}.{}", base64url(r#"{"alg":"HS512"}"#), base64url(payload(""))),
                    SECRET,
                    Algorithm::HS512,
                ),
                "algorithm",
            ),
            ("an algorithm of public keys", signed(r#""RS256""#), "algorithm"),
            ("an algorithm of curves", signed(r#""ES256""#), "algorithm"),
            ("algorithm twice", token(r#"{"alg":"none","alg":"HS256"}"#, payload("")), "duplicate"),
            (
                "algorithm twice, escaped",
                token(r#"{"alg":"HS256","\u0061lg":"none"}"#, payload("")),
                "duplicate",
            ),
            ("brings its key", with_header(r#","jwk":{"kty":"oct","k":"AA"}"#), "header"),
            ("names its key's address", with_header(r#","jku":"https://evil.example/keys""#), "header"),
            ("names a certificate's address", with_header(r#","x5u":"https://evil.example/cert""#), "header"),
            ("brings a certificate", with_header(r#","x5c":["MIIB"]"#), "header"),
            ("names a certificate", with_header(r#","x5t":"AAAA""#), "header"),
            ("names a certificate, newer", with_header(r#","x5t#S256":"AAAA""#), "header"),
            ("key header hidden by an escape", with_header(r#","\u006awk":{}"#), "header"),
            ("key header null", with_header(r#","jwk":null"#), "header"),
            ("critical extensions", with_header(r#","crit":["exp"]"#), "header"),
            ("payload not encoded", with_header(r#","b64":false"#), "header"),
            ("compressed", with_header(r#","zip":"DEF""#), "header"),
            ("encrypted", with_header(r#","enc":"A256GCM""#), "header"),
            ("another type", with_header(r#","typ":"JOSE""#), "type"),
            ("a type of another purpose", with_header(r#","typ":"dpop+jwt""#), "type"),
            ("type empty", with_header(r#","typ":"""#), "type"),
        ],
    );
}

#[test]
fn signature() {
    let sound = token(HEADER, payload(""));
    let (message, signature) = sound.rsplit_once('.').expect("three parts");
    let forged = message.replace(&base64url(payload("")), &base64url(payload(r#","role":"admin""#)));
    // 32 bytes leave two bits of the last character unused; the same signature must not have four spellings.
    let last = signature.chars().last().expect("a signature");
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let twin = alphabet
        .chars()
        .nth(alphabet.find(last).expect("base64url") + 1)
        .expect("the last one has no set bit");
    let respelled = format!("{message}.{}{twin}", &signature[..signature.len() - 1]);
    refused(
        &verifier(),
        &[
            ("no signature", format!("{message}."), "signature"),
            ("half a signature", format!("{message}.{}", &signature[..20]), "signature"),
            ("more than a signature", format!("{sound}AAAA"), "signature"),
            ("of another message", format!("{forged}.{signature}"), "signature"),
            ("zeros", format!("{message}.{}", base64url([0; 32])), "signature"),
            (
                "of another secret",
                sign(message, b"another secret of thirty-two bytes", Algorithm::HS256),
                "signature",
            ),
            ("of an empty secret", sign(message, b"", Algorithm::HS256), "signature"),
            ("of another algorithm", sign(message, SECRET, Algorithm::HS384), "signature"),
            ("respelled", respelled, "encoding"),
            ("not base64url", format!("{message}.{signature}*"), "encoding"),
        ],
    );
}

#[test]
fn claims() {
    let grants = vec![r#"{"match":"a","can":["join"]}"#; 65].join(",");
    refused(
        &verifier(),
        &[
            ("empty", token(HEADER, "{}"), "claim"),
            ("nobody", token(HEADER, format!(r#"{{"exp":{}}}"#, NOW + 60)), "claim"),
            ("subject a number", token(HEADER, format!(r#"{{"sub":5,"exp":{}}}"#, NOW + 60)), "claim"),
            ("subject empty", token(HEADER, format!(r#"{{"sub":"","exp":{}}}"#, NOW + 60)), "claim"),
            ("subject no id", token(HEADER, format!(r#"{{"sub":"a b","exp":{}}}"#, NOW + 60)), "claim"),
            (
                "subject too long",
                token(HEADER, format!(r#"{{"sub":"{}","exp":{}}}"#, "x".repeat(65), NOW + 60)),
                "claim",
            ),
            ("endless", token(HEADER, r#"{"sub":"alice"}"#), "claim"),
            ("end null", token(HEADER, r#"{"sub":"alice","exp":null}"#), "claim"),
            ("end a text", token(HEADER, format!(r#"{{"sub":"alice","exp":"{}"}}"#, NOW + 60)), "claim"),
            ("end negative", token(HEADER, r#"{"sub":"alice","exp":-1}"#), "claim"),
            ("end beyond all numbers", token(HEADER, r#"{"sub":"alice","exp":1e999}"#), "claim"),
            ("end beyond 2^53", token(HEADER, r#"{"sub":"alice","exp":9007199254740993}"#), "claim"),
            ("end beyond 2^53, as a float", token(HEADER, r#"{"sub":"alice","exp":1e300}"#), "claim"),
            ("ended", token(HEADER, format!(r#"{{"sub":"alice","exp":{}}}"#, NOW - 31)), "expired"),
            ("ended in 1970", token(HEADER, r#"{"sub":"alice","exp":0}"#), "expired"),
            ("not yet", with_payload(&format!(r#","nbf":{}"#, NOW + 60)), "not_yet"),
            ("beginning a text", with_payload(r#","nbf":"0""#), "claim"),
            ("beginning a truth", with_payload(r#","nbf":true"#), "claim"),
            ("issued tomorrow", with_payload(&format!(r#","iat":{}"#, NOW + 86_400)), "issued_in_future"),
            ("issue time a list", with_payload(r#","iat":[0]"#), "claim"),
            ("subject twice", with_payload(r#","sub":"admin""#), "duplicate"),
            ("subject twice, escaped", with_payload(r#","\u0073ub":"admin""#), "duplicate"),
            ("end twice", with_payload(r#","exp":99999999999"#), "duplicate"),
            ("an unknown claim twice", with_payload(r#","x":1,"x":1"#), "duplicate"),
            ("an audience, and we have none", with_payload(r#","aud":"elsewhere""#), "audience"),
            ("an unknown role", with_payload(r#","role":"root""#), "claim"),
            ("role in capitals", with_payload(r#","role":"Admin""#), "claim"),
            ("roles", with_payload(r#","role":["admin"]"#), "claim"),
            ("rooms a text", with_payload(r#","rooms":"*""#), "claim"),
            ("rooms of names", with_payload(r#","rooms":["chat:*"]"#), "claim"),
            ("a grant without rights", with_payload(r#","rooms":[{"match":"chat:*"}]"#), "claim"),
            (
                "a grant of an unknown right",
                with_payload(r#","rooms":[{"match":"chat:*","can":["fly"]}]"#),
                "claim",
            ),
            (
                "a grant with a star inside",
                with_payload(r#","rooms":[{"match":"ch*t","can":["join"]}]"#),
                "claim",
            ),
            (
                "a grant with an unknown key",
                with_payload(r#","rooms":[{"match":"a","can":[],"not":1}]"#),
                "claim",
            ),
            (
                "a grant that matches twice",
                with_payload(r#","rooms":[{"match":"a","match":"*","can":["join"]}]"#),
                "claim",
            ),
            (
                "media rights in a room",
                with_payload(r#","rooms":[{"match":"a","can":["publish"]}]"#),
                "claim",
            ),
            ("room rights on a stream", with_payload(r#","media":[{"match":"a","can":["join"]}]"#), "claim"),
            ("too many grants", with_payload(&format!(r#","rooms":[{grants}]"#)), "grants"),
            ("a name of control characters", with_payload(r#","name":"a\nb""#), "claim"),
            ("a name that turns around", with_payload(r#","name":"a\u202eb""#), "claim"),
            ("a lone surrogate for a name", with_payload(r#","name":"\ud800""#), "claim"),
            ("a name too long", with_payload(&format!(r#","name":"{}""#, "x".repeat(129))), "claim"),
            ("a token id that is a number", with_payload(r#","jti":7"#), "claim"),
        ],
    );
}

#[test]
fn issuer_and_audience() {
    let strict = verifier().issuer("https://login.example").audience("turnpike");
    let with = |iss: &str, aud: &str| with_payload(&format!(r#","iss":{iss},"aud":{aud}"#));
    assert!(strict.check(&with(r#""https://login.example""#, r#""turnpike""#), NOW).is_ok());
    refused(
        &strict,
        &[
            ("no issuer", with_payload(r#","aud":"turnpike""#), "issuer"),
            ("another issuer", with(r#""https://login.example.evil""#, r#""turnpike""#), "issuer"),
            ("issuer with a slash", with(r#""https://login.example/""#, r#""turnpike""#), "issuer"),
            ("issuers", with(r#"["https://login.example"]"#, r#""turnpike""#), "claim"),
            ("no audience", with_payload(r#","iss":"https://login.example""#), "audience"),
            ("another audience", with(r#""https://login.example""#, r#""turnpike2""#), "audience"),
            ("other audiences", with(r#""https://login.example""#, r#"["a","b"]"#), "audience"),
            ("no audiences", with(r#""https://login.example""#, "[]"), "audience"),
            ("audience a number", with(r#""https://login.example""#, "5"), "claim"),
        ],
    );
}

/// Whether it has expired, and nothing else: how far a forged token came is for us to know.
#[test]
fn what_the_client_is_told() {
    let told = |token: &str| Failure::from(verifier().check(token, NOW).expect_err("a bad token"));
    let expired = told(&token(HEADER, r#"{"sub":"alice","exp":1}"#));
    assert_eq!((expired.code, expired), (Code::TokenExpired, Code::TokenExpired.into()));
    let forged = sign(
        &format!("{}.{}", base64url(HEADER), base64url(payload(""))),
        b"another secret of thirty-two bytes",
        Algorithm::HS256,
    );
    for token in [&forged, "", "no token", &with_payload(r#","aud":"elsewhere""#), &token(HEADER, "{}")] {
        assert_eq!(told(token), Code::Unauthorized.into());
    }
}

/// Operators look reasons up by the label of a metric.
#[test]
fn the_document_names_every_reason() {
    let code = include_str!("../../src/token.rs");
    let document = include_str!("../../../../docs/tokens.md");
    let (_, slugs) = code.split_once("fn slug(").expect("reasons have names");
    let (slugs, _) = slugs.split_once("\n    }\n").expect("and that ends");
    let slugs: Vec<&str> = slugs.lines().filter_map(|line| line.split('"').nth(1)).collect();
    assert!(slugs.len() > 15, "{slugs:?}");
    for slug in slugs {
        assert!(document.contains(&format!("`{slug}`")), "{slug}");
    }
}
