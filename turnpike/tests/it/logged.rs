//! docs/logging.md says every line that the product logs, and what each field means. This reads the sources and holds it so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use turnpike_lab::hold_document;

const MARKS: [&str; 2] =
    ["<!-- Made from the code: UPDATE_DOCS=1 cargo test -p turnpike logged -->\n", "<!-- end -->"];
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// A line of the log, as it stands in a source.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Logged {
    /// Position in [`LEVELS`].
    level: usize,
    message: String,
    fields: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// By target, all that ships.
fn all() -> BTreeMap<String, BTreeSet<Logged>> {
    let mut all = BTreeMap::<String, BTreeSet<Logged>>::new();
    let crates = std::fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path());
    let crates =
        crates.chain(["gateway", "media-relay", "shard-router", "turnpike"].map(|name| root().join(name)));
    for folder in crates {
        let name = folder.file_name().unwrap().to_str().unwrap().replace('-', "_");
        // These ship with nothing.
        if ["lab", "fuzz", "history"].contains(&&*name) {
            continue;
        }
        let target = if name == "turnpike" { name } else { format!("turnpike_{name}") };
        let mut files = Vec::new();
        sources(&folder.join("src"), &mut files);
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            for logged in read(code) {
                let logged = logged.unwrap_or_else(|line| panic!("{}: {line}", file.display()));
                all.entry(target.clone()).or_default().insert(logged);
            }
        }
    }
    all
}

fn sources(path: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if path.is_dir() && name != "tests" && name != "simulation" {
            sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") && name != "tests" {
            files.push(path);
        }
    }
}

/// Each call of a macro of tracing. As an error: one whose message is no constant.
fn read(code: &str) -> Vec<Result<Logged, String>> {
    let mut found = Vec::new();
    for (level, name) in LEVELS.into_iter().enumerate() {
        for (at, call) in code.match_indices(&format!("{name}!(")) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_') {
                continue;
            }
            let mut message = None;
            let mut fields = Vec::new();
            for part in parts(&code[at + call.len()..]) {
                if let Some(text) = part.strip_prefix('"') {
                    message = Some(joined(text.trim_end_matches('"')));
                } else if !part.starts_with("target:") {
                    let name = part.trim_start_matches(['%', '?']).split([' ', '=']).next().unwrap();
                    // A field of a value is named like it.
                    fields.push(name.rsplit('.').next().unwrap().to_owned());
                }
            }
            found.push(match message {
                Some(message) => Ok(Logged { level, message, fields }),
                None => Err(code[at..].lines().next().unwrap_or_default().to_owned()),
            });
        }
    }
    found
}

/// Of a call, without its last parenthesis: what stands between its commas.
fn parts(code: &str) -> Vec<String> {
    let (mut parts, mut part, mut depth, mut in_text) = (Vec::new(), String::new(), 1, false);
    let mut letters = code.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if in_text => {
                part.push(letter);
                part.extend(letters.next());
                continue;
            }
            '"' => in_text = !in_text,
            '(' | '[' | '{' if !in_text => depth += 1,
            ')' | ']' | '}' if !in_text => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if letter == ',' && depth == 1 && !in_text {
            parts.push(std::mem::take(&mut part).trim().to_owned());
        } else {
            part.push(letter);
        }
    }
    parts.push(part.trim().to_owned());
    parts.retain(|part| !part.is_empty());
    parts
}

/// A text that goes on in the next line of the source.
fn joined(text: &str) -> String {
    let lines: Vec<&str> = text
        .split("\\\n")
        .enumerate()
        .map(|(at, line)| if at > 0 { line.trim_start() } else { line })
        .collect();
    lines.concat()
}

fn catalogue() -> String {
    let mut out = String::new();
    for (target, lines) in all() {
        let _ = write!(out, "\n### `{target}`\n\n| level | message | fields |\n| --- | --- | --- |\n");
        for Logged { level, message, fields } in lines {
            let fields: Vec<String> = fields.iter().map(|field| format!("`{field}`")).collect();
            let message = message.replace('|', "\\|");
            let _ = writeln!(out, "| {} | {message} | {} |", LEVELS[level].to_uppercase(), fields.join(", "));
        }
    }
    out.push('\n');
    out
}

#[test]
fn every_line_is_documented() {
    let path = root().join("docs/logging.md");
    hold_document(&path, MARKS, &catalogue(), "cargo test -p turnpike logged");
}

#[test]
fn every_field_is_explained() {
    let document = std::fs::read_to_string(root().join("docs/logging.md")).unwrap();
    let (_, fields) = document.split_once("<!-- fields -->").expect("the document has the table of fields");
    let (fields, _) = fields.split_once("<!-- end of fields -->").expect("which has an end");
    let explained: BTreeSet<String> = fields
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('|').next())
        .flat_map(|cell| cell.split(", ").map(|name| name.trim().trim_matches('`').to_owned()))
        .collect();
    let logged: BTreeSet<String> = all().into_values().flatten().flat_map(|logged| logged.fields).collect();
    let missing: Vec<&String> = logged.difference(&explained).collect();
    assert!(missing.is_empty(), "not in the table of fields in docs/logging.md: {missing:?}");
    let spans = ["task"].map(ToOwned::to_owned);
    let gone: Vec<&String> = explained.difference(&logged).filter(|name| !spans.contains(name)).collect();
    assert!(gone.is_empty(), "in the table of fields in docs/logging.md, and nowhere logged: {gone:?}");
}

#[test]
fn calls_are_read_as_they_are_written() {
    let code = "tracing::warn!(%conn, room = f(a, \"b, c\"), self.count, \"a, \\\n    b\");\nnot_info!(x);\ninfo!(a)";
    let found = read(code);
    let fields = ["conn", "room", "count"].map(ToOwned::to_owned).to_vec();
    assert_eq!(found[0], Ok(Logged { level: 1, message: "a, b".into(), fields }));
    assert_eq!(found.len(), 2);
    assert!(found[1].is_err(), "a message that is no constant");
}
