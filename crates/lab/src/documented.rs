//! Tables in documents that are made from the code, and held against it.

use std::path::Path;

/// What stands between the marks of a document is this. With `UPDATE_DOCS=1` it becomes this.
///
/// # Panics
///
/// If it is something else; `command` mends it.
pub fn hold_document(document: &Path, [begin, end]: [&str; 2], expected: &str, command: &str) {
    let text = std::fs::read_to_string(document).expect("the document is there");
    let (before, rest) = text.split_once(begin).expect("the document has a place for the table");
    let (_, after) = rest.split_once(end).expect("the table has an end");
    let wanted = format!("{before}{begin}{expected}{end}{after}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(document, wanted).expect("the document can be written");
    } else {
        assert!(text == wanted, "{} differs from the code; run UPDATE_DOCS=1 {command}", document.display());
    }
}
