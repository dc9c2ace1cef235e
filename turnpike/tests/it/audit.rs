//! `turnpike audit` on a log that the library wrote, and docs/audit.md against the code.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use turnpike_audit::{Audit, Event, Form, Kind, Outcome, Problem, Settings, Signer, Verdict, Wait, segments};

use crate::process::{Directory, refused, run, stdout};

/// A directory with a key file and a log of two logins and a refusal.
struct Place {
    directory: Directory,
    key: String,
}

impl Place {
    fn new() -> Self {
        // With the hour a file ends and another begins.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let left = Duration::from_secs(3_600 - now.as_secs() % 3_600);
        if left < Duration::from_secs(30) {
            std::thread::sleep(left);
        }
        let directory = Directory::new();
        let environment = [("SERVER_ID", "n1")];
        let key = stdout(run(&directory, &["audit", "keys", "new"], &environment)).trim().to_owned();
        let place = Self { directory, key };
        place.write(&[login("alice"), login("bob"), login("alice")]);
        place
    }

    fn signers(&self) -> Vec<Signer> {
        let text = std::fs::read_to_string(self.directory.path().join("data/audit-key")).unwrap();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }

    fn write(&self, events: &[Event]) {
        let settings = Settings {
            reserve_bytes: 4_096,
            // However long the disk takes, a log is signed at its beginning and at its end.
            checkpoint_every: Duration::from_hours(1),
            ..Settings::new(self.directory.path().join("data/audit"), "n1")
        };
        let (audit, closing) = Audit::open(&settings, self.signers(), Box::new(())).unwrap();
        for event in events {
            audit.decide_blocking(event.clone()).unwrap();
        }
        closing.close();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let arguments: Vec<&str> = ["audit"].into_iter().chain(arguments.iter().copied()).collect();
        run(&self.directory, &arguments, &[])
    }

    fn said(&self, arguments: &[&str]) -> String {
        stdout(self.run(arguments))
    }

    fn verdict(&self, arguments: &[&str]) -> (Option<i32>, serde_json::Value) {
        let arguments: Vec<&str> =
            ["verify", "--json"].into_iter().chain(arguments.iter().copied()).collect();
        let output = self.run(&arguments);
        let said = serde_json::from_slice(&output.stdout);
        (output.status.code(), said.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr))))
    }
}

fn login(user: &str) -> Event {
    Event::new(Kind::Login, Outcome::Success).user(user).address("192.0.2.7").connection("c-1")
}

#[test]
fn verify_says_in_one_word_and_by_its_exit_code_what_it_found() {
    let place = Place::new();
    let (code, said) = place.verdict(&["--without-anchors"]);
    assert_eq!(
        (code, said["verdict"].as_str(), said["key"].as_str()),
        (Some(0), Some("sound"), Some(place.key.as_str()))
    );
    let (code, _) = place.verdict(&["--key", &place.key]);
    assert_eq!(code, Some(4), "nothing vouches for the end");
    let anchors =
        place.directory.write("siem.json", &place.said(&["export", "--class", "log", "--format", "ocsf"]));
    let (code, said) = place.verdict(&["--anchors", anchors.to_str().unwrap()]);
    assert_eq!((code, said["anchored_before"].as_u64()), (Some(0), Some(6)), "{said}");

    let text = place.run(&["verify", "--without-anchors"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.starts_with("sound\n") && text.contains("7 in 1 files") && text.contains(&place.key),
        "{text}"
    );

    let file = segments(&place.directory.path().join("data/audit")).unwrap()[0].path.clone();
    let written = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, written.replacen("\"bob\"", "\"bab\"", 1)).unwrap();
    let (code, said) = place.verdict(&["--without-anchors"]);
    assert_eq!((code, said["finding"]["record"].as_u64()), (Some(2), Some(3)), "{said}");
    assert_eq!(said["finding"]["problem"], "personal_value_changed");
    let other = Signer::from_seed("turnpike/n1", [9; 32]).unwrap().public().to_string();
    assert_eq!(
        place.verdict(&["--without-anchors", "--key", &other]).1["finding"]["problem"],
        "signer_unknown"
    );
    // A copy, with nothing else of the machine that wrote it.
    let copy = Directory::new();
    std::fs::write(copy.path().join(file.file_name().unwrap()), &written).unwrap();
    let (code, _) = place.verdict(&[
        "--without-anchors",
        "--key",
        &place.key,
        "--audit-dir",
        copy.path().to_str().unwrap(),
    ]);
    assert_eq!(code, Some(0));
}

