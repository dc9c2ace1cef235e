//! What `turnpike admin` and `turnpike inspect` take, as the command line has it.

use crate::line::{Example, Exit, Flag, JSON, Keys, Operand, Spec};

/// Of whatever asks a node.
pub(crate) const NODE: &[Flag] = &[
    Flag::value("url", "URL", "another node, such as http://10.0.0.21:3011")
        .default("the one at ADMIN_HOST and ADMIN_PORT"),
    Flag::value("as", "ID", "who asks, for the audit log").default("whoever is logged in"),
    JSON,
];
pub(crate) const KEYS: Keys = Keys::These(&["admin.host", "admin.port", "admin.token", "auth.jwt_secret"]);
pub(crate) const NOT_REACHED: Exit = Exit(69, "the node cannot be reached");
pub(crate) const NOT_ALLOWED: Exit = Exit(77, "the node does not accept who asks");
const EXITS: &[Exit] = &[NOT_REACHED, NOT_ALLOWED];

/// What all commands that ask a node have in common.
const fn ask(name: &'static str, about: &'static str) -> Spec {
    Spec { flags: &[NODE], keys: KEYS, exits: EXITS, ..Spec::new(name, about) }
}

pub(crate) const ADMIN: Spec = Spec {
    more: "It asks the node at ADMIN_HOST and ADMIN_PORT, or at --url; docs/admin.md has the same over HTTP. A token of the role admin is taken from \
           TURNPIKE_ADMIN_TOKEN, or made with JWT_SECRET.",
    keys: KEYS,
    ..Spec::group(
        "admin",
        "Asks a running node, and tells it what to do",
        &[NODES, ONE, BANS, REVOCATIONS, REVOKE, USER, DISCONNECT, LOG_LEVEL, DRAIN, VERIFY, CONFIG],
    )
};

const NODES: Spec = Spec {
    more: "As the one that is asked knows them. Of a relay also how many viewers and publishers it has, of how many that it takes.",
    examples: &[
        Example("turnpike admin nodes", "who is there?"),
        Example("turnpike admin nodes --json | jq -r '.nodes[].address'", "for a script"),
    ],
    ..ask("nodes", "Lists the nodes of the cluster")
};

const ONE: Spec = Spec {
    examples: &[Example("turnpike admin node --url http://10.0.0.21:3011", "how is that one?")],
    ..ask("node", "Shows how the node that answers is")
};

const BANS: Spec = Spec {
    examples: &[Example("turnpike admin bans", "who is shut out, by whom and until when")],
    commands: &[
        Spec {
            examples: &[Example("turnpike admin bans list", "the same as `turnpike admin bans`")],
            ..ask("list", "Shows who is shut out")
        },
        BANS_ADD,
        BANS_LIFT,
    ],
    ..ask("bans", "Shows who is shut out")
};

const WHOM: &[Flag] = &[
    Flag::value("user", "ID", "the user; or --address"),
    Flag::value("address", "IP|NETWORK", "an address, or a network such as 192.0.2.0/24"),
];

const BANS_ADD: Spec = Spec {
    more: "On every node, within a second; their connections are closed.",
    flags: &[
        WHOM,
        &[
            Flag::value("for", "DURATION", "how long").default("1h"),
            Flag::value("reason", "TEXT", "why, for the audit log and the list"),
        ],
        NODE,
    ],
    examples: &[
        Example("turnpike admin bans add --user mallory --for 1d --reason spam", "a user"),
        Example(
            "turnpike admin bans add --address 192.0.2.0/24 --for 2h --reason 'credential stuffing'",
            "a network",
        ),
    ],
    ..ask("add", "Shuts somebody out")
};

const BANS_LIFT: Spec = Spec {
    flags: &[WHOM, NODE],
    examples: &[Example("turnpike admin bans lift --user mallory", "they may come back at once")],
    ..ask("lift", "Takes a ban back")
};

const REVOCATIONS: Spec = Spec {
    examples: &[Example("turnpike admin revocations", "tokens and connections that count no more")],
    ..ask("revocations", "Shows what was called back")
};

const REVOKE: Spec = Spec {
    more: "On every node, within a second; connections that came with it are closed.",
    keys: KEYS,
    ..Spec::group(
        "revoke",
        "Calls tokens or a connection back",
        &[REVOKE_USER, REVOKE_TOKEN, REVOKE_CONNECTION],
    )
};

const FOR: Flag =
    Flag::value("for", "DURATION", "how long it is remembered; at least as long as tokens are valid")
        .default("24h");

const REVOKE_USER: Spec = Spec {
    operands: &[Operand::new("ID", "the user")],
    flags: &[&[FOR], NODE],
    examples: &[Example(
        "turnpike admin revoke user mallory",
        "whatever was issued until now; a new token is accepted",
    )],
    ..ask("user", "Calls back all tokens of a user that were issued until now")
};

const REVOKE_TOKEN: Spec = Spec {
    operands: &[Operand::new("JTI", "the id that the token has in its claim `jti`")],
    flags: &[&[FOR], NODE],
    examples: &[Example(
        "turnpike admin revoke token 01957c2e-9b1a",
        "one that was found where it should not be",
    )],
    ..ask("token", "Calls one token back")
};

const REVOKE_CONNECTION: Spec = Spec {
    operands: &[Operand::new("ID", "the connection, as `turnpike admin user` and the logs name it")],
    flags: &[&[FOR], NODE],
    examples: &[Example(
        "turnpike admin revoke connection x7JqWm3n0aPzQk5TtB2c",
        "it is closed, and cannot be recovered",
    )],
    ..ask("connection", "Calls one connection back")
};

