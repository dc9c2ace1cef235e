//! Answers for people: a table of columns, or lines of names and values. Nothing of them can move the cursor or colour the
//! terminal, whoever wrote it.

use std::fmt::Write as _;

use serde_json::Value;
use turnpike_daemon::log::escaped;

/// A heading, and where its value is in a row.
pub(super) type Column = (&'static str, fn(&Value) -> String);

pub(super) fn table(rows: &Value, columns: &[Column], none: &str) -> String {
    let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return none.to_owned();
    }
    let cells: Vec<Vec<String>> =
        std::iter::once(columns.iter().map(|(name, _)| (*name).to_owned()).collect())
            .chain(rows.iter().map(|row| columns.iter().map(|(_, of)| of(row)).collect()))
            .collect();
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut out = String::new();
    for row in &cells {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out.trim_end().to_owned()
}

/// What a value says, on one line.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => escaped(text),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        other => escaped(&other.to_string()),
    }
}

/// Milliseconds since 1970, as a time.
pub(super) fn time(value: &Value) -> String {
    value.as_u64().map_or_else(|| "-".into(), |unix_ms| turnpike_audit::Time(unix_ms).to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn for_people() {
        let columns: &[Column] = &[
            ("NAME", |row| text(&row["name"])),
            ("UNTIL", |row| time(&row["until_ms"])),
            ("WELL", |row| text(&row["well"])),
        ];
        let rows = json!([
            { "name": "a", "until_ms": 1_795_000_000_000_u64, "well": true },
            { "name": "b\u{1b}[31m", "until_ms": null, "well": false },
        ]);
        assert_eq!(
            table(&rows, columns, "none"),
            "NAME         UNTIL                     WELL\n\
             a            2026-11-18T11:06:40.000Z  yes\n\
             b\\u{1b}[31m  -                         no"
        );
        assert_eq!(table(&json!([]), columns, "none"), "none");
    }
}
