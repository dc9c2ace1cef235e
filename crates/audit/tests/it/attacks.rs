//! Everything that somebody with the files could do to them, by name, each found where it was done.
//!
//! Two kinds of attacker: one who can only write files, and one who knows the format and makes every hash anew. The second cannot sign;
//! one who can sign as well is found by what was kept elsewhere.

use std::collections::BTreeMap;
use std::time::Duration;

use turnpike_audit::{
    Audit, BadLine, Event, Kind, Note, Outcome, Problem, Report, SegmentName, Settings, Trust, Verdict,
    Verify, segments,
};

use crate::place::{Place, Witness, login, signer, trust};

/// Some files with some of everything, and what a witness has of them.
struct Log {
    place: Place,
    notes: Vec<Note>,
}

const FILES: usize = 3;

impl Log {
    fn new() -> Self {
        let place = Place::new();
        let witness = Witness::default();
        let anchor = Box::new(witness.clone());
        let (audit, closing) = Audit::open(&place.settings(), vec![signer(1)], anchor).unwrap();
        for file in 0..FILES {
            for index in 0..8 {
                audit.decide_blocking(login(&format!("user-{file}-{index}"))).unwrap();
            }
            if file + 1 < FILES {
                audit.rotate_blocking();
            }
        }
        closing.close();
        let log = Self { place, notes: witness.notes() };
        assert_eq!(log.verify().verdict, Verdict::Sound);
        log
    }

    fn trust(&self) -> Trust {
        Trust { anchors: self.notes.clone(), ..trust() }
    }

    fn verify(&self) -> Report {
        self.place.verify_with(self.trust(), true)
    }

    /// A copy of which one file has other lines.
    fn with_lines(&self, file: usize, change: impl FnOnce(&mut Vec<String>)) -> Place {
        let copy = self.place.copy();
        let path = &segments(copy.path()).unwrap()[file].path;
        let mut lines: Vec<String> =
            std::fs::read_to_string(path).unwrap().lines().map(|line| format!("{line}\n")).collect();
        change(&mut lines);
        std::fs::write(path, lines.concat()).unwrap();
        copy
    }

    /// The number of the record on a line of a file.
    fn seq(&self, file: usize, line: usize) -> u64 {
        segments(self.place.path()).unwrap()[file].name.first + line as u64
    }
}

fn found(place: &Place, trust: Trust) -> (Verdict, u64, Problem) {
    let report = place.verify_with(trust, true);
    let finding = report.finding.unwrap_or_else(|| panic!("nothing found: {:?}", report.verdict));
    (report.verdict, finding.seq, finding.problem)
}

#[test]
fn what_a_writer_of_files_does_is_found_where_it_was_done() {
    let log = Log::new();
    let found = |place: &Place| found(place, log.trust());
    let at = |line: usize| log.seq(1, line);
    let tampered = |line: usize, problem: Problem| (Verdict::Tampered, at(line), problem);

    let changed = log.with_lines(1, |lines| lines[3] = lines[3].replace("login", "logon"));
    assert_eq!(found(&changed), tampered(3, Problem::Line(BadLine::Hash)));
    let renamed = log.with_lines(1, |lines| lines[3] = lines[3].replace("\"user-1-1\"", "\"user-1-9\""));
    assert_eq!(found(&renamed), tampered(3, Problem::Line(BadLine::Beside)));
    let spaced = log.with_lines(1, |lines| lines[3] = lines[3].replace("\":", "\": "));
    assert_eq!(found(&spaced), tampered(3, Problem::Line(BadLine::NotCanonical)));
    let doubled = log.with_lines(1, |lines| lines[3] = lines[3].replacen('{', "{\"activity\":\"x\",", 1));
    assert_eq!(found(&doubled), tampered(3, Problem::Line(BadLine::NotCanonical)));
    let garbage = log.with_lines(1, |lines| lines[3] = "nothing\n".into());
    assert_eq!(found(&garbage), tampered(3, Problem::Line(BadLine::Unreadable)));
    let long = log.with_lines(1, |lines| lines[3] = format!("{}\n", "x".repeat(100_000)));
    assert_eq!(found(&long), tampered(3, Problem::Line(BadLine::Long)));

    let deleted = log.with_lines(1, |lines| drop(lines.remove(3)));
    assert_eq!(found(&deleted), tampered(3, Problem::Missing { found: at(4) }));
    let inserted = log.with_lines(1, |lines| lines.insert(3, lines[2].clone()));
    assert_eq!(found(&inserted), tampered(3, Problem::Repeated { found: at(2) }));
    let empty = log.with_lines(1, |lines| lines.insert(3, "\n".into()));
    assert_eq!(found(&empty), tampered(3, Problem::Line(BadLine::Unreadable)));
    let swapped = log.with_lines(1, |lines| lines.swap(3, 4));
    assert_eq!(found(&swapped), tampered(3, Problem::Missing { found: at(4) }));
    let cut = log.with_lines(1, |lines| lines.truncate(4));
    assert_eq!(found(&cut), (Verdict::Gap, at(4), Problem::SegmentMissing { until: log.seq(2, 0) }));
    let unsigned = log.with_lines(1, |lines| drop(lines.remove(1)));
    assert_eq!(found(&unsigned), tampered(1, Problem::Missing { found: at(2) }));
    let erased = log.with_lines(1, |lines| {
        let from = lines[3].find(",\"beside\"").unwrap();
        let to = lines[3].find(",\"class\"").unwrap();
        lines[3].replace_range(from..to, "");
    });
    assert_eq!(found(&erased), tampered(3, Problem::Removed));
}

