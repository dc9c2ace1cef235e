//! `turnpike size`: what a system of a given load needs, by figures that were measured. An estimate to begin with, and the
//! arithmetic behind it in the open; `docs/sizing.md` says where each figure comes from.

mod costs;
mod plan;

use anyhow::Context as _;
use turnpike_daemon::config::{Arguments, Fault, Faults, Place};

use self::plan::{Load, Plan};
use crate::line::{Example, Flag, JSON, Spec};

pub(crate) const SPEC: Spec = Spec {
    more: "An estimate to begin with, by figures that were measured; docs/sizing.md says what each rests on.",
    flags: &[&[
        Flag::value("connections", "N", "users who are connected at the same time").required(),
        Flag::value("messages", "N", "messages that they send a second, all together")
            .default("connections / 100"),
        Flag::value("members", "N", "members of the room of a message who are connected").default("20"),
        Flag::value(
            "nodes-of-a-room",
            "N",
            "gateways that have members of a room: 1 where routers go by rooms",
        )
        .default("members, at most all"),
        Flag::value("viewers", "N", "who watch live video at the same time").default("0"),
        Flag::value("bitrate", "N", "bits a second that each of them is sent").default("2500000"),
        Flag::value("cores", "N", "of a gateway, and of a relay").default("4"),
        JSON,
    ]],
    examples: &[
        Example("turnpike size --connections 100000 --messages 1000", "a chat of a hundred thousand"),
        Example(
            "turnpike size --connections 20000 --viewers 5000 --bitrate 1500000 --json",
            "with live video, for a script",
        ),
    ],
    ..Spec::new("size", "Says what a system for so many users needs")
};

/// A load to be carried.
#[derive(Debug)]
pub(crate) struct Request(Load);

impl Request {
    /// `None` if there was a fault.
    pub(crate) fn parse(arguments: &mut Arguments, faults: &mut Faults) -> Option<Self> {
        let faults_before = faults.0.len();
        let mut number = |name: &str, faults: &mut Faults| -> Option<u64> {
            let text = arguments.take_one(name, "a whole number", faults)?;
            let number = text.replace(['_', ','], "").parse().ok().filter(|number| *number <= NUMBER_MAX);
            if number.is_none() {
                faults.push(fault(name, Some(text), "is no whole number up to a million million"));
            }
            number
        };
        let connections = number("connections", faults);
        let [messages, members, nodes_of_a_room, viewers, bitrate, cores] =
            ["messages", "members", "nodes-of-a-room", "viewers", "bitrate", "cores"]
                .map(|name| number(name, faults));
        if connections.is_none() && faults.0.len() == faults_before {
            faults.push(fault("connections", None, "is missing"));
        }
        if faults.0.len() > faults_before {
            return None;
        }
        let connections = connections?;
        Some(Self(Load {
            connections,
            messages: messages.unwrap_or(connections / 100),
            members: members.unwrap_or(20).max(1),
            nodes_of_a_room: nodes_of_a_room.map(|nodes| nodes.max(1)),
            viewers: viewers.unwrap_or(0),
            bitrate: bitrate.unwrap_or(2_500_000),
            cores: cores.unwrap_or(4).max(1),
        }))
    }
}

/// Beyond it products would no longer fit into 64 bits.
const NUMBER_MAX: u64 = 1_000_000_000_000;

fn fault(name: &str, value: Option<String>, problem: &str) -> Fault {
    Fault {
        key: format!("--{name}"),
        place: Place::Flag(name.into()),
        value,
        problem: problem.into(),
        remedy: "expected as in `turnpike size --connections 100000 --messages 1000`".into(),
    }
}

pub(crate) fn print(Request(load): &Request, json: bool) -> anyhow::Result<()> {
    let plan = Plan::of(load);
    let text = if json { plan.as_json().to_string() } else { plan.render(load) };
    crate::print(text.trim_end()).context("the plan cannot be printed")
}