#[test]
fn query_tail_and_export_show_what_was_asked_for() {
    let place = Place::new();
    let count = |arguments: &[&str]| place.said(arguments).lines().count();
    assert_eq!(count(&["query", "--user", "alice"]), 2);
    assert_eq!(count(&["query", "--user", "alice", "--limit", "1"]), 1);
    assert_eq!(count(&["query", "--address", "192.0.2.7", "--outcome", "success"]), 3);
    assert_eq!(count(&["query", "--class", "authentication", "--since", "1h"]), 3);
    assert_eq!(count(&["query", "--until", "2020-01-01"]), 0);
    assert_eq!(count(&["tail", "--lines", "2"]), 2);
    let line = place.said(&["query", "--user", "bob"]);
    assert!(
        line.contains("authentication.login success user=bob address=192.0.2.7 connection=c-1"),
        "{line}"
    );
    for form in Form::ALL {
        assert_eq!(count(&["export", "--user", "bob", "--format", form.word()]), 1, "{form:?}");
    }
    let log = std::fs::read_to_string(&segments(&place.directory.path().join("data/audit")).unwrap()[0].path)
        .unwrap();
    assert_eq!(place.said(&["export"]), log, "as it stands");
    for (flag, value) in [
        ("--class", "cheese"),
        ("--outcome", "maybe"),
        ("--since", "soon"),
        ("--limit", "x"),
        ("--format", "xml"),
    ] {
        assert!(refused(&["audit", "query", flag, value], &[]).contains(flag), "{flag}");
    }
    assert!(refused(&["audit", "burn"], &[]).contains("is not a command"));
}

