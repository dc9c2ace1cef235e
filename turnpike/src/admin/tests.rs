//! What the declarations of all operations must hold, and the document that is made from them.

use std::collections::HashSet;
use std::fmt::Write as _;

use serde_json::Value;

use super::OPERATIONS;
use super::operation::{Method, Operation, Parameter};

#[test]
fn what_changes_something_is_written_down() {
    for operation in OPERATIONS {
        assert!(operation.recorded || operation.method == Method::Get, "{}", operation.id);
        assert!(
            operation.path == "/admin/v1" || operation.path.starts_with("/admin/v1/"),
            "{}",
            operation.path
        );
        assert!(operation.about.ends_with('.') && (operation.answer)().is_object(), "{}", operation.id);
        assert!(operation.body.is_none_or(|body| body().is_object()), "{}", operation.id);
    }
    let ids: HashSet<&str> = OPERATIONS.iter().map(|operation| operation.id).collect();
    let routes: HashSet<(&str, &str)> =
        OPERATIONS.iter().map(|operation| (operation.method.name(), operation.path)).collect();
    assert_eq!((ids.len(), routes.len()), (OPERATIONS.len(), OPERATIONS.len()));
}

/// `UPDATE_DOCS=1 cargo test -p turnpike` writes the operations anew.
#[test]
fn the_document_is_what_the_code_says() {
    const BEGIN: &str = "<!-- Made from the code: UPDATE_DOCS=1 cargo test -p turnpike -->\n";
    const END: &str = "<!-- end -->";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/admin.md");
    let document = std::fs::read_to_string(path).unwrap();
    let mut parts = document.split(BEGIN);
    let mut expected = parts.next().unwrap().to_owned();
    for made in [table(), details()] {
        let part = parts.next().expect("the document has two places for what is made");
        let (_, after) = part.split_once(END).expect("which have an end");
        let _ = write!(expected, "{BEGIN}\n{made}\n{END}{after}");
    }
    assert!(parts.next().is_none());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, expected).unwrap();
    } else {
        assert!(
            document == expected,
            "docs/admin.md differs from the code; run UPDATE_DOCS=1 cargo test -p turnpike"
        );
    }
}

fn table() -> String {
    let mut out = "| request | in the audit log | |\n| --- | --- | --- |\n".to_owned();
    for Operation { id, method, path, recorded, .. } in OPERATIONS {
        let recorded = if *recorded { "yes" } else { "" };
        let _ = writeln!(out, "| `{} {path}` | {recorded} | [{id}](#{}) |", method.name(), id.to_lowercase());
    }
    out
}

fn details() -> String {
    let pretty = |value: &Value| serde_json::to_string(value).unwrap();
    let mut out = String::new();
    for Operation { id, method, path, about, parameters, body, success, answer, .. } in OPERATIONS {
        let _ = writeln!(out, "### {id}\n\n`{} {path}`\n\n{about}\n", method.name());
        if !parameters.is_empty() {
            let _ = writeln!(out, "| in the query | |\n| --- | --- |");
            for Parameter { name, about } in *parameters {
                let _ = writeln!(out, "| `{name}` | {about} |");
            }
            out.push('\n');
        }
        let _ = writeln!(out, "```json");
        if let Some(body) = body {
            let _ = writeln!(out, "// the body\n{}", pretty(&body()));
        }
        let mut done = serde_json::json!({ "ok": true });
        done.as_object_mut().unwrap().extend(answer().as_object().unwrap().clone());
        let _ = writeln!(out, "// {}\n{}\n```\n", success.as_u16(), pretty(&done));
    }
    out
}
