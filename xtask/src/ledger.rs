//! Tests inside tests: a Rust test that runs a file of Node tests writes a line here, and its tests count instead of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::outcome::Outcome;

/// A file of this run alone, gone with it.
pub(crate) struct Ledger(PathBuf);

impl Ledger {
    pub(crate) fn new() -> Self {
        Self(std::env::temp_dir().join(format!("turnpike-test-ledger-{}", std::process::id())))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Puts the inner tests in the place of the tests that ran them.
    pub(crate) fn settle(&self, outcome: &mut Outcome) {
        for line in std::fs::read_to_string(&self.0).unwrap_or_default().lines() {
            replace(outcome, line);
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // It is not there if no test wrote to it.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn replace(outcome: &mut Outcome, line: &str) {
    let Ok(entry) = serde_json::from_str::<serde_json::Value>(line) else { return };
    let number = |key: &str| entry[key].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let (passed, failed) = (number("passed"), number("failed"));
    if passed + failed == 0 {
        return;
    }
    // Where the outer test failed for a reason of its own, with no inner test to blame, it goes on counting.
    if failed == 0 {
        outcome.passed = outcome.passed.saturating_sub(1);
    } else {
        outcome.failed = outcome.failed.saturating_sub(1);
    }
    let test = entry["test"].as_str().unwrap_or("node");
    let times = entry["times"].as_array().into_iter().flatten().filter_map(|pair| {
        let milliseconds = pair[1].as_f64()?;
        Some((format!("{test}: {}", pair[0].as_str()?), Duration::from_secs_f64(milliseconds / 1000.0)))
    });
    outcome.add(Outcome { passed, failed, skipped: number("skipped"), times: times.collect() });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_tests_take_the_place_of_the_outer_one() {
        let mut outcome = Outcome { passed: 5, failed: 1, skipped: 0, times: vec![] };
        replace(&mut outcome, r#"{"test":"a","passed":70,"failed":0,"skipped":2,"times":[["x",1500.0]]}"#);
        replace(&mut outcome, r#"{"test":"b","passed":60,"failed":3,"skipped":0,"times":[]}"#);
        replace(&mut outcome, "not a line of ours");
        assert_eq!((outcome.passed, outcome.failed, outcome.skipped), (134, 3, 2));
        assert_eq!(outcome.times, [("a: x".to_owned(), Duration::from_millis(1500))]);
    }

    #[test]
    fn an_outer_test_that_ran_none_counts_itself() {
        let mut outcome = Outcome { passed: 0, failed: 1, skipped: 0, times: vec![] };
        replace(&mut outcome, r#"{"test":"b","passed":0,"failed":0,"skipped":0,"times":[]}"#);
        assert_eq!((outcome.passed, outcome.failed), (0, 1));
    }
}
