//! Findings for people.

use std::fmt::Write as _;

use turnpike_cluster::redis::check::{Finding, Level};

/// A line for each, and below it what to do.
pub(super) fn render(findings: &[Finding], colours: bool) -> String {
    let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
    let mut out = String::new();
    for Finding { level, check, what, remedy } in findings {
        let word = level.word();
        let word =
            if colours { format!("\x1b[{}m{word:4}\x1b[0m", colour(*level)) } else { format!("{word:4}") };
        let _ = writeln!(out, "{word}  {check:width$}  {what}");
        if !remedy.is_empty() {
            let _ = writeln!(out, "      {:width$}  to do: {remedy}", "");
        }
    }
    let count = |level: Level| findings.iter().filter(|finding| finding.level == level).count();
    let verdict = match (count(Level::Fail), count(Level::Warn)) {
        (0, 0) => "all is well".to_owned(),
        (0, warnings) => format!("it works; {warnings} to look at"),
        (failures, warnings) => format!("{failures} failed, {warnings} to look at"),
    };
    let _ = write!(out, "\n{verdict}");
    out
}

/// Green, yellow, red.
fn colour(level: Level) -> u8 {
    match level {
        Level::Ok => 32,
        Level::Warn => 33,
        Level::Fail => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_people() {
        let findings = [
            Finding::ok("slots", "all 16384 slots have a master"),
            Finding::warn("clocks", "a:1 is 3.0 s behind this machine", "keep the time"),
            Finding::fail("append-only-file", "off at a:1", "CONFIG SET appendonly yes"),
        ];
        insta::assert_snapshot!(render(&findings, false), @r"
        ok    slots             all 16384 slots have a master
        warn  clocks            a:1 is 3.0 s behind this machine
                                to do: keep the time
        fail  append-only-file  off at a:1
                                to do: CONFIG SET appendonly yes

        1 failed, 1 to look at
        ");
        assert!(render(&findings, true).contains("\x1b[31mfail\x1b[0m  append-only-file"));
        assert!(render(&findings[..1], false).ends_with("\nall is well"));
        assert!(render(&findings[..2], false).ends_with("\nit works; 1 to look at"));
    }
}