#[test]
fn files_that_are_moved_or_missing_are_found() {
    let log = Log::new();
    let found = |place: &Place| found(place, log.trust());
    let files = |place: &Place| segments(place.path()).unwrap();

    let missing = log.place.copy();
    std::fs::remove_file(&files(&missing)[1].path).unwrap();
    assert_eq!(
        found(&missing),
        (Verdict::Gap, log.seq(1, 0), Problem::SegmentMissing { until: log.seq(2, 0) })
    );

    let headless = log.place.copy();
    std::fs::remove_file(&files(&headless)[0].path).unwrap();
    assert_eq!(found(&headless), (Verdict::Gap, 0, Problem::BeginningMissing { first: log.seq(1, 0) }));

    let replaced = log.place.copy();
    std::fs::copy(&files(&replaced)[0].path, &files(&replaced)[1].path).unwrap();
    assert_eq!(found(&replaced), (Verdict::Tampered, log.seq(1, 0), Problem::SegmentHead));

    let exchanged = log.place.copy();
    let [one, other] = [1, 2].map(|file| std::fs::read(&files(&exchanged)[file].path).unwrap());
    std::fs::write(&files(&exchanged)[1].path, other).unwrap();
    std::fs::write(&files(&exchanged)[2].path, one).unwrap();
    assert_eq!(found(&exchanged), (Verdict::Tampered, log.seq(1, 0), Problem::SegmentHead));

    let doubled = log.place.copy();
    let path = &files(&doubled)[1].path;
    std::fs::copy(path, path.with_file_name("audit-0000000000000011-20200101T000000Z.ndjson")).unwrap();
    assert!(matches!(
        found(&doubled).2,
        Problem::Repeated { .. } | Problem::SegmentMissing { .. } | Problem::SegmentHead
    ));

    // A file of another log of the same shape, under the same name.
    let other = Log::new();
    let foreign = log.place.copy();
    std::fs::copy(&files(&other.place)[1].path, &files(&foreign)[1].path).unwrap();
    assert_eq!(found(&foreign).0, Verdict::Tampered);
}

/// Makes a log of the same events anew, as somebody would who knows the format.
fn forged(log: &Log, seed: u8, change: impl Fn(usize, usize) -> Option<Event>) -> (Place, Vec<Note>) {
    let place = Place::new();
    let witness = Witness::default();
    let settings = Settings { directory: place.path().into(), ..log.place.settings() };
    let (audit, closing) = Audit::open(&settings, vec![signer(seed)], Box::new(witness.clone())).unwrap();
    for file in 0..FILES {
        for index in 0..8 {
            if let Some(event) = change(file, index) {
                audit.decide_blocking(event).unwrap();
            }
        }
        if file + 1 < FILES {
            audit.rotate_blocking();
        }
    }
    closing.close();
    (place, witness.notes())
}

fn innocent(file: usize, index: usize) -> Option<Event> {
    ((file, index) != (1, 3)).then(|| login(&format!("user-{file}-{index}")))
}

#[test]
fn a_log_that_is_made_anew_is_found_by_its_signature_and_by_what_was_kept_elsewhere() {
    let log = Log::new();
    // With another key.
    let (resigned, _) = forged(&log, 2, innocent);
    let (verdict, seq, problem) = found(&resigned, trust());
    assert_eq!((verdict, seq), (Verdict::Tampered, 1));
    assert!(matches!(problem, Problem::Signer(_)), "{problem:?}");
    // With the stolen key: sound by itself, so anchors must tell.
    let (rewritten, _) = forged(&log, 1, innocent);
    assert_eq!(rewritten.verify().verdict, Verdict::Sound);
    let (verdict, _, problem) = found(&rewritten, log.trust());
    assert_eq!(
        (verdict, problem),
        (Verdict::Tampered, Problem::Anchor { size: log.notes[0].checkpoint.size })
    );
    // Nothing signed at all.
    let bare = log.with_lines(0, |lines| lines.truncate(1));
    for file in &segments(bare.path()).unwrap()[1..] {
        std::fs::remove_file(&file.path).unwrap();
    }
    let report = bare.verify();
    assert_eq!(report.finding.unwrap().problem, Problem::NeverSigned);
}