#[test]
fn tail_follows_over_files() {
    let place = Place::new();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_turnpike"))
        .args(["audit", "tail", "--follow", "--lines", "1"])
        .current_dir(place.directory.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("log.checkpoint"));
    place.write(&[login("dave")]);
    // A limit is the test runner's: without the line this would wait for ever.
    let found = lines.map_while(Result::ok).any(|line| line.contains("user=dave"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(found);
}

#[test]
fn proofs_are_made_and_checked_with_the_public_key_alone() {
    let place = Place::new();
    let proof = place.said(&["prove", "--record", "3"]);
    let file = place.directory.write("proof.json", &proof);
    let check = |file: &Path| place.run(&["prove", "--check", file.to_str().unwrap(), "--key", &place.key]);
    assert_eq!(stdout(check(&file)), "the proof holds\n");
    let forged = place.directory.write("forged.json", &proof.replace("bob", "bab"));
    let output = check(&forged);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    let growth = place.said(&["prove", "--from", "1", "--to", "6"]);
    let growth = place.directory.write("growth.json", &growth);
    assert_eq!(stdout(check(&growth)), "the proof holds\n");
    assert!(refused(&["audit", "prove"], &[]).contains("--record"));
}

#[test]
fn keys_are_made_once_rotated_and_only_shown_in_public() {
    let place = Place::new();
    assert_eq!(place.run(&["keys", "new"]).status.code(), Some(1), "there is one");
    let rotated = place.run(&["keys", "rotate"]);
    assert!(rotated.status.success());
    let second = String::from_utf8(rotated.stdout).unwrap().trim().to_owned();
    let shown = place.said(&["keys"]);
    assert_eq!(shown.lines().collect::<Vec<_>>(), [&place.key, &second]);
    assert!(!shown.contains("PRIVATE"));
    place.write(&[login("carol")]);
    let (code, said) = place.verdict(&["--without-anchors", "--key", &place.key]);
    assert_eq!((code, said["key"].as_str()), (Some(0), Some(second.as_str())), "{said}");
    // Whoever else can read the file could sign.
    let file = place.directory.path().join("data/audit-key");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let output = place.run(&["keys"]);
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("chmod 600"));
}

const KINDS_BEGIN: &str = "<!-- The table is made from the code: UPDATE_DOCS=1 cargo test -p turnpike -->\n";
const KINDS_END: &str = "<!-- end of the table -->";

fn document() -> (std::path::PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/audit.md");
    let text = std::fs::read_to_string(&path).unwrap();
    (path, text)
}

#[test]
fn the_document_has_every_kind_of_record() {
    let (path, text) = document();
    let mut table = String::from(
        "| class | activity | severity | written | what it means |\n| --- | --- | --- | --- | --- |\n",
    );
    for kind in Kind::ALL {
        let wait = match kind.wait() {
            Wait::Durable => "before it takes effect",
            Wait::First => "before it takes effect, then merged for 10 s",
            Wait::Soon => "soon after",
            Wait::Merged => "merged for 10 s",
            Wait::Own => "by the log",
        };
        let (class, activity) = (kind.class(), kind.activity());
        let _ = writeln!(
            table,
            "| `{class}` | `{activity}` | {} | {wait} | {} |",
            kind.severity().word(),
            kind.about()
        );
    }
    let (before, rest) = text.split_once(KINDS_BEGIN).expect("the document has the table");
    let (_, after) = rest.split_once(KINDS_END).expect("the table has an end");
    let expected = format!("{before}{KINDS_BEGIN}\n{table}\n{KINDS_END}{after}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, expected).unwrap();
    } else {
        assert!(
            text == expected,
            "docs/audit.md differs from the code; run UPDATE_DOCS=1 cargo test -p turnpike"
        );
    }
}

#[test]
fn the_document_has_every_finding_exit_code_form_and_flag() {
    let (_, text) = document();
    let problems = [
        Problem::Line(turnpike_audit::BadLine::Long),
        Problem::Line(turnpike_audit::BadLine::Unreadable),
        Problem::Line(turnpike_audit::BadLine::NotCanonical),
        Problem::Line(turnpike_audit::BadLine::Hash),
        Problem::Line(turnpike_audit::BadLine::Beside),
        Problem::File(String::new()),
        Problem::Missing { found: 0 },
        Problem::Repeated { found: 0 },
        Problem::Unchained,
        Problem::OtherLog,
        Problem::SegmentMissing { until: 0 },
        Problem::BeginningMissing { first: 0 },
        Problem::SegmentHead,
        Problem::CheckpointForm,
        Problem::Signer(String::new()),
        Problem::Root,
        Problem::NeverSigned,
        Problem::Anchor { size: 0 },
        Problem::CutOff { size: 0 },
        Problem::Removed,
        Problem::Restored,
    ];
    for problem in problems {
        assert!(text.contains(&format!("| `{}` |", problem.slug())), "{}", problem.slug());
    }
    for verdict in [Verdict::Sound, Verdict::Tampered, Verdict::Gap, Verdict::TailNotAnchored] {
        assert!(text.contains(&format!("| {} | {} |", verdict as u8, verdict.word())), "{verdict:?}");
    }
    for form in Form::ALL {
        assert!(text.contains(&format!("`{}`", form.word())), "{form:?}");
    }
    let help: String = ["verify", "tail", "query", "export", "prove", "anchors", "erase"]
        .iter()
        .map(|command| stdout(run(&Directory::new(), &["audit", command, "--help"], &[])))
        .collect();
    for line in help.lines().filter_map(|line| line.strip_prefix("      --")) {
        let flag = format!("--{}", line.split(' ').next().unwrap());
        assert!(text.contains(&flag), "{flag}");
    }
}

/// The program in the document checks a log with nothing of ours.
#[test]
fn the_recipe_of_the_document_finds_what_the_verifier_finds() {
    let (_, text) = document();
    let (_, rest) = text.split_once("```python\n").expect("the document has the program");
    let (program, _) = rest.split_once("```").unwrap();
    let place = Place::new();
    let program = place.directory.write("recipe.py", program);
    let file = segments(&place.directory.path().join("data/audit")).unwrap()[0].path.clone();
    let check = || {
        let python = std::process::Command::new("python3").arg(&program).arg(&file).output();
        python.expect("the tests have python3 (cargo xtask test installs what is missing)")
    };
    let output = check();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "7 records, none changed");
    let written = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, written.replacen("\"success\"", "\"failure\"", 1)).unwrap();
    assert!(!check().status.success());
}