const USER: Spec = Spec {
    operands: &[Operand::new("ID", "the user")],
    examples: &[Example(
        "turnpike admin user alice",
        "devices on all nodes, connections on the one that answers",
    )],
    ..ask("user", "Shows where a user is connected")
};

const DISCONNECT: Spec = Spec {
    operands: &[Operand::new("ID", "the user")],
    more: "The token stays valid, and clients come back by themselves: `bans add` keeps them out.",
    examples: &[Example("turnpike admin disconnect alice", "on all nodes")],
    ..ask("disconnect", "Closes a user's connections")
};

const LOG_LEVEL: Spec = Spec {
    operands: &[
        Operand::new("LEVELS", "such as info,turnpike_engine=debug; none to see what is logged").optional()
    ],
    flags: &[
        &[Flag::value("for", "DURATION", "for how long; then it is again as configured").default("10m")],
        NODE,
    ],
    examples: &[
        Example("turnpike admin log-level", "what is logged"),
        Example(
            "turnpike admin log-level info,turnpike_engine=debug --for 5m",
            "more of one part, for a while",
        ),
    ],
    commands: &[Spec {
        examples: &[Example("turnpike admin log-level reset", "before the time is up")],
        ..ask("reset", "Logs again what is configured")
    }],
    ..ask("log-level", "Shows what is logged, or logs something else for a while")
};

const DRAIN: Spec = Spec {
    more: "It only asks: `turnpike drain` asks and waits until the node is gone. It cannot be taken back.",
    examples: &[Example(
        "turnpike admin drain",
        "everybody is sent to the other nodes, then the process ends",
    )],
    commands: &[Spec {
        examples: &[Example(
            "turnpike admin drain status",
            "the phase, what is left, and the seconds until it is cut off",
        )],
        ..ask("status", "Says how far a drain is")
    }],
    ..ask("drain", "Asks a node to leave")
};

const VERIFY: Spec = Spec {
    more: "In the background of the node; with --wait it is waited for, and a bar shows how far it is, on a terminal.",
    flags: &[
        &[Flag::switch("wait", "waits until it is done; the exit code then says whether the log is sound")],
        NODE,
    ],
    examples: &[
        Example("turnpike admin verify --wait", "is the log of that node sound?"),
        Example("turnpike admin verify", "begins, and does not wait"),
    ],
    exits: &[
        Exit(0, "asked; with --wait: sound"),
        Exit(2, "with --wait: tampered, or it failed"),
        NOT_REACHED,
        NOT_ALLOWED,
    ],
    commands: &[Spec {
        examples: &[Example("turnpike admin verify status", "how far it is, or what came of it")],
        ..ask("status", "Says what came of it")
    }],
    ..ask("verify", "Has a node verify its audit log")
};

const CONFIG: Spec = Spec {
    more: "After flags, environment and reloads. Of a secret only whether it is set.",
    examples: &[Example(
        "turnpike admin config --json | jq '.keys[] | select(.from != \"default\")'",
        "what was given to that node",
    )],
    ..ask("config", "Shows the configuration in effect in a running node")
};

const INSPECT_EXITS: &[Exit] = &[
    Exit(0, "found"),
    Exit(1, "refused, or not there"),
    Exit(2, "found, but some nodes did not answer: what they know is missing"),
    NOT_REACHED,
    NOT_ALLOWED,
];

const fn look(name: &'static str, about: &'static str) -> Spec {
    Spec { exits: INSPECT_EXITS, ..ask(name, about) }
}

pub(crate) const INSPECT: Spec = Spec {
    more: "It asks the node at ADMIN_HOST and ADMIN_PORT, or at --url, which asks the others; docs/inspect.md explains what is shown. Since that is personal, \
           each question stands in the audit log.",
    keys: KEYS,
    ..Spec::group(
        "inspect",
        "Looks at a connection, user, room or stream, or says why a message did not arrive",
        &[CONNECTION, INSPECT_USER, ROOM, STREAM, MESSAGE],
    )
};

const CONNECTION: Spec = Spec {
    operands: &[Operand::new("ID", "the connection")],
    more: "Also if it has ended within the last hour.",
    examples: &[Example("turnpike inspect connection x7JqWm3n0aPzQk5TtB2c", "why was it closed?")],
    ..look("connection", "Shows who it is, what waits to be written, and what happened to it last")
};

const INSPECT_USER: Spec = Spec {
    operands: &[Operand::new("ID", "the user")],
    examples: &[Example("turnpike inspect user alice", "what happened to all of her connections?")],
    ..look("user", "Shows all connections of a user on all nodes, devices, bans and mutes, limits")
};

const ROOM: Spec = Spec {
    operands: &[Operand::new("ROOM", "the room")],
    examples: &[Example("turnpike inspect room chat:lobby", "who is in it, and how far is each node?")],
    ..look("room", "Shows where a room stands, its history, the latest messages, its members by node")
};

const STREAM: Spec = Spec {
    operands: &[Operand::new("STREAM", "the stream")],
    examples: &[Example(
        "turnpike inspect stream live:launch",
        "which relay has it, in which layers, and who watches?",
    )],
    ..look(
        "stream",
        "Shows the relay that has a stream, its layers, who publishes, who watches, and the links that carry it",
    )
};

const MESSAGE: Spec = Spec {
    more: "Give --seq or --id.",
    flags: &[
        &[
            Flag::value("room", "ROOM", "the room of the message").required(),
            Flag::value("for", "USER", "whom it was for").required(),
            Flag::value("seq", "NUMBER", "its number in the room"),
            Flag::value("id", "ID", "the id that its sender gave it"),
        ],
        NODE,
    ],
    examples: &[Example(
        "turnpike inspect message --room chat:lobby --seq 41 --for bob",
        "why did bob not get it?",
    )],
    ..look("message", "Says why somebody got a message, or did not")
};
