//! The processes themselves: their version, our functions in them, their clocks, how far away they are.

use std::net::IpAddr;
use std::time::Duration;

use super::finding::Finding;
use super::layout::list;
use super::survey::{Answers, Survey};
use crate::redis::address::Address;
use crate::redis::config::RedisConfig;

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

/// Who is let in. Between processes of one machine nobody asks.
pub(super) fn access(survey: &Survey, config: &RedisConfig) -> Vec<Finding> {
    const CHECK: &str = "access";
    let is_local = |address: &Address| {
        &*address.host == "localhost" || address.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    };
    let open = config.password.is_none() && survey.answering().any(|(address, _)| !is_local(address));
    if !open {
        return Vec::new();
    }
    vec![Finding::warn(
        CHECK,
        "Redis lets everybody in who reaches it: they can read and forge every message",
        "give it users (deploy/redis/users.acl) or `requirepass` and `masterauth`, and set REDIS_USERNAME and REDIS_PASSWORD",
    )]
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::check::Level;
    use crate::redis::check::fields::Fields;
    use crate::redis::check::survey::Asked;
    use crate::redis::topology::{Topology, View};

    /// A cluster of one master.
    fn survey(version: &str, clock_ahead_ms: i64, ping: Duration, library: Option<u64>) -> Survey {
        survey_at("h", version, clock_ahead_ms, ping, library)
    }

    fn survey_at(
        host: &str,
        version: &str,
        clock_ahead_ms: i64,
        ping: Duration,
        library: Option<u64>,
    ) -> Survey {
        let address = Address::new(host, 7001);
        let view = View {
            from: address.clone(),
            text: format!("aa {host}:7001@17001 myself,master - 0 0 1 connected 0-16383"),
        };
        let answers = Answers {
            info: Fields::of_lines(&format!("redis_version:{version}\r\n")),
            cluster: Fields::default(),
            settings: None,
            library,
            clock_ahead_ms,
            ping,
            bus: None,
        };
        let nodes = vec![Asked { address, is_seed: true, answer: Ok(answers) }];
        Survey { nodes, topology: Topology::merge(&[view]) }
    }

    #[test]
    fn versions_from_7_0_on() {
        for (version, level) in [
            ("7.0.15", Level::Ok),
            ("7.2.4", Level::Ok),
            ("10.1", Level::Ok),
            ("6.2.14", Level::Fail),
            ("", Level::Fail),
        ] {
            let found = versions(&survey(version, 0, Duration::ZERO, None));
            assert_eq!(found[0].level, level, "{version}");
        }
    }

    #[test]
    fn clocks_apart_in_either_direction() {
        for (ahead, words) in
            [(0, "agree"), (999, "agree"), (3_600_500, "3600.5 s ahead of"), (-1500, "1.5 s behind")]
        {
            let found = clocks(&survey("7.0", ahead, Duration::ZERO, None));
            assert!(found[0].what.contains(words), "{found:?}");
            assert_eq!(found[0].level == Level::Warn, ahead.abs() > CLOCK_MS_MAX);
        }
    }

    #[test]
    fn open_to_everybody() {
        let open = RedisConfig { password: None, ..RedisConfig::default() };
        let closed = RedisConfig { password: Some("x".into()), ..open.clone() };
        for (host, config, findings) in
            [("10.0.0.1", &open, 1), ("10.0.0.1", &closed, 0), ("127.0.0.1", &open, 0), ("::1", &open, 0)]
        {
            let survey = survey_at(host, "7.0", 0, Duration::ZERO, None);
            assert_eq!(access(&survey, config).len(), findings, "{host}");
        }
    }

    #[test]
    fn far_away() {
        for (ping, level) in
            [(Duration::from_micros(300), Level::Ok), (Duration::from_millis(80), Level::Warn)]
        {
            assert_eq!(latency(&survey("7.0", 0, ping, None))[0].level, level);
        }
    }

    #[test]
    fn a_newer_library_is_left_alone() {
        for (installed, level, words) in [
            (None, Level::Ok, "0 of 1 masters; a node that starts loads it"),
            (Some(3), Level::Ok, "version 3 on every master"),
            (Some(2), Level::Ok, "replaces it"),
            (Some(4), Level::Fail, "version 4 at h:7001"),
        ] {
            let found = library(&survey("7.0", 0, Duration::ZERO, installed), 3);
            assert!(found[0].level == level && found[0].what.contains(words), "{found:?}");
        }
    }
}
