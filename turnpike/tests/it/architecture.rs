//! ARCHITECTURE.md says what must never be where. This reads its tables and looks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The rows of a table, each cell as the words in backticks in it.
fn table(name: &str) -> Vec<Vec<Vec<String>>> {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, rest) = text.split_once(&format!("<!-- {name} -->")).expect("the document has the table");
    let (table, _) = rest.split_once("<!-- end -->").expect("the table has an end");
    let words = |cell: &str| cell.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let rows: Vec<Vec<Vec<String>>> = rows.map(|line| line.split('|').skip(1).map(words).collect()).collect();
    assert!(!rows.is_empty());
    rows
}

#[test]
fn crates_depend_on_what_their_row_says() {
    let mut documented = BTreeSet::new();
    for row in table("layers") {
        let name = row[0][0].clone();
        let directory = [format!("crates/{name}"), name.clone()];
        let manifest = directory.iter().map(|directory| root().join(directory).join("Cargo.toml"));
        let manifest = manifest.clone().find(|path| path.exists()).expect("the row names a crate");
        let text = std::fs::read_to_string(manifest).unwrap();
        let (_, rest) = text.split_once("\n[dependencies]\n").unwrap();
        let found: BTreeSet<String> = rest
            .lines()
            .take_while(|line| !line.starts_with('['))
            .filter_map(|line| Some(line.strip_prefix("turnpike-")?.split([' ', '.']).next()?.to_owned()))
            .collect();
        assert_eq!(found, row[1].iter().cloned().collect(), "what {name} depends on");
        documented.insert(name);
    }
    // What ships. Tests, benches and the toolbox may look at anything.
    let crates = std::fs::read_dir(root().join("crates")).unwrap();
    let mut shipped: BTreeSet<String> =
        crates.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    shipped.extend(["gateway", "loadtest", "media-relay", "shard-router", "turnpike"].map(str::to_owned));
    assert_eq!(documented, shipped);
}

#[test]
fn what_must_never_be_there_is_not() {
    let mut found = Vec::new();
    for row in table("absences") {
        let place = root().join(&row[0][0]);
        let mut files = Vec::new();
        sources(&place, &mut files);
        assert!(!files.is_empty(), "{} is nowhere", place.display());
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            for (number, line) in code(&text) {
                for word in row[1].iter().filter(|word| has_word(line, word)) {
                    found.push(format!("{}:{number} has {word}: {}", file.display(), line.trim()));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Every source file at or below a path, without those of tests.
fn sources(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            sources(&entry.unwrap().path(), files);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs")
        && path.file_stem().is_none_or(|stem| stem != "tests")
        && !path.components().any(|part| part.as_os_str() == "tests")
    {
        files.push(path.to_owned());
    }
}

/// Lines with their numbers, without comments, up to the tests at the end of the file.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    lines
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .map(|(number, line)| (number, line.split("//").next().unwrap_or_default()))
}

/// Whether the word stands in the line; `turnpike_` stands for all that begin so.
fn has_word(line: &str, word: &str) -> bool {
    let is_part =
        |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !is_part(before) && (word.ends_with('_') || !is_part(after))
    })
}

#[test]
fn the_search_finds_what_it_should() {
    let text = "use tokio::time; // Instant\n//! tokio\nlet chatty = 1;\nuse turnpike_wire::Code;\n#[cfg(test)]\nuse tokio;\n";
    let hits = |word: &str| {
        code(text).filter(|(_, line)| has_word(line, word)).map(|(number, _)| number).collect::<Vec<_>>()
    };
    assert_eq!(hits("tokio"), [1]);
    assert!(hits("Instant").is_empty());
    assert!(hits("chat").is_empty());
    assert_eq!(hits("turnpike_"), [4]);
}
