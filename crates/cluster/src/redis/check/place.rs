//! The processes themselves: their version, our functions in them, their clocks, how far away they are.

use std::time::Duration;

use super::finding::Finding;
use super::layout::list;
use super::survey::{Answers, Survey};
use crate::redis::address::Address;

/// Functions, shard channels and `ADDSLOTSRANGE` came with it.
const VERSION_MIN: (u64, u64) = (7, 0);
/// Epochs and ages are told by these clocks; a second is more than any time service leaves.
const CLOCK_MS_MAX: i64 = 1_000;
/// Every acknowledgement takes this twice, and the bus once more.
const PING_MAX: Duration = Duration::from_millis(20);

pub(super) fn versions(survey: &Survey) -> Vec<Finding> {
    const CHECK: &str = "version";
    let version = |answers: &Answers| answers.info.get("redis_version").unwrap_or("unknown").to_owned();
    let old: Vec<&Address> = survey
        .answering()
        .filter(|(_, answers)| parsed(&version(answers)).is_none_or(|version| version < VERSION_MIN))
        .map(|(address, _)| address)
        .collect();
    let mut all: Vec<String> = survey.answering().map(|(_, answers)| version(answers)).collect();
    all.sort_unstable();
    all.dedup();
    let all = all.join(", ");
    let (major, minor) = VERSION_MIN;
    if old.is_empty() {
        vec![Finding::ok(CHECK, format!("Redis {all}"))]
    } else {
        let what = format!("Redis is older than {major}.{minor} at {} (found: {all})", list(&old));
        vec![Finding::fail(CHECK, what, format!("upgrade to Redis {major}.{minor} or later, replicas first"))]
    }
}

fn parsed(version: &str) -> Option<(u64, u64)> {
    let mut numbers = version.split('.').map(str::parse::<u64>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// `own` is the version that this program brings.
pub(super) fn library(survey: &Survey, own: u64) -> Vec<Finding> {
    const CHECK: &str = "functions";
    let newer: Vec<(&Address, u64)> = survey
        .masters()
        .filter_map(|(address, answers)| Some((address, answers.library?)))
        .filter(|(_, version)| *version > own)
        .collect();
    if let Some((_, version)) = newer.first() {
        let nodes: Vec<&Address> = newer.iter().map(|(address, _)| *address).collect();
        return vec![Finding::fail(
            CHECK,
            format!("version {version} at {}, and this Turnpike knows {own} only", list(&nodes)),
            "start the Turnpike that brought them; to go back, end all newer nodes and type FUNCTION DELETE turnpike on \
             each master",
        )];
    }
    let masters = survey.masters().count();
    let count = |wanted: fn(u64, u64) -> bool| {
        survey
            .masters()
            .filter(|(_, answers)| answers.library.is_some_and(|version| wanted(version, own)))
            .count()
    };
    let (same, older) = (count(|version, own| version == own), count(|version, own| version < own));
    let what = match (same, older) {
        (same, _) if same == masters => format!("version {own} on every master"),
        (_, 0) => format!("version {own} on {same} of {masters} masters; a node that starts loads it"),
        _ => format!("older than {own} on {older} of {masters} masters; a node that starts replaces it"),
    };
    vec![Finding::ok(CHECK, what)]
}

pub(super) fn clocks(survey: &Survey) -> Vec<Finding> {
    const CHECK: &str = "clocks";
    let off: Vec<Finding> = survey
        .answering()
        .filter(|(_, answers)| answers.clock_ahead_ms.abs() > CLOCK_MS_MAX)
        .map(|(address, answers)| {
            let seconds = answers.clock_ahead_ms.unsigned_abs() as f64 / 1000.0;
            let direction = if answers.clock_ahead_ms > 0 { "ahead of" } else { "behind" };
            let what = format!("{address} is {seconds:.1} s {direction} this machine");
            Finding::warn(CHECK, what, "let both machines keep the time (chrony or systemd-timesyncd)")
        })
        .collect();
    if !off.is_empty() {
        return off;
    }
    let most = survey.answering().map(|(_, answers)| answers.clock_ahead_ms.abs()).max().unwrap_or(0);
    vec![Finding::ok(CHECK, format!("agree within {most} ms"))]
}

pub(super) fn latency(survey: &Survey) -> Vec<Finding> {
    const CHECK: &str = "latency";
    let far: Vec<Finding> = survey
        .answering()
        .filter(|(_, answers)| answers.ping > PING_MAX)
        .map(|(address, answers)| {
            let what = format!("{address} takes {} ms to answer a PING", answers.ping.as_millis());
            Finding::warn(CHECK, what, "keep Redis in the network of the nodes; SLOWLOG GET and LATENCY DOCTOR name what it is busy with")
        })
        .collect();
    if !far.is_empty() {
        return far;
    }
    let most = survey.answering().map(|(_, answers)| answers.ping).max().unwrap_or_default();
    vec![Finding::ok(CHECK, format!("a PING takes {:.1} ms at most", most.as_secs_f64() * 1000.0))]
}
