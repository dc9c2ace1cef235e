//! Reads how many tests passed and how long each took out of what a test runner prints.

use std::time::Duration;

/// What the tests of one step came to.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Outcome {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
    pub times: Vec<(String, Duration)>,
}

impl Outcome {
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.times.extend(other.times);
    }
}

/// cargo-nextest: a line a test, then `Summary [ 1.2s] 12 tests run: 11 passed (1 slow), 1 failed, 3 skipped`.
pub(crate) fn of_nextest(output: &[String]) -> Outcome {
    let mut outcome = Outcome::default();
    for line in output {
        let line = line.trim();
        if let Some((_, summary)) = line.strip_prefix("Summary [").and_then(|rest| rest.split_once("] ")) {
            let run = leading_number(summary);
            outcome.passed = number_before(summary, " passed");
            outcome.skipped = number_before(summary, " skipped");
            // Failed, timed out, ended by a signal: whatever ran and did not pass.
            outcome.failed = run.saturating_sub(outcome.passed);
            break; // what failed is listed once more behind it
        }
        if let Some(time) = nextest_time(line) {
            outcome.times.push(time);
        }
    }
    outcome
}

/// `PASS [   4.513s] (10/12) package::binary module::test`
fn nextest_time(line: &str) -> Option<(String, Duration)> {
    let rest = ["PASS [", "FAIL [", "TIMEOUT ["].iter().find_map(|status| line.strip_prefix(status))?;
    let (seconds, name) = rest.split_once("s] ")?;
    let seconds: f64 = seconds.trim().parse().ok()?;
    let name = name.trim_start();
    let name = if name.starts_with('(') { name.split_once(") ")?.1 } else { name };
    Some((name.to_owned(), Duration::from_secs_f64(seconds)))
}

/// `cargo test`, also for doc tests: one `test result:` line a binary, and no times.
pub(crate) fn of_cargo_test(output: &[String]) -> Outcome {
    let mut outcome = Outcome::default();
    for result in output.iter().filter_map(|line| line.trim().strip_prefix("test result: ")) {
        outcome.passed += number_before(result, " passed");
        outcome.failed += number_before(result, " failed");
        outcome.skipped += number_before(result, " ignored");
    }
    outcome
}

fn leading_number(text: &str) -> usize {
    text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0)
}

fn number_before(text: &str, word: &str) -> usize {
    let Some((before, _)) = text.split_once(word) else { return 0 };
    before.rsplit(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn nextest() {
        let outcome = of_nextest(&lines(
            "        PASS [   5.850s] ( 1/12) turnpike-tests::it conformance::node::polling_msgpack
        FAIL [   4.208s] ( 9/12) turnpike-tests::it conformance::oxide::upgrade
     TIMEOUT [   3.000s] (10/12) turnpike-tests::it stuck
────────────
     Summary [  38.818s] 3 tests run: 1 passed (1 slow), 1 failed, 1 timed out, 7 skipped
        FAIL [   4.208s] ( 9/12) turnpike-tests::it conformance::oxide::upgrade",
        ));
        assert_eq!((outcome.passed, outcome.failed, outcome.skipped), (1, 2, 7));
        let names: Vec<&str> = outcome.times.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "turnpike-tests::it conformance::node::polling_msgpack",
                "turnpike-tests::it conformance::oxide::upgrade",
                "turnpike-tests::it stuck",
            ]
        );
        assert_eq!(outcome.times[1].1, Duration::from_millis(4208));
    }

    #[test]
    fn nextest_of_a_version_that_does_not_count() {
        let outcome =
            of_nextest(&lines("PASS [   0.010s] a::b c\nSummary [ 0.01s] 1 test run: 1 passed, 0 skipped"));
        assert_eq!((outcome.passed, outcome.failed, outcome.times.len()), (1, 0, 1));
    }

    #[test]
    fn cargo_test_adds_its_binaries() {
        let outcome = of_cargo_test(&lines(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ));
        assert_eq!(outcome, Outcome { passed: 15, failed: 2, skipped: 1, times: vec![] });
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(of_nextest(&[]), Outcome::default());
        assert_eq!(of_cargo_test(&lines("error: could not compile")), Outcome::default());
    }
}
