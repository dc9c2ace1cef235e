//! One key after another, and who may follow whom.

use turnpike_audit::{Audit, Problem, Trust, Verdict};

use crate::place::{Place, login, signer};

fn trusting(seeds: &[u8]) -> Trust {
    Trust { keys: seeds.iter().map(|seed| signer(*seed).public().clone()).collect(), anchors: Vec::new() }
}

#[test]
fn a_key_that_the_one_before_has_signed_for_needs_no_further_trust() {
    let place = Place::new();
    let (audit, closing) = place.open();
    audit.decide_blocking(login("alice")).unwrap();
    assert!(audit.rotate_key(signer(2)));
    audit.decide_blocking(login("bob")).unwrap();
    closing.close();
    let report = place.verify_with(trusting(&[1]), false);
    assert_eq!(
        (report.verdict, report.key.as_ref()),
        (Verdict::Sound, Some(signer(2).public())),
        "{report:?}"
    );
    // With the new key alone the beginning is not vouched for.
    assert!(matches!(place.verify_with(trusting(&[2]), false).finding.unwrap().problem, Problem::Signer(_)));
}

#[test]
fn a_key_that_is_new_at_a_start_is_introduced() {
    let place = Place::new();
    place.open().1.close();
    let keys = || vec![signer(1), signer(2)];
    for _ in 0..2 {
        Audit::open(&place.settings(), keys(), Box::new(())).unwrap().1.close();
    }
    Audit::open(&place.settings(), vec![signer(2)], Box::new(())).unwrap().1.close();
    assert_eq!(place.text().matches("\"activity\":\"key_introduced\"").count(), 1);
    let report = place.verify_with(trusting(&[1]), false);
    assert_eq!(
        (report.verdict, report.key.as_ref()),
        (Verdict::Sound, Some(signer(2).public())),
        "{report:?}"
    );
}

#[test]
fn a_key_that_nobody_vouches_for_is_trusted_only_by_who_names_it() {
    let place = Place::new();
    place.open().1.close();
    // The old key is lost: it cannot sign for the new one.
    Audit::open(&place.settings(), vec![signer(2)], Box::new(())).unwrap().1.close();
    assert!(matches!(place.verify_with(trusting(&[1]), false).finding.unwrap().problem, Problem::Signer(_)));
    assert_eq!(place.verify_with(trusting(&[1, 2]), false).verdict, Verdict::Sound);
}

#[test]
fn a_key_that_was_replaced_signs_nothing_any_more() {
    let place = Place::new();
    place.open().1.close();
    Audit::open(&place.settings(), vec![signer(1), signer(2)], Box::new(())).unwrap().1.close();
    assert_eq!(place.verify_with(trusting(&[1]), false).verdict, Verdict::Sound);
    // Somebody found the old key and goes on with it: it introduces itself, and the new key has not signed for that.
    place.open().1.close();
    let finding = place.verify_with(trusting(&[1]), false).finding.unwrap();
    assert!(matches!(finding.problem, Problem::Signer(_)), "{finding}");
}
