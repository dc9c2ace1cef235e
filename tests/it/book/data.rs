//! Data that is shown: it is of the form that it claims.

use std::fmt::Write as _;
use std::process::Command;

use serde_json::Value;
use turnpike_book::Block;
use turnpike_lab::Directory;

use super::way::Way;
use super::{blocks_of, root};

#[test]
fn data_has_its_form() {
    let blocks = blocks_of(|way| matches!(way, Way::Json | Way::Yaml | Way::Ini | Way::Http));
    assert!(blocks.len() > 20, "{}", blocks.len());
    for (block, way) in blocks {
        let fault = match way {
            Way::Json => json(&block.text).err(),
            Way::Yaml => serde_saphyr::from_str::<Value>(&block.text).err().map(|error| error.to_string()),
            Way::Ini => ini(&block.text).err(),
            _ => http(&block.text).err(),
        };
        assert!(fault.is_none(), "{}: {fault:?}\n{}", block.place(), block.text);
    }
}

/// One document or several, with comments between them.
fn json(text: &str) -> Result<(), String> {
    let text: Vec<&str> = text.lines().filter(|line| !line.starts_with("//")).collect();
    let text = text.join("\n");
    let documents = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    let documents = documents.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    if documents.is_empty() { Err("nothing stands in it".into()) } else { Ok(()) }
}

fn ini(text: &str) -> Result<(), String> {
    let is_fine = |line: &str| {
        line.is_empty()
            || line.starts_with(['#', '['])
            || line.split_once('=').is_some_and(|(key, _)| !key.contains(' '))
    };
    text.lines().find(|line| !is_fine(line)).map_or(Ok(()), |line| Err(line.to_owned()))
}

fn http(text: &str) -> Result<(), String> {
    let (head, body) = text.split_once("\n\n").ok_or("no body")?;
    let mut lines = head.lines();
    let request = lines.next().unwrap_or_default();
    if !request.ends_with(" HTTP/1.1") || request.split(' ').count() != 3 {
        return Err(format!("no request line: {request}"));
    }
    if let Some(line) = lines.find(|line| !line.contains(": ")) {
        return Err(format!("no header: {line}"));
    }
    json(body)
}

/// Expressions are read by Prometheus' own tool, and ask for series that there are.
#[test]
fn expressions_are_those_of_prometheus() {
    let blocks = blocks_of(|way| *way == Way::Promql);
    let metrics = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let mut rules = String::from("groups:\n- name: documentation\n  rules:\n");
    let mut number = 0;
    for (Block { text, page, line, .. }, _) in &blocks {
        for expression in text.lines().map(|line| line.split(" #").next().unwrap().trim()) {
            let names = expression.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
            for name in names.filter(|name| name.starts_with("turnpike_")) {
                let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
                let known = [Some(name), family].into_iter().flatten();
                assert!(
                    known.clone().any(|name| metrics.contains(&format!("`{name}`"))),
                    "{}:{line}: there is no {name}",
                    page.display()
                );
            }
            number += 1;
            let quoted = serde_json::to_string(expression).unwrap();
            writeln!(rules, "  - record: block:{number}\n    expr: {quoted}").unwrap();
        }
    }
    assert!(number > 0, "no page asks Prometheus anything");
    let directory = Directory::new("book-expressions").unwrap();
    let path = directory.path().join("rules.yml");
    std::fs::write(&path, &rules).unwrap();
    let output = Command::new("promtool").args(["check", "rules"]).arg(&path).output().unwrap();
    assert!(output.status.success(), "{}\n{rules}", String::from_utf8_lossy(&output.stderr));
}
