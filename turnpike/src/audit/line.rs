//! What `turnpike audit` takes, as the command line has it.

use crate::line::{Example, Exit, Flag, JSON, Keys, Spec, Takes};

pub(crate) const SPEC: Spec = Spec {
    more: "All of it works on files: on a copy as well as beside a running process, and with the public key alone where nothing is signed. \
           --audit-dir PATH names the log.",
    keys: KEYS,
    ..Spec::group(
        "audit",
        "Reads, checks and proves the audit log",
        &[VERIFY, TAIL, QUERY, EXPORT, PROVE, ANCHORS, ERASE, KEYS_OF_LOG],
    )
};

const KEYS: Keys = Keys::These(&["audit.dir", "audit.key_file", "node.data_dir"]);
const ANCHOR_KEYS: Keys = Keys::These(&["audit.key_file", "node.data_dir", "redis.nodes"]);

const KEY: Flag = Flag::value("key", "KEY|FILE", "a public key, or a file with some")
    .default("those of the key file of this machine")
    .repeated()
    .takes(Takes::Path);
const ANCHORS_AT: Flag =
    Flag::value("anchors", "PATH", "checkpoints kept elsewhere: another node's log, an export, notes")
        .repeated()
        .takes(Takes::Path);

const VERIFY: Spec = Spec {
    more: "It reads the log from its first record to its last. A bar shows how far it is, on a terminal.",
    flags: &[&[
        KEY,
        ANCHORS_AT,
        Flag::switch("without-anchors", "does not ask for any: an end that was cut off is then not seen"),
        Flag::value("tail-max", "DURATION", "how much may lie after the newest anchor").default("10s"),
        JSON,
    ]],
    keys: KEYS,
    examples: &[
        Example("turnpike audit verify --anchors anchors.txt", "against what was kept elsewhere"),
        Example(
            "turnpike audit verify --audit-dir /backup/audit --key gateway-1.pub --without-anchors --json",
            "of a copy, with the public key alone",
        ),
    ],
    exits: &[
        Exit(0, "sound: nothing was changed"),
        Exit(2, "tampered: something was changed, added or taken away"),
        Exit(3, "gap: files are missing, or the log itself found damage after a crash"),
        Exit(4, "sound as far as it goes, but nothing that was kept elsewhere vouches for the end"),
    ],
    ..Spec::new("verify", "Says whether anything in the log was changed")
};

const TAIL: Spec = Spec {
    flags: &[&[
        Flag::value("lines", "COUNT", "how many").default("20"),
        Flag::switch("follow", "and those that come, until it is interrupted"),
        JSON_LINES,
    ]],
    keys: KEYS,
    examples: &[
        Example("turnpike audit tail --follow", "what is decided about whom, as it happens"),
        Example("turnpike audit tail --lines 100 --json | jq .activity", "for a script"),
    ],
    ..Spec::new("tail", "Shows the last records")
};

const JSON_LINES: Flag =
    Flag::switch("json", "prints one JSON document a line, as the record stands in the log");

const FILTER: &[Flag] = &[
    Flag::value("user", "ID", "of this user, as the one who did it or to whom it was done"),
    Flag::value("address", "IP", "from this address"),
    Flag::value("room", "ID", "about this room"),
    Flag::value("stream", "ID", "about this stream"),
    Flag::value("connection", "ID", "of this connection"),
    Flag::value("class", "NAME", "of this class, such as authentication, limit or detection"),
    Flag::value("activity", "NAME", "this activity"),
    Flag::value("outcome", "NAME", "with this outcome, such as success, failure or refused"),
    Flag::value("since", "TIME", "from then on: 2026-11-21, 2026-11-21T10:05Z, or 2h for two hours ago"),
    Flag::value("until", "TIME", "before then"),
    Flag::value("limit", "COUNT", "at most so many"),
];
const FORMATS: Takes = Takes::Words(&["text", "ndjson", "ocsf", "ecs", "cef", "syslog"]);
const FORMAT: Flag = Flag::value("format", "FORM", "as").takes(FORMATS);

const QUERY: Spec = Spec {
    more: "Those that all of the flags fit, oldest first.",
    flags: &[FILTER, &[FORMAT.default("text"), JSON_LINES]],
    keys: KEYS,
    examples: &[
        Example(
            "turnpike audit query --user alice --since 24h",
            "what did she do, and what was done to her?",
        ),
        Example(
            "turnpike audit query --class authentication --outcome refused --since 10m --json",
            "who was turned away, for a script",
        ),
    ],
    ..Spec::new("query", "Shows the records that somebody asks for")
};

