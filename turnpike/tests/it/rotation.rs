//! Keys of tokens are exchanged in the running system, again and again, while users log in without a pause: nobody who has a
//! valid token is refused, and no key outlives its file.

use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::keys::{Issuer, replace};
use crate::polling::Client;
use crate::process::{Directory, System, eventually};

const USERS: usize = 3;
/// Logins that must have been begun and ended between two steps.
const LOGINS_PER_STEP: usize = 6;

#[test]
fn no_valid_login_is_refused_while_keys_change() {
    rotate(2);
}

#[test]
#[ignore = "each takes two readings of the files; cargo xtask test --long"]
fn no_valid_login_is_refused_in_twenty_rotations() {
    rotate(20);
}

fn rotate(rotations: usize) {
    let directory = Directory::new();
    let (first, never) = (Issuer::new(), Issuer::new());
    let files = [directory.write("a.pem", &first.pem()), directory.write("b.pem", &never.pem())];
    let keys = format!("a=file:{}, b=file:{}", files[0].display(), files[1].display());
    let system = System::start_with(&directory, &[], &[("TURNPIKE_JWT_PUBLIC_KEYS", &keys)]);
    let gateway = system.gateway.clone();
    let enters = |token: &str| Client::enter(&gateway, token).receive("4").starts_with("40");
    let issued = RwLock::new(first.token("a"));
    let (logins, ended) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let users: Vec<_> = (0..USERS)
            .map(|_| {
                scope.spawn(|| {
                    while !ended.load(Ordering::Relaxed) {
                        // Held meanwhile: a key is not withdrawn before the last of its tokens has ended.
                        let token = issued.read().unwrap();
                        if !enters(&token) {
                            ended.store(true, Ordering::Relaxed);
                            return false;
                        }
                        logins.fetch_add(1, Ordering::Relaxed);
                    }
                    true
                })
            })
            .collect();
        let some_logins = || {
            let until = logins.load(Ordering::Relaxed) + LOGINS_PER_STEP;
            eventually("some log in", || {
                logins.load(Ordering::Relaxed) >= until || ended.load(Ordering::Relaxed)
            });
        };
        let mut earlier = never.token("b");
        for number in 1..=rotations {
            if ended.load(Ordering::Relaxed) {
                break;
            }
            // Into the slot whose key signs no more.
            let (slot, name) = if number % 2 == 1 { (&files[1], "b") } else { (&files[0], "a") };
            let next = Issuer::new();
            replace(slot, &next.pem());
            eventually("the next key is read", || enters(&next.token(name)));
            assert!(!enters(&earlier), "rotation {number}: a key outlives its file");
            some_logins();
            earlier = std::mem::replace(&mut *issued.write().unwrap(), next.token(name));
            assert!(enters(&earlier), "rotation {number}: both count for a while");
            some_logins();
        }
        ended.store(true, Ordering::Relaxed);
        for user in users {
            assert!(user.join().unwrap(), "a valid login was refused");
        }
    });
    assert!(logins.load(Ordering::Relaxed) >= 2 * rotations * LOGINS_PER_STEP);
}