/// Hashes made anew from a record on, without a signature: what an attacker can do in a text editor with a little program.
#[test]
fn hashes_made_anew_do_not_help_without_the_key() {
    let log = Log::new();
    let place = log.with_lines(1, |lines| {
        rehashed(lines, 3, |record| record["reason"] = "not_me".into());
    });
    let (verdict, seq, problem) = found(&place, log.trust());
    // The change is before the first signature behind it; the anchor of the same size is asked first.
    let last = log.seq(1, 11) - 1;
    assert_eq!((verdict, seq), (Verdict::Tampered, last), "{problem:?}");
    assert_eq!(problem, Problem::Anchor { size: last });
    let (_, seq, problem) = found(&place, trust());
    assert_eq!((seq, problem), (last, Problem::CheckpointForm), "the checkpoint is bound to what it follows");
}

/// The same, of the very last record: no signature comes after it, but it is one.
#[test]
fn nothing_can_be_put_into_the_last_checkpoint() {
    let log = Log::new();
    for change in [
        (|record: &mut serde_json::Value| record["time"] = "2020-01-01T00:00:00.000Z".into()) as fn(&mut _),
        |record| record["mono"] = 1.into(),
        |record| record["reason"] = "x".into(),
        |record| record["outcome"] = "failure".into(),
        |record| record["detail"]["more"] = true.into(),
        |record| record["log"] = "a/0000000000000000".into(),
    ] {
        let place = log.with_lines(FILES - 1, |lines| {
            let last = lines.len() - 1;
            rehashed(lines, last, change);
        });
        let (verdict, _, problem) = found(&place, log.trust());
        assert_eq!(verdict, Verdict::Tampered);
        assert!(matches!(problem, Problem::CheckpointForm | Problem::OtherLog), "{problem:?}");
    }
}

/// The recipe of docs/audit.md, written a second time: canonical JSON without `hash` and `beside`, then five lines hashed.
fn rehashed(lines: &mut [String], from: usize, change: impl FnOnce(&mut serde_json::Value)) {
    let sha256 = |text: &str| -> String {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        digest.as_ref().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    };
    let canonical = |record: &serde_json::Value| {
        let members: BTreeMap<String, serde_json::Value> = serde_json::from_value(record.clone()).unwrap();
        serde_json::to_string(&members).unwrap()
    };
    let mut change = Some(change);
    let mut prev: Option<String> = None;
    for line in &mut lines[from..] {
        let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
        if let Some(change) = change.take() {
            change(&mut record);
        }
        if let Some(prev) = prev.take() {
            record["prev"] = prev.into();
        }
        let mut hashed = record.clone();
        hashed.as_object_mut().unwrap().retain(|name, _| name != "hash" && name != "beside");
        let digest = sha256(&canonical(&hashed));
        let [before, time, class] =
            ["prev", "time", "class"].map(|name| record[name].as_str().unwrap().to_owned());
        let seq = record["seq"].as_u64().unwrap();
        let hash = sha256(&format!("turnpike-audit-1\n{before}\n{seq}\n{time}\n{class}\n{digest}\n"));
        record["hash"] = hash.clone().into();
        prev = Some(hash);
        *line = format!("{}\n", canonical(&record));
    }
}

#[test]
fn the_recipe_gives_what_the_log_has() {
    let log = Log::new();
    let same = log.with_lines(1, |lines| {
        let before = lines.clone();
        rehashed(lines, 0, |_| ());
        assert_eq!(*lines, before);
    });
    assert_eq!(same.verify().verdict, Verdict::Sound);
}

#[test]
fn an_end_that_was_cut_off_is_seen_with_anchors_and_never_called_sound_without() {
    let log = Log::new();
    let place = log.place.copy();
    std::fs::remove_file(&segments(place.path()).unwrap()[2].path).unwrap();
    let size = log.notes.last().unwrap().checkpoint.size;
    assert_eq!(found(&place, log.trust()), (Verdict::Tampered, log.seq(2, 0), Problem::CutOff { size }));
    assert_eq!(place.verify_with(trust(), true).verdict, Verdict::TailNotAnchored);
    // Only within the last file, down to each of its records.
    let last = log.place.text().lines().count() as u64 - log.seq(2, 0);
    for keep in 1..last as usize {
        let place = log.with_lines(2, |lines| lines.truncate(keep));
        assert_eq!(
            found(&place, log.trust()),
            (Verdict::Tampered, log.seq(2, keep), Problem::CutOff { size })
        );
        assert_eq!(place.verify_with(trust(), true).verdict, Verdict::TailNotAnchored);
    }
    // An older copy of everything.
    let older = Place::new();
    let mut names = segments(log.place.path()).unwrap().into_iter();
    let first = names.next().unwrap();
    std::fs::copy(&first.path, older.path().join(first.path.file_name().unwrap())).unwrap();
    assert_eq!(found(&older, log.trust()), (Verdict::Tampered, log.seq(1, 0), Problem::CutOff { size }));
}