const EXPORT: Spec = Spec {
    more: "The same as `turnpike audit query`, in the forms that other programs take: OCSF 1.3, ECS 8.11, CEF, syslog (RFC 5424), or the lines of \
           the log.",
    flags: &[FILTER, &[FORMAT.default("ndjson"), JSON_LINES]],
    keys: KEYS,
    examples: &[
        Example("turnpike audit export --since 24h --format ocsf > yesterday.jsonl", "for a SIEM"),
        Example("turnpike audit export --user alice > alice.jsonl", "everything about one user"),
    ],
    ..Spec::new("export", "Writes records for other programs")
};

const PROVE: Spec = Spec {
    more: "For somebody who does not get the log. One of: --record, that a record is in it; --from and --to, that the log of one checkpoint is the \
           beginning of that of another; --check, whether such a proof holds. A proof is JSON.",
    flags: &[&[
        Flag::value("record", "NUMBER", "that this record is in the log"),
        Flag::value("size", "NUMBER", "under the checkpoint that covers so many records")
            .default("the newest"),
        Flag::value("from", "SIZE", "the earlier checkpoint"),
        Flag::value("to", "SIZE", "the later one"),
        Flag::value("check", "FILE", "a proof to be checked").takes(Takes::Path),
        KEY,
        JSON,
    ]],
    keys: KEYS,
    examples: &[
        Example("turnpike audit prove --record 4711 > record-4711.proof", "a proof to hand out"),
        Example(
            "turnpike audit prove --check record-4711.proof --key gateway-1.pub",
            "whoever was given it checks it",
        ),
    ],
    exits: &[
        Exit(0, "proven, or the proof holds"),
        Exit(1, "it cannot be proven, or the proof does not hold"),
    ],
    ..Spec::new("prove", "Proves what is in the log, or checks a proof")
};

const ANCHORS: Spec = Spec {
    flags: &[&[JSON]],
    keys: ANCHOR_KEYS,
    examples: &[Example(
        "turnpike audit anchors > anchors.txt",
        "to be kept where nobody who runs the nodes can write",
    )],
    commands: &[COMPARE],
    ..Spec::new("anchors", "Prints the checkpoints of all nodes that Redis has, for verify --anchors")
};

const COMPARE: Spec = Spec {
    more: "Two checkpoints of one log that cover as many records and have other roots are two logs: one was made anew by somebody with the key.",
    flags: &[&[ANCHORS_AT, KEY, JSON]],
    keys: ANCHOR_KEYS,
    examples: &[Example(
        "turnpike audit anchors compare --anchors anchors.txt --anchors /backup/gateway-2",
        "what is kept in three places",
    )],
    exits: &[
        Exit(0, "what is kept in several places says the same"),
        Exit(2, "two logs: somebody with a key has made one anew, or put an older copy in its place"),
        Exit(4, "nothing is kept in two places, so nothing was compared"),
    ],
    ..Spec::new("compare", "Says whether checkpoints that are kept in several places agree")
};

const ERASE: Spec = Spec {
    more: "Of a node that does not run; one that runs is asked by POST /admin/v1/audit/erasures. The log stays sound: it says that it was done and how \
           much, and not whose values they were. It cannot be taken back. Give --user or --address.",
    flags: &[&[
        Flag::value("user", "ID", "whose values go"),
        Flag::value("address", "IP", "or those of an address"),
        JSON,
    ]],
    keys: KEYS,
    examples: &[Example("turnpike audit erase --user alice", "when somebody asks to be forgotten")],
    ..Spec::new("erase", "Takes the personal values of somebody out of the log")
};

const KEYS_OF_LOG: Spec = Spec {
    more: "Only public halves are ever printed.",
    flags: &[&[JSON]],
    keys: KEYS,
    examples: &[Example("turnpike audit keys > gateway-1.pub", "to be kept elsewhere, for whoever verifies")],
    commands: &[NEW, ROTATE],
    ..Spec::new("keys", "Prints the public keys of the log")
};

const NEW: Spec = Spec {
    more: "A node without a key file makes one when it starts.",
    flags: &[&[JSON]],
    keys: KEYS,
    examples: &[Example("turnpike audit keys new", "once a node, before its first start")],
    ..Spec::new("new", "Makes the first key")
};

const ROTATE: Spec = Spec {
    more: "It signs from the next start on, and the one before signs for it once. Keep both public keys.",
    flags: &[&[JSON]],
    keys: KEYS,
    examples: &[Example("turnpike audit keys rotate", "then restart the node")],
    ..Spec::new("rotate", "Adds a key that follows")
};
