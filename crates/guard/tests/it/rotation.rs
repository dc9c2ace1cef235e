//! Keys that are exchanged while tokens are checked.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use turnpike_guard::{KeyRing, TokenError, TokenKey, Verifier, mint};

use crate::signers::Signer;
use crate::tokens::{NOW, payload};

const ROTATIONS: usize = 20;
const CHECKERS: usize = 3;
/// Checks that must have been begun and ended with each pair of keys.
const CHECKS_PER_STEP: u64 = 60;

/// What an issuer has published, and a token by the key that signs at this moment.
struct Issued {
    /// Counts the keys that have signed.
    number: usize,
    token: String,
}

/// An issuer publishes the next key, signs with it, and withdraws the one before: no token that it gave out in the
/// meantime is refused, and none that an older key has signed is accepted.
#[test]
fn no_valid_login_is_lost_in_twenty_rotations() {
    let made = |number: usize| {
        let signer = if number.is_multiple_of(2) { Signer::p256() } else { Signer::ed25519() };
        let id = format!("key-{number}");
        let token = signer.sign(signer.header(&format!(r#","kid":"{id}""#)), payload(""));
        (signer.key().with_id(&id).unwrap(), token)
    };
    let (mut current, token) = made(0);
    let ring = KeyRing::new(vec![current.clone()]).unwrap();
    let issued = Mutex::new(Issued { number: 0, token });
    let (checks, ended) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..CHECKERS {
            scope.spawn(|| {
                let verifier = Verifier::new(ring.clone(), Vec::new());
                while !ended.load(Ordering::Relaxed) {
                    // Held while it is checked, so that the key is not withdrawn before: as the life of a token would.
                    let issued = issued.lock().unwrap();
                    let checked = verifier.check(&issued.token, NOW);
                    assert!(checked.is_ok(), "key {}: {checked:?}", issued.number);
                    drop(issued);
                    checks.fetch_add(1, Ordering::Relaxed);
                    std::thread::yield_now();
                }
            });
        }
        let some_checks = || {
            let until = checks.load(Ordering::Relaxed) + CHECKS_PER_STEP;
            while checks.load(Ordering::Relaxed) < until {
                std::thread::yield_now();
            }
        };
        let verifier = Verifier::new(ring.clone(), Vec::new());
        for number in 1..=ROTATIONS {
            some_checks();
            let (next, token) = made(number);
            assert_eq!(verifier.check(&token, NOW).unwrap_err().slug(), expected_before(&current, &next));
            ring.replace(vec![current.clone(), next.clone()]).unwrap();
            some_checks();
            let before = std::mem::replace(&mut *issued.lock().unwrap(), Issued { number, token });
            assert!(verifier.check(&before.token, NOW).is_ok(), "both are accepted");
            some_checks();
            ring.replace(vec![next.clone()]).unwrap();
            let gone = verifier.check(&before.token, NOW).unwrap_err();
            assert_eq!(gone, TokenError::Algorithm, "the two are of different kinds");
            current = next;
        }
        ended.store(true, Ordering::Relaxed);
    });
}

fn expected_before(current: &TokenKey, next: &TokenKey) -> &'static str {
    if current.algorithm() == next.algorithm() { "key" } else { "algorithm" }
}

/// Secrets have no ids: both are tried, whichever of them is the first.
#[test]
fn a_secret_is_exchanged_for_another() {
    let (old, new) = (b"the old secret, thirty-two bytes", b"the new secret, thirty-two bytes");
    let keys = [old, new].map(|secret| TokenKey::hs256(secret).unwrap());
    let [of_old, of_new] = [old, new].map(|secret| {
        let user = turnpike_wire::UserId::parse("alice").unwrap();
        mint(secret, &turnpike_guard::Claims::new(user, NOW + 60)).unwrap()
    });
    let ring = KeyRing::from(keys[0].clone());
    let verifier = Verifier::new(ring.clone(), Vec::new());
    let accepted = || [&of_old, &of_new].map(|token| verifier.check(token, NOW).is_ok());
    assert_eq!(accepted(), [true, false]);
    ring.replace(keys.to_vec()).unwrap();
    assert_eq!(accepted(), [true, true]);
    ring.replace(vec![keys[1].clone(), keys[0].clone()]).unwrap();
    assert_eq!(accepted(), [true, true]);
    ring.replace(vec![keys[1].clone()]).unwrap();
    assert_eq!(accepted(), [false, true]);
    ring.replace(Vec::new()).unwrap();
    assert_eq!(accepted(), [false, false]);
}
