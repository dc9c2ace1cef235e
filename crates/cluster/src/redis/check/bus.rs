//! Whether announcements come through.

use std::time::Duration;

use super::finding::Finding;
use super::survey::Survey;

pub(super) fn round_trips(survey: &Survey) -> Vec<Finding> {
    const CHECK: &str = "bus";
    let mut slowest = Duration::ZERO;
    let mut findings = Vec::new();
    for (address, answers) in survey.masters() {
        match &answers.bus {
            Some(Ok(took)) => slowest = slowest.max(*took),
            Some(Err(fault)) => findings.push(Finding::fail(
                CHECK,
                format!("what is announced at {address} does not come back: {fault}"),
                "let the user use shard channels (ACL SETUSER NAME +ssubscribe +sunsubscribe +spublish allchannels), and \
                 nothing stand in between that knows no Redis 7",
            )),
            None => {}
        }
    }
    if findings.is_empty() {
        let millis = slowest.as_secs_f64() * 1000.0;
        findings.push(Finding::ok(CHECK, format!("an announcement comes back in {millis:.1} ms at most")));
    }
    findings
}
