//! What is configured at the processes.

use super::finding::{Finding, Level};
use super::layout::list;
use super::survey::{Answers, Survey};
use crate::redis::address::Address;
use crate::redis::config::{Durability, RedisConfig};

/// Redis' own defaults. A bus connection that a burst has filled is closed, and everything on it is read again.
const BUS_BUFFER_BYTES_MIN: u64 = 32 * 1024 * 1024;
const BUS_BUFFER_SOFT_BYTES_MIN: u64 = 8 * 1024 * 1024;
/// A replica whose buffer is too small is thrown out while it copies, again and again.
const REPLICA_BUFFER_BYTES_MIN: u64 = 64 * 1024 * 1024;
/// So long nobody can publish to the rooms of a master that has failed, at least. It is missed after this time and a half; with
/// the election that must be over before nodes that cannot renew their leases give up, which takes them six seconds.
const NODE_TIMEOUT_MS_MAX: u64 = 3_000;
/// From here on somebody should think about it.
const MEMORY_PERCENT_MAX: u64 = 80;

pub(super) fn durability(survey: &Survey, config: &RedisConfig) -> Vec<Finding> {
    const CHECK: &str = "append-only-file";
    let replicated = config.durability == Durability::Replicated;
    let mut findings = Vec::new();
    let off = where_(survey, |answers| !answers.info.is("aof_enabled", "1"));
    if off.is_empty() {
        findings.push(Finding::ok(CHECK, "on at every process"));
    } else {
        let level = if replicated { Level::Fail } else { Level::Warn };
        let what = format!(
            "off at {}: a process that restarts comes back empty, and its replica with it",
            list(&off)
        );
        findings.push(Finding { level, check: CHECK, what, remedy: set(&off, "appendonly", "yes") });
    }
    let broken = where_(survey, |answers| {
        let info = &answers.info;
        ["aof_last_write_status", "aof_last_bgrewrite_status"]
            .iter()
            .any(|name| info.get(name).is_some_and(|status| status != "ok"))
    });
    if !broken.is_empty() {
        findings.push(Finding::fail(
            CHECK,
            format!("cannot be written at {}", list(&broken)),
            "look at the space on the disk of its `dir` and at its log",
        ));
    }
    let never = where_setting(survey, "appendfsync", |value| value == "no");
    if replicated && !never.is_empty() {
        findings.push(Finding::warn(
            CHECK,
            format!("is flushed when the system likes at {}: a power failure takes up to 30 s", list(&never)),
            set(&never, "appendfsync", "everysec"),
        ));
    }
    let refusing = where_(survey, |answers| answers.info.is("rdb_last_bgsave_status", "err"));
    let refusing: Vec<&Address> = refusing
        .into_iter()
        .filter(|address| setting_of(survey, address, "stop-writes-on-bgsave-error") != Some("no"))
        .collect();
    if !refusing.is_empty() {
        findings.push(Finding::fail(
            "snapshot",
            format!("the last one failed at {}, and Redis refuses writes after that", list(&refusing)),
            "look at the space on the disk of its `dir` and at its log; then BGSAVE there",
        ));
    }
    findings
}

pub(super) fn memory(survey: &Survey) -> Vec<Finding> {
    const CHECK: &str = "memory";
    let mut findings = Vec::new();
    let evicting = |limited: bool| {
        where_(survey, move |answers| {
            let policy = answers.info.get("maxmemory_policy").unwrap_or("noeviction");
            policy != "noeviction" && (answers.info.number("maxmemory").unwrap_or(0) > 0) == limited
        })
    };
    for (limited, level, means) in [
        (true, Level::Fail, "when memory is full, messages and sessions vanish without a word"),
        (false, Level::Warn, "harmless until somebody sets maxmemory"),
    ] {
        let nodes = evicting(limited);
        if !nodes.is_empty() {
            let what = format!("keys may be evicted at {}: {means}", list(&nodes));
            let remedy = set(&nodes, "maxmemory-policy", "noeviction");
            findings.push(Finding { level, check: CHECK, what, remedy });
        }
    }
    for (address, answers) in survey.answering() {
        let number = |name: &str| answers.info.number(name).unwrap_or(0);
        let (used, limit) = (number("used_memory"), number("maxmemory"));
        if limit > 0 && used * 100 >= limit * MEMORY_PERCENT_MAX {
            findings.push(Finding::warn(
                CHECK,
                format!(
                    "{address} uses {} % of its maxmemory; when it is full, everything is refused",
                    used * 100 / limit
                ),
                "raise maxmemory, add a master, or keep less history (history.* of the configuration)",
            ));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "nothing is evicted, and there is room"));
    }
    findings
}

