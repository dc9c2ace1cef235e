//! Fuzz targets: a log whose bytes were changed by chance, checkpoints and proofs likewise. Nothing panics, nothing grows, and
//! what was changed is not taken for sound.
//!
//! Their corpus stands in `corpus/<target>/`; `cargo test -p turnpike-audit -- --ignored corpus_anew` makes it anew.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use turnpike_audit::{
    Form, LINE_BYTES_MAX, Lines, Note, Proof, Record, SegmentName, Verdict, Verify, segments,
};
use turnpike_fuzz::fuzz;

use crate::place::{Place, Witness, login, signer, trust};

#[test]
fn readers_hold() {
    fuzz!("log", log);
}

#[test]
fn checkpoints_hold() {
    fuzz!("note", note);
}

#[test]
fn proofs_hold() {
    fuzz!("proof", proof);
}

/// What must pass, and every word of it.
static LOG: &[u8] = include_bytes!("../../corpus/log/small");
static NOTE: &[u8] = include_bytes!("../../corpus/note/small");
static PROOF: &[u8] = include_bytes!("../../corpus/proof/inclusion");

#[test]
fn the_corpus_is_understood() {
    let report = VERIFY.files(&[(name(), LOG)]);
    assert_eq!(report.verdict, Verdict::Sound, "{:?}", report.finding);
    assert!(Note::parse(std::str::from_utf8(NOTE).unwrap()).unwrap().is_signed_by(signer(1).public()));
    serde_json::from_slice::<Proof>(PROOF).unwrap().check(signer(1).public()).unwrap();
}

static VERIFY: LazyLock<Verify> =
    LazyLock::new(|| Verify { trust: trust(), tail_max: Duration::from_secs(10), anchors_needed: false });

fn verdict(log: &[u8]) -> Verdict {
    VERIFY.files(&[(name(), log)]).verdict
}

/// Of the file that the corpus is from: it bears the time of its first record.
fn name() -> SegmentName {
    let first = LOG.split(|byte| *byte == b'\n').next().unwrap_or_default();
    SegmentName::new(0, Record::read(first).and_then(|record| record.time()).expect("it is in the corpus"))
}

/// Whoever reads a log for what it says, and whoever verifies it.
fn log(data: &[u8]) {
    let mut lines = Lines::new(data);
    while let Some(line) = lines.next_line().expect("bytes can always be read") {
        assert!(line.bytes.len() <= LINE_BYTES_MAX + 1);
        let Some(record) = Record::read(line.bytes) else { continue };
        let (_, _, _, _) = (record.seq(), record.time(), record.class(), record.activity());
        let (_, _, _, _) = (record.node(), record.personal("actor.user"), record.object(), record.detail());
        for form in Form::ALL {
            assert!(!form.line(&record).contains('\n'), "{}: a line of its own", form.word());
        }
    }
    if verdict(data) == Verdict::Sound {
        assert!(LOG.starts_with(data), "changed, and taken for sound");
    }
}

fn note(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(note) = Note::parse(text) else { return };
    if note.is_signed_by(signer(1).public()) {
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).split("\n\n").next().map(ToOwned::to_owned);
        assert_eq!(said(data), said(NOTE), "nobody signs by chance");
    }
}

/// A proof may be written in several ways, as JSON may, and prove the same.
fn proof(data: &[u8]) {
    let Ok(proof) = serde_json::from_slice::<Proof>(data) else { return };
    if proof.check(signer(1).public()).is_ok() {
        let original: Proof = serde_json::from_slice(PROOF).expect("it is in the corpus");
        let text = |proof: &Proof| serde_json::to_value(proof).expect("it was JSON");
        let (found, original) = (text(&proof), text(&original));
        assert_eq!(found["checkpoint"], original["checkpoint"], "nobody signs by chance");
    }
}

#[test]
#[ignore = "writes into the repository"]
fn corpus_anew() {
    let place = Place::new();
    let witness = Witness::default();
    let anchor = Box::new(witness.clone());
    let (audit, closing) = turnpike_audit::Audit::open(&place.settings(), vec![signer(1)], anchor).unwrap();
    for user in ["alice", "bob", "mallory"] {
        audit.decide_blocking(login(user)).unwrap();
    }
    closing.close();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let write = |target: &str, name: &str, bytes: &[u8]| {
        std::fs::create_dir_all(corpus.join(target)).unwrap();
        std::fs::write(corpus.join(target).join(name), bytes).unwrap();
    };
    assert_eq!(segments(place.path()).unwrap().len(), 1);
    let text = place.text();
    write("log", "small", text.as_bytes());
    write("log", "line", text.lines().nth(1).unwrap().as_bytes());
    write("log", "torn", &text.as_bytes()[..text.len() - 40]);
    write("note", "small", witness.notes().last().unwrap().text().as_bytes());
    let inclusion = Proof::inclusion(place.path(), 1, None).unwrap();
    write("proof", "inclusion", serde_json::to_string(&inclusion).unwrap().as_bytes());
}
