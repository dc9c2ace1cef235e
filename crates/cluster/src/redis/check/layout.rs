//! Who is there, who serves what, and who copies whom.

use super::finding::{Finding, Level};
use super::survey::{Asked, Survey};
use crate::redis::address::Address;
use crate::redis::config::{Durability, RedisConfig};
use crate::redis::fault::Fault;
use crate::redis::topology::SLOTS;

/// Fewer cannot agree that one of them has failed.
const MASTERS_MIN: usize = 3;

pub(super) fn reach(survey: &Survey) -> Vec<Finding> {
    const CHECK: &str = "reach";
    let mut findings = Vec::new();
    let answering = survey.answering().count();
    if answering > 0 {
        findings.push(Finding::ok(
            CHECK,
            format!("{answering} of {} Redis processes answer", survey.nodes.len()),
        ));
    }
    for node in &survey.nodes {
        let Err(fault) = &node.answer else { continue };
        let level = if answering == 0 || survey.topology.at(&node.address).is_some() {
            Level::Fail
        } else {
            Level::Warn
        };
        let what = format!("{} does not answer: {}", node.address, said(fault));
        findings.push(Finding { level, check: CHECK, what, remedy: silence(node, fault, answering > 0) });
    }
    findings
}

fn said(fault: &Fault) -> String {
    match fault {
        Fault::Lost(why) | Fault::Refused(why) | Fault::NotNow(why) => why.to_string(),
        other => other.to_string(),
    }
}

fn silence(node: &Asked, fault: &Fault, others_answer: bool) -> String {
    let said = said(fault);
    if ["NOAUTH", "WRONGPASS", "invalid username", "Authentication"].iter().any(|sign| said.contains(sign)) {
        return "set REDIS_USERNAME and REDIS_PASSWORD to a user of this Redis (ACL LIST shows them)".into();
    }
    if said.contains("NOPERM") {
        return "give the user the rights of deploy/redis/users.acl (ACL LOG shows what was refused)".into();
    }
    if said.contains("cluster support disabled") {
        return "it is a single Redis: set `cluster-enabled yes` in redis.conf and make a cluster of at least three masters"
            .into();
    }
    match (node.is_seed, others_answer) {
        (true, false) => {
            "start Redis, or set REDIS_NODES to host:port of nodes that this machine can reach".into()
        }
        (true, true) => "start it, or take it out of REDIS_NODES if it is gone for good".into(),
        // The others name it so, which need not be how it is reached from here.
        (false, _) => {
            "start it, or remove it with CLUSTER FORGET; if it runs, let it announce an address that this \
            machine can reach (redis.conf: cluster-announce-ip, cluster-announce-port)"
                .into()
        }
    }
}

pub(super) fn cluster(survey: &Survey) -> Vec<Finding> {
    let mut findings = Vec::new();
    let down: Vec<&Address> = survey
        .answering()
        .filter(|(_, answers)| !answers.cluster.is("cluster_state", "ok"))
        .map(|(address, _)| address)
        .collect();
    if down.is_empty() {
        findings.push(Finding::ok("state", "every process says cluster_state:ok"));
    } else {
        findings.push(Finding::fail(
            "state",
            format!("the cluster is down by the words of {}", list(&down)),
            "look at CLUSTER INFO and CLUSTER NODES there; `redis-cli --cluster check HOST:PORT` names what is wrong",
        ));
    }
    let missing = survey.topology.slots_without_master();
    if missing == 0 {
        findings.push(Finding::ok("slots", format!("all {SLOTS} slots have a master")));
    } else {
        findings.push(Finding::fail(
            "slots",
            format!("{missing} of {SLOTS} slots have no master: {}", uncovered(survey)),
            "bring their master or its replica back; if it is lost, `redis-cli --cluster fix HOST:PORT`",
        ));
    }
    let failing: Vec<&Address> = survey
        .topology
        .masters()
        .iter()
        .filter(|master| master.failing)
        .map(|master| &master.address)
        .collect();
    if !failing.is_empty() {
        findings.push(Finding::fail(
            "masters",
            format!("{} failed and nobody has taken over", list(&failing)),
            "start it; or on one of its replicas: CLUSTER FAILOVER TAKEOVER",
        ));
    }
    let masters = survey.topology.masters().len();
    if masters < MASTERS_MIN {
        findings.push(Finding::warn(
            "masters",
            format!("{masters} masters: fewer than {MASTERS_MIN} cannot agree that one has failed, so no replica takes over"),
            "add masters: `redis-cli --cluster add-node`, then `redis-cli --cluster rebalance --cluster-use-empty-masters`",
        ));
    }
    findings
}

fn uncovered(survey: &Survey) -> String {
    const SHOWN: usize = 5;
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for slot in (0..SLOTS as u16).filter(|slot| survey.topology.master(*slot).is_none()) {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == slot => *last = slot,
            _ => ranges.push((slot, slot)),
        }
    }
    let mut words: Vec<String> = ranges
        .iter()
        .take(SHOWN)
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
        .collect();
    if ranges.len() > SHOWN {
        words.push("...".into());
    }
    words.join(", ")
}

pub(super) fn replicas(survey: &Survey, config: &RedisConfig) -> Vec<Finding> {
    const CHECK: &str = "replicas";
    let replicated = config.durability == Durability::Replicated;
    let mut findings = Vec::new();
    for (address, answers) in survey.masters() {
        let named = survey.topology.at(address).map_or(0, |master| master.replicas);
        let online = answers.info.replicas_online();
        let what = format!("{address} has {online} of {named} replicas in step");
        let start = format!(
            "start its replicas, or add one: `redis-cli --cluster add-node HOST:PORT {address} --cluster-slave`; \
             INFO replication there shows master_link_status"
        );
        if replicated && online < config.replicas_min {
            let needed = config.replicas_min;
            let what = format!("{what}, and {needed} must have a message before it counts as replicated");
            let remedy = format!("{start}; or ask for less with TURNPIKE_DURABILITY=stored");
            findings.push(Finding::fail(CHECK, what, remedy));
        } else if replicated && online < named {
            let what =
                format!("{what}: messages there are refused until all are back or the lost one is removed");
            findings.push(Finding::warn(
                CHECK,
                what,
                format!("{start}; a node that is gone for good: CLUSTER FORGET"),
            ));
        } else if online == 0 {
            findings.push(Finding::warn(CHECK, format!("{what}: nobody takes over when it fails"), start));
        }
    }
    for (address, answers) in survey.answering() {
        if answers.info.is("role", "slave") && !answers.info.is("master_link_status", "up") {
            let master = answers.info.get("master_host").unwrap_or("its master");
            findings.push(Finding::warn(
                CHECK,
                format!("the replica {address} has no link to {master}"),
                "its log says why; with a password it needs `masterauth` (and `masteruser`) as well as `requirepass`",
            ));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "every master has its replicas in step"));
    }
    findings
}

pub(super) fn list(addresses: &[&Address]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
