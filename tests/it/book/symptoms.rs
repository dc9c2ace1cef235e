//! What the page about symptoms says that somebody sees: it is what the code says.

use std::path::Path;

use super::root;

const PAGE: &str = "docs/troubleshooting.md";
const SOURCES: [&str; 6] =
    ["crates", "gateway/src", "media-relay/src", "shard-router/src", "turnpike/src", "web"];

#[test]
fn symptoms_are_those_of_the_code() {
    let mut code = String::new();
    for folder in SOURCES {
        read(&root().join(folder), &mut code);
    }
    let page = std::fs::read_to_string(root().join(PAGE)).unwrap();
    let cells = page.lines().filter(|line| line.starts_with("| ")).filter_map(|line| line.split('|').nth(1));
    let texts: Vec<&str> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert!(texts.len() > 25, "{texts:?}");
    let unknown: Vec<&&str> = texts.iter().filter(|text| !code.contains(**text)).collect();
    assert!(unknown.is_empty(), "nobody says {unknown:?}");
}

fn read(folder: &Path, code: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, code);
        } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "js") {
            code.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}
