//! What is said at the end: where the time went, and the one line that counts.

use std::time::Duration;

use crate::outcome::Outcome;

/// As many of the slowest tests as one reads.
const SLOWEST: usize = 10;

#[derive(Default)]
pub(crate) struct Report {
    steps: Vec<(&'static str, Duration)>,
    failed_steps: Vec<&'static str>,
    sum: Outcome,
}

impl Report {
    pub(crate) fn step(&mut self, name: &'static str, took: Duration, fine: bool, mut outcome: Outcome) {
        if !fine {
            self.failed_steps.push(name);
            // A step that fails without a failing test (a lint, a build) is a failure of its own.
            outcome.failed = outcome.failed.max(1);
        }
        let verdict = if fine { "ok" } else { "FAILED" };
        let tests = match &outcome {
            Outcome { passed: 0, failed: 0, .. } => String::new(),
            Outcome { passed, failed, skipped, .. } => {
                format!(" ({passed} passed, {failed} failed, {skipped} skipped)")
            }
        };
        println!("    {verdict} in {}{tests}", seconds(took));
        self.steps.push((name, took));
        self.sum.add(outcome);
    }

    /// Prints it all; true when everything passed.
    pub(crate) fn close(mut self) -> bool {
        println!("\nWhere the time went:");
        let whole: Duration = self.steps.iter().map(|(_, took)| *took).sum();
        for (name, took) in &self.steps {
            println!("  {:>9}  {name}", seconds(*took));
        }
        println!("  {:>9}  in all", seconds(whole));
        self.sum.times.sort_by_key(|(_, took)| std::cmp::Reverse(*took));
        if !self.sum.times.is_empty() {
            println!("Slowest tests:");
        }
        for (name, took) in self.sum.times.iter().take(SLOWEST) {
            println!("  {:>9}  {name}", seconds(*took));
        }
        if self.sum.skipped > 0 {
            println!("Skipped: {}", self.sum.skipped);
        }
        if !self.failed_steps.is_empty() {
            println!("Failed steps: {}", self.failed_steps.join(", "));
        }
        println!("\n{} passed, {} failed", self.sum.passed, self.sum.failed);
        self.failed_steps.is_empty() && self.sum.failed == 0
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
