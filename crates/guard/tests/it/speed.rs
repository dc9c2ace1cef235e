//! What a check costs. It prints and holds nothing: `cargo test --release -p turnpike-guard -- --ignored speed --nocapture`.
#![allow(clippy::print_stdout, reason = "figures are what it is for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use turnpike_guard::Verifier;

use crate::signers::{ED25519, P256, RSA, Signer};
use crate::tokens::{HEADER, NOW, payload, token, verifier};

const GRANTS: &str =
    r#","iat":1,"jti":"0123456789abcdef","rooms":[{"match":"chat:*","can":["join","send","history"]}]"#;
const LENGTH: Duration = Duration::from_secs(2);

#[test]
#[ignore = "prints figures"]
fn speed() {
    measure("HS256", &verifier(), &token(HEADER, payload(GRANTS)));
    let signers: [&Signer; 3] = [&RSA, &P256, &ED25519];
    for signer in signers {
        let token = signer.sign(signer.header(""), payload(GRANTS));
        measure(signer.algorithm(), &Verifier::new(signer.key(), Vec::new()), &token);
    }
}

fn measure(what: &str, verifier: &Verifier, token: &str) {
    let begin = Instant::now();
    let mut count = 0u32;
    while begin.elapsed() < LENGTH {
        for _ in 0..50 {
            assert!(black_box(verifier.check(black_box(token), NOW)).is_ok());
        }
        count += 50;
    }
    let each = begin.elapsed() / count;
    println!(
        "{what}: {:.0} a second on one core, {each:?} each, {} bytes",
        1.0 / each.as_secs_f64(),
        token.len()
    );
}