pub(super) fn failover(survey: &Survey) -> Vec<Finding> {
    const CHECK: &str = "failover";
    let mut findings = Vec::new();
    let mut warn = |nodes: Vec<&Address>, means: &str, name: &str, value: &str| {
        if !nodes.is_empty() {
            findings.push(Finding::warn(
                CHECK,
                format!("{means} (at {})", list(&nodes)),
                set(&nodes, name, value),
            ));
        }
    };
    warn(
        where_setting(survey, "cluster-require-full-coverage", |value| value == "yes"),
        "one lost master stops all the others as well",
        "cluster-require-full-coverage",
        "no",
    );
    warn(
        where_setting(survey, "cluster-replica-no-failover", |value| value == "yes"),
        "replicas do not take over",
        "cluster-replica-no-failover",
        "no",
    );
    warn(
        where_setting(survey, "cluster-node-timeout", |value| {
            value.parse::<u64>().is_ok_and(|timeout| timeout > NODE_TIMEOUT_MS_MAX)
        }),
        "a master that fails is missed late, and nodes may lose their leases over it",
        "cluster-node-timeout",
        "2000",
    );
    let stuck: Vec<&Address> = survey
        .masters()
        .filter(|(address, answers)| {
            let wanted =
                answers.settings.as_ref().and_then(|settings| settings.number("min-replicas-to-write"));
            let named = survey.topology.at(address).map_or(0, |master| master.replicas);
            wanted.is_some_and(|wanted| wanted > named as u64)
        })
        .map(|(address, _)| address)
        .collect();
    if !stuck.is_empty() {
        findings.push(Finding::fail(
            CHECK,
            format!(
                "{} takes no writes: min-replicas-to-write is above the number of its replicas",
                list(&stuck)
            ),
            set(&stuck, "min-replicas-to-write", "0"),
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "a replica can take over, and the other masters go on"));
    }
    findings
}

pub(super) fn buffers(survey: &Survey) -> Vec<Finding> {
    const CHECK: &str = "buffers";
    const NAME: &str = "client-output-buffer-limit";
    let mut findings = Vec::new();
    if survey.answering().any(|(_, answers)| answers.settings.is_none()) {
        findings.push(Finding::warn(
            "settings",
            "this user may not read CONFIG, so some settings were not looked at",
            "allow it (ACL SETUSER NAME +config|get), or compare redis.conf with deploy/redis/redis.conf by hand",
        ));
    }
    let small = |class: &'static str, hard_min: u64, soft_min: u64| {
        where_setting(survey, NAME, move |value| {
            limits(value, class).is_some_and(|(hard, soft)| {
                let below = |limit: u64, least: u64| limit > 0 && limit < least;
                below(hard, hard_min) || below(soft, soft_min)
            })
        })
    };
    let bus = small("pubsub", BUS_BUFFER_BYTES_MIN, BUS_BUFFER_SOFT_BYTES_MIN);
    if !bus.is_empty() {
        findings.push(Finding::warn(
            CHECK,
            format!("a burst of messages closes the bus connections to {}", list(&bus)),
            set(&bus, NAME, "\"pubsub 256mb 64mb 60\""),
        ));
    }
    let replica = small("slave", REPLICA_BUFFER_BYTES_MIN, 0);
    if !replica.is_empty() {
        findings.push(Finding::warn(
            CHECK,
            format!("a replica of {} may never get level under load", list(&replica)),
            set(&replica, NAME, "\"replica 256mb 64mb 60\""),
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "have room for bursts"));
    }
    findings
}

/// `normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60`: hard and soft limit of a class.
fn limits(value: &str, class: &str) -> Option<(u64, u64)> {
    let words: Vec<&str> = value.split_whitespace().collect();
    let of_class =
        words.chunks_exact(4).find(|part| part[0] == class || (class == "slave" && part[0] == "replica"))?;
    Some((of_class[1].parse().ok()?, of_class[2].parse().ok()?))
}

/// What to type, and what to write down so that it stays.
fn set(nodes: &[&Address], name: &str, value: &str) -> String {
    format!(
        "on {}: CONFIG SET {name} {value}, then CONFIG REWRITE (redis.conf: {name} {})",
        list(nodes),
        value.trim_matches('"')
    )
}

fn where_(survey: &Survey, is_so: impl Fn(&Answers) -> bool) -> Vec<&Address> {
    survey.answering().filter(|(_, answers)| is_so(answers)).map(|(address, _)| address).collect()
}

fn where_setting<'a>(survey: &'a Survey, name: &str, is_so: impl Fn(&str) -> bool) -> Vec<&'a Address> {
    where_(survey, |answers| {
        answers.settings.as_ref().and_then(|settings| settings.get(name)).is_some_and(&is_so)
    })
}

fn setting_of<'a>(survey: &'a Survey, address: &Address, name: &str) -> Option<&'a str> {
    let (_, answers) = survey.answering().find(|(found, _)| *found == address)?;
    answers.settings.as_ref()?.get(name)
}

#[cfg(test)]
mod tests {
    use super::limits;

    #[test]
    fn limits_of_a_class() {
        let value = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60";
        assert_eq!(limits(value, "pubsub"), Some((33_554_432, 8_388_608)));
        assert_eq!(limits(value, "slave"), Some((268_435_456, 67_108_864)));
        assert_eq!(limits("replica 1 2 3", "slave"), Some((1, 2)));
        assert_eq!(limits("normal 0 0", "normal"), None);
    }
}
