//! A process that dies at any byte: what it had promised is there, the rest is put aside, and the log goes on and verifies.

use std::fs;

use turnpike_audit::{Verdict, segments};

use crate::place::{Place, login};

/// The last batch of a process that was killed, cut at every byte: as a write that did not get further.
#[test]
fn a_tail_torn_at_any_byte_is_put_aside_and_nothing_promised_is_lost() {
    let place = Place::new();
    let (audit, closing) = place.open();
    let promised = audit.decide_blocking(login("alice")).unwrap().seq.unwrap();
    let durable = fs::metadata(&segments(place.path()).unwrap()[0].path).unwrap().len();
    audit.note(login("bob"));
    audit.note(login("carol"));
    closing.close();
    let whole = fs::read(&segments(place.path()).unwrap()[0].path).unwrap();

    // Every byte takes a minute (`AUDIT_EVERY_BYTE=1`); in steps that are no multiple of anything every kind of place is cut too.
    let step = if std::env::var_os("AUDIT_EVERY_BYTE").is_some() { 1 } else { 29 };
    for cut in (durable as usize..=whole.len()).step_by(step) {
        let after = place.copy();
        let path = segments(after.path()).unwrap()[0].path.clone();
        fs::write(&path, &whole[..cut]).unwrap();
        let before = after.verify();
        assert!(before.finding.is_none(), "at {cut}: {:?}", before.finding);
        assert_eq!(before.torn_bytes > 0, whole[cut - 1] != b'\n', "at {cut}");

        let (audit, closing) = after.open();
        audit.decide_blocking(login("dave")).unwrap();
        closing.close();
        let report = after.verify();
        assert_eq!(report.verdict, Verdict::Sound, "at {cut}: {report:?}");
        let text = after.text();
        assert!(text.lines().nth(promised as usize).unwrap().contains("\"alice\"]"));
        assert!(text.contains("\"dave\"]"));
        assert_eq!(text.contains("torn_tail"), whole[cut - 1] != b'\n', "at {cut}");
        assert_eq!(after.path().join("quarantine").exists(), whole[cut - 1] != b'\n');
    }
}

/// Pages of the last write can reach the disk in any order: zeros where something should be, and whole records behind them.
#[test]
fn zeros_in_the_last_batch_are_put_aside_with_what_follows() {
    let place = Place::new();
    let (audit, _closing) = place.open();
    audit.decide_blocking(login("alice")).unwrap();
    let copy = place.copy();
    let path = segments(copy.path()).unwrap()[0].path.clone();
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let line = bytes[last..].to_vec();
    bytes.extend(vec![0; 600]);
    bytes.push(b'\n');
    bytes.extend(line);
    fs::write(&path, bytes).unwrap();
    let (_, closing) = copy.open();
    closing.close();
    let text = copy.text();
    assert!(text.contains("torn_tail") && !text.contains("damage_found") && text.contains("\"alice\"]"));
    assert_eq!(copy.verify().verdict, Verdict::Sound);
}

#[test]
fn a_file_that_was_only_just_made_leaves_the_one_before_as_the_last() {
    let place = Place::new();
    place.open().1.close();
    for content in ["", "{\"activity\":\"segm"] {
        fs::write(place.path().join("audit-0000000000000099-20990101T000000Z.ndjson"), content).unwrap();
        place.open().1.close();
        assert_eq!(place.verify().verdict, Verdict::Sound, "{:?}", place.verify());
    }
}

/// A real process with a real log, killed while it makes promises: what it said was recorded is there.
#[test]
fn no_promise_is_lost_when_the_process_is_killed() {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};

    if let Some(directory) = std::env::var_os("AUDIT_VICTIM") {
        let (audit, _closing) = turnpike_audit::Audit::open(
            &turnpike_audit::Settings::new(directory, "a"),
            vec![crate::place::signer(1)],
            Box::new(()),
        )
        .unwrap();
        for number in 0_u64.. {
            let seq = audit.decide_blocking(login(&format!("victim-{number}"))).unwrap().seq.unwrap();
            println!("promised {seq} victim-{number}");
        }
    }
    let place = Place::new();
    // Two hundred for the figure of the goals: `AUDIT_KILLS=200`.
    let kills: u64 = std::env::var("AUDIT_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(5);
    let mut promises = Vec::new();
    for kill in 0..kills {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "crash::no_promise_is_lost_when_the_process_is_killed"])
            .env("AUDIT_VICTIM", place.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let wanted = 3 + kill % 20;
        let mut heard = 0;
        while heard < wanted {
            let line = lines.next().expect("it goes on until it is killed").unwrap();
            if line.contains("promised ") {
                promises.push(line);
                heard += 1;
            }
        }
        victim.kill().unwrap();
        victim.wait().unwrap();
        // What it still said before it died counts too.
        promises.extend(lines.map_while(Result::ok).filter(|line| line.contains("promised ")));
    }
    place.open().1.close();
    let text = place.text();
    let lines: Vec<&str> = text.lines().collect();
    for promise in promises {
        let words: Vec<&str> = promise.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "promised").unwrap();
        let seq: usize = words[at + 1].parse().unwrap();
        assert!(lines[seq].contains(&format!("\"{}\"]", words[at + 2])), "{promise}");
    }
    let report = place.verify();
    assert_eq!((report.verdict, report.segments), (Verdict::Sound, kills + 1), "{report:?}");
}
