//! The commands, in the order in which they are listed.

use super::{Example, Exit, Keys, Operand, Spec, completions, man};
use crate::{audit, configuration, deploy, doctor, drain, liveness, remote, size, token};

pub(crate) static ROOT: Spec = Spec {
    more: "Without a command the whole system runs in this process: users on one port, live video on another, what operators ask for on a \
           third. Nothing has to be installed. With REDIS_NODES it is one node of a cluster.",
    keys: Keys::All,
    examples: &[
        Example("turnpike", "the whole system; prints where the demo is, and a token"),
        Example("turnpike --port 8080 --log-level debug", "every key of the configuration is a flag too"),
        Example("turnpike --config /etc/turnpike/turnpike.toml", "with a file; SIGHUP reads it anew"),
    ],
    exits: RUNNING,
    commands: &[
        GATEWAY,
        RELAY,
        ROUTER,
        token::SPEC,
        doctor::SPEC,
        liveness::SPEC,
        size::SPEC,
        audit::SPEC,
        remote::ADMIN,
        remote::INSPECT,
        drain::SPEC,
        deploy::SPEC,
        configuration::SPEC,
        completions::SPEC,
        man::SPEC,
        HELP,
    ],
    ..Spec::new("turnpike", "A realtime gateway for Socket.IO clients and plain websockets")
};

/// Of those that serve until they are told to end.
const RUNNING: &[Exit] = &[
    Exit(0, "it was asked to end (SIGTERM, SIGINT or a drain) and has left in order"),
    Exit(69, "not started: what it relies on is not fit, such as the Redis Cluster; later it may well be"),
    Exit(130, "ended at once, by a second SIGINT"),
    Exit(143, "ended at once, by a second SIGTERM"),
];

const GATEWAY: Spec = Spec {
    more: "One part of the system, beside others on the same Redis Cluster. Whoever publishes or watches is sent to the relays.",
    keys: Keys::All,
    examples: &[Example(
        "turnpike gateway --redis-nodes 10.0.0.11:6379,10.0.0.12:6379 --host 0.0.0.0",
        "a node for users",
    )],
    exits: RUNNING,
    ..Spec::new("gateway", "Runs a node for users")
};

const RELAY: Spec = Spec {
    more: "One part of the system, beside others on the same Redis Cluster. WHIP and WHEP are served here; routers give it no sessions of users.",
    keys: Keys::All,
    examples: &[Example(
        "turnpike relay --redis-nodes 10.0.0.11:6379 --media-host 0.0.0.0",
        "a node for live video",
    )],
    exits: RUNNING,
    ..Spec::new("relay", "Runs a node for live video")
};

const ROUTER: Spec = Spec {
    more: "It finds the nodes by the Redis Cluster that they share, sends each session to the node that has it, and keeps no state: \
           run two.",
    keys: Keys::All,
    examples: &[
        Example(
            "turnpike router --redis-nodes 10.0.0.11:6379 --router-host 0.0.0.0",
            "in front of all nodes of a cluster",
        ),
        Example(
            "turnpike router --redis-nodes 10.0.0.11:6379 --router-strategy rendezvous",
            "members of a room at one node",
        ),
    ],
    exits: RUNNING,
    ..Spec::new("router", "Runs the sticky entry in front of nodes")
};

const HELP: Spec = Spec {
    operands: &[Operand::new(
        "COMMAND",
        "the words of a command; none for all, `configuration` for the keys",
    )
    .optional()
    .repeated()],
    flags: &[&[super::help::ALL]],
    examples: &[
        Example("turnpike help audit verify", "the same as `turnpike audit verify --help`"),
        Example("turnpike help configuration", "every key, as a flag"),
        Example("turnpike help --all", "everything, one after the other"),
    ],
    ..Spec::new("help", "Says what a command does and takes")
};
