//! Proofs for somebody who has nothing but the public key.

use turnpike_audit::{Disproven, Housekeeper, Proof, Retention, Time};

use crate::place::{Place, login, signer};

fn filled() -> Place {
    let place = Place::new();
    let (audit, closing) = place.open();
    for index in 0..40 {
        audit.decide_blocking(login(&format!("user-{index}"))).unwrap();
        if index % 13 == 0 {
            audit.rotate_blocking();
        }
    }
    closing.close();
    place
}

fn checkpoints(place: &Place) -> Vec<u64> {
    let text = place.text();
    let lines = text.lines().enumerate().filter(|(_, line)| line.contains("\"activity\":\"checkpoint\""));
    lines.map(|(seq, _)| seq as u64).collect()
}

#[test]
fn every_record_can_be_proven_to_be_there() {
    let place = filled();
    let last = *checkpoints(&place).last().unwrap();
    for seq in 0..last {
        for size in [None, Some(last)] {
            let proof = Proof::inclusion(place.path(), seq, size).unwrap();
            let json = serde_json::to_string(&proof).unwrap();
            let proof: Proof = serde_json::from_str(&json).unwrap();
            assert_eq!(proof.check(signer(1).public()), Ok(()), "{seq}");
            assert_eq!(proof.check(signer(2).public()), Err(Disproven::Signature));
        }
    }
    assert!(Proof::inclusion(place.path(), last, None).is_err(), "no checkpoint covers the last one");
}

#[test]
fn a_proof_with_another_record_proves_nothing() {
    let place = filled();
    let Proof::Inclusion { seq, record, checkpoint, path } = Proof::inclusion(place.path(), 5, None).unwrap()
    else {
        panic!("it is one of inclusion");
    };
    let text = place.text();
    let other = text.lines().nth(6).unwrap().to_owned();
    let key = signer(1);
    let with = |seq, record: &str| Proof::Inclusion {
        seq,
        record: record.into(),
        checkpoint: checkpoint.clone(),
        path: path.clone(),
    };
    assert_eq!(with(5, &other).check(key.public()), Err(Disproven::Number));
    assert!(matches!(with(6, &other).check(key.public()), Err(Disproven::Path(_))));
    assert!(matches!(
        with(5, &record.replace("info", "high")).check(key.public()),
        Err(Disproven::Record(_))
    ));
    assert_eq!(with(seq, &record).check(key.public()), Ok(()));
}

#[test]
fn growth_can_be_proven_between_any_two_checkpoints() {
    let place = filled();
    let sizes: Vec<_> = checkpoints(&place).into_iter().filter(|size| *size > 0).collect();
    for (index, older) in sizes.iter().enumerate() {
        for newer in &sizes[index..] {
            let proof = Proof::consistency(place.path(), *older, *newer).unwrap();
            assert_eq!(proof.check(signer(1).public()), Ok(()), "{older} {newer}");
        }
    }
    let [first, second, third] =
        [0, 1, 2].map(|index| Proof::consistency(place.path(), sizes[index], sizes[index + 1]).unwrap());
    let (Proof::Consistency { older, .. }, Proof::Consistency { path, .. }, Proof::Consistency { newer, .. }) =
        (first, second, third)
    else {
        panic!("they are of consistency");
    };
    assert!(Proof::Consistency { older, newer, path }.check(signer(1).public()).is_err());
}

#[test]
fn what_is_left_after_old_files_went_can_still_be_proven() {
    let place = filled();
    let (audit, closing) = place.open();
    audit.decide_blocking(login("late")).unwrap();
    let retention = Retention::default();
    let keeper = Housekeeper::new(audit, place.path(), retention);
    let far = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    keeper.keep(Time(far + 500 * 86_400_000)).unwrap();
    closing.close();
    let report = place.verify();
    assert!(report.first > 0);
    for seq in report.first..report.size - 1 {
        let proof = Proof::inclusion(place.path(), seq, Some(report.size - 1)).unwrap();
        assert_eq!(proof.check(signer(1).public()), Ok(()), "{seq}");
    }
    assert!(Proof::inclusion(place.path(), 0, None).is_err());
}
