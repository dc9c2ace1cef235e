//! The end of a run on a terminal.

use std::fmt::Write as _;

use super::Summary;
use crate::{generator::Generator, objective::duration};

pub fn table(summary: &Summary) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "\n{} against {}: {} users, {:.0} s\n",
        summary.profile, summary.host, summary.users, summary.seconds
    );
    if !summary.times.is_empty() {
        let _ = writeln!(
            text,
            "{:<12} {:>12} {:>8} {:>10} {:>10} {:>10} {:>10} {:>10}",
            "", "count", "failed", "p50", "p90", "p99", "p99.9", "max"
        );
    }
    for times in &summary.times {
        let us = [times.p50_us, times.p90_us, times.p99_us, times.p999_us, times.max_us];
        let [p50, p90, p99, p999, max] =
            us.map(|us| if times.count == 0 { "-".to_owned() } else { duration(us) });
        let _ = writeln!(
            text,
            "{:<12} {:>12} {:>8} {p50:>10} {p90:>10} {p99:>10} {p999:>10} {max:>10}",
            times.name,
            grouped(times.count),
            grouped(times.failed)
        );
    }
    let account = &summary.account;
    if account.sent + account.delivered > 0 {
        let _ = writeln!(
            text,
            "\nmessages   {} sent, {} acknowledged, {} refused, {} unanswered",
            grouped(account.sent),
            grouped(account.acknowledged),
            grouped(account.refused),
            grouped(account.unanswered)
        );
        let _ = writeln!(
            text,
            "deliveries {}: {} lost, {} doubled, {} out of order, {} altered, {} late, {} rooms begun anew",
            grouped(account.delivered),
            grouped(account.lost),
            grouped(account.doubled),
            grouped(account.disordered),
            grouped(account.altered),
            grouped(account.late),
            grouped(account.resyncs)
        );
    }
    if account.frames_published + account.frames > 0 {
        let _ = writeln!(
            text,
            "pictures   {} published; {} shown to viewers, {} lost",
            grouped(account.frames_published),
            grouped(account.frames),
            grouped(account.frames_lost)
        );
    }
    for example in &summary.examples {
        let _ = writeln!(text, "           {example}");
    }
    if !summary.failures.is_empty() {
        text.push_str("\nfailed\n");
    }
    for failures in &summary.failures {
        let _ = writeln!(text, "{:>10} {} {}", grouped(failures.count), failures.what, failures.why);
    }
    if !summary.objectives.is_empty() {
        text.push_str("\nobjectives\n");
    }
    for outcome in &summary.objectives {
        let word = if outcome.held { "held" } else { "MISSED" };
        let _ = writeln!(text, "{word:>10} {} (found {})", outcome.objective, outcome.found);
    }
    let generator = &summary.generator;
    let _ = writeln!(
        text,
        "\ngenerator  {:.1} s of CPU in {:.1} s{}, woke up {} late at most (p99 {})",
        generator.cpu_seconds,
        generator.seconds,
        beside_the_server(generator),
        duration(generator.tick_late_max_us),
        duration(generator.tick_late_p99_us)
    );
    for note in &generator.notes {
        let _ = writeln!(text, "      NOTE {note}");
    }
    let _ = writeln!(text, "\n{}", summary.verdict().sentence());
    text
}

/// What the generator cost for what the server did.
pub(super) fn beside_the_server(generator: &Generator) -> String {
    match (generator.server_cpu_seconds, generator.cpu_of_server()) {
        (Some(seconds), Some(share)) => format!(" ({share:.2} of the server's {seconds:.1} s)"),
        _ => String::new(),
    }
}

/// Thousands apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}
