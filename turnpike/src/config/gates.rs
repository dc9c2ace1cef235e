//! The keys that say who is asked before somebody may do something.

use std::time::Duration;

use turnpike_daemon::config::{List, Secret};
use turnpike_daemon::{choice, section};

use super::webhooks::HttpUrl;

section! {
    /// A backend that is asked by HTTP before somebody may come in, join a room or send a message.
    pub(crate) struct Gates in "gates" {
        /// Where questions are sent to. Not set: nowhere, and nobody is asked.
        url: Option<HttpUrl> = "", "TURNPIKE_GATE_URL";
        /// What questions are signed with, at least 32 bytes.
        secret: Option<Secret> = "", "TURNPIKE_GATE_SECRET";
        /// Questions are signed with this as well: the other secret while one is exchanged for another.
        secret_next: Option<Secret> = "", "TURNPIKE_GATE_SECRET_NEXT";
        /// What is asked about.
        asked: List<Gate> = "connect,join,send", "TURNPIKE_GATES";
        /// How long an answer may take, the wait for a turn included.
        timeout: Duration = "1s", "TURNPIKE_GATE_TIMEOUT", "50ms" to "10s";
        /// What happens when no answer comes that can be understood.
        unanswered: Unanswered = "deny", "TURNPIKE_GATE_UNANSWERED";
        /// Questions under way at once, for each gate.
        requests_max: usize = "64", "TURNPIKE_GATE_REQUESTS_MAX", "1" to "10000";
        /// Connections that wait for their turn, for each gate. Beyond it nobody is asked.
        queue_max: usize = "1000", "TURNPIKE_GATE_QUEUE_MAX", "0" to "1000000";
        /// Questions may be sent to addresses that are not public: the own machine, the private network.
        allow_private: bool = "false", "TURNPIKE_GATE_ALLOW_PRIVATE";
    }
}

choice! {
    pub(crate) enum Gate {
        Connect = "connect",
        Join = "join",
        Send = "send",
    }
    expects "`connect`, `join` or `send`"
}

choice! {
    pub(crate) enum Unanswered {
        Deny = "deny",
        Allow = "allow",
    }
    expects "`deny` or `allow`"
}