#[test]
fn anchors_that_nobody_signed_incriminate_nobody() {
    let log = Log::new();
    let (_, foreign) = forged(&log, 9, innocent);
    let trust = Trust { anchors: [foreign, log.notes.clone()].concat(), ..trust() };
    assert_eq!(log.place.verify_with(trust, true).verdict, Verdict::Sound);
}

/// The files of a log in memory, so that thousands of changes take seconds.
struct Files(Vec<(SegmentName, Vec<u8>)>, Verify);

impl Files {
    fn of(log: &Log) -> Self {
        let files = segments(log.place.path()).unwrap().into_iter();
        let files = files.map(|file| (file.name, std::fs::read(file.path).unwrap())).collect();
        let tail_max = Duration::from_secs(10);
        Self(files, Verify { trust: log.trust(), tail_max, anchors_needed: true })
    }

    fn with(&self, file: usize, bytes: &[u8]) -> Report {
        let mut files: Vec<_> = self.0.iter().map(|(name, bytes)| (name.clone(), bytes.as_slice())).collect();
        files[file].1 = bytes;
        self.1.files(&files)
    }
}

#[test]
fn any_one_byte_flipped_anywhere_is_found_in_its_record() {
    let log = Log::new();
    let files = Files::of(&log);
    let seed = seed();
    let mut random = seed;
    for round in 0..rounds() {
        let file = next(&mut random) as usize % FILES;
        let mut bytes = files.0[file].1.clone();
        let at = next(&mut random) as usize % bytes.len();
        let line = bytes[..at].split(|byte| *byte == b'\n').count() - 1;
        bytes[at] ^= 1 << (next(&mut random) % 8);
        let report = files.with(file, &bytes);
        let place = format!("seed {seed} round {round} byte {at} of {file}");
        let finding = report.finding.unwrap_or_else(|| panic!("{place}: {:?}", report.verdict));
        assert_eq!(finding.seq, log.seq(file, line), "{place}: {finding}");
        assert!(finding.signed <= finding.seq);
    }
}

#[test]
fn lines_deleted_swapped_doubled_replaced_or_cut_are_found_at_the_first_bad_record() {
    let log = Log::new();
    let files = Files::of(&log);
    let seed = seed();
    let mut random = seed;
    for round in 0..rounds() {
        let mut below = |limit: usize| next(&mut random) as usize % limit;
        let file = below(FILES);
        let lines: Vec<&[u8]> = files.0[file].1.split_inclusive(|byte| *byte == b'\n').collect();
        let (one, other) = (below(lines.len()), below(lines.len()));
        let (one, other) = (one.min(other), one.max(other));
        let mut changed = lines.clone();
        let foreign = files.0[(file + 1) % FILES].1.split_inclusive(|byte| *byte == b'\n').nth(1).unwrap();
        match below(5) {
            0 => drop(changed.drain(one..=other)),
            1 => changed.swap(one, other),
            2 => changed.insert(other, lines[one]),
            3 => changed[one] = foreign,
            _ => changed.truncate(one),
        }
        if changed == lines {
            continue;
        }
        let first = changed.iter().zip(&lines).take_while(|(one, other)| one == other).count();
        let report = files.with(file, &changed.concat());
        let finding =
            report.finding.unwrap_or_else(|| panic!("seed {seed} round {round}: {:?}", report.verdict));
        assert_eq!(finding.seq, log.seq(file, first), "seed {seed} round {round}: {finding}");
    }
}

/// `AUDIT_MANIPULATIONS=50000`, in both tests, is the figure of the goals.
fn rounds() -> u64 {
    std::env::var("AUDIT_MANIPULATIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(500)
}

/// `SEED=7` runs one again; each failure names its own.
fn seed() -> u64 {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    seed.unwrap_or_else(|| std::process::id().into())
}

/// splitmix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[test]
fn damage_that_the_log_found_itself_is_a_gap() {
    let log = Log::new();
    let place = log.with_lines(2, |lines| lines[3] = "broken\n".into());
    let (_, closing) = place.open();
    closing.close();
    assert!(place.text().contains("\"activity\":\"damage_found\""));
    assert_eq!(place.verify().verdict, Verdict::Gap);
    assert_eq!(Event::new(Kind::DamageFound, Outcome::Failure).kind().activity(), "damage_found");
}
