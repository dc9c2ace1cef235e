//! What a scenario tells a load process and what comes back: one JSON line each way, one answer to each command.

use std::{collections::BTreeMap, net::SocketAddr};

use serde::{Deserialize, Serialize};

use crate::packets::Body;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Command {
    /// Connect, authenticate and join; answered when all are in.
    Open {
        count: u32,
        rooms: Rooms,
        /// Connections under way at once.
        concurrency: u32,
        /// Spread evenly at this pace; `None` means as fast as the server takes them.
        per_second: Option<f64>,
        deflate: bool,
    },
    /// Every member sends one message an interval, evenly staggered.
    Paced {
        seconds: f64,
        interval_ms: u64,
        body: Body,
    },
    /// `senders` members keep `window` messages on their way through their room.
    Saturated {
        seconds: f64,
        senders: u32,
        window: u32,
        body: Body,
    },
    /// Every connection sends its next ping when the last came back.
    Echo {
        seconds: f64,
    },
    /// Whole sessions, `concurrency` at a time.
    Sessions {
        count: u32,
        concurrency: u32,
    },
    /// The first connection pings without pause; after a while the second sends one message to its room.
    Probe {
        seconds: f64,
        broadcast_after_ms: u64,
        body: Body,
    },
    /// The first connection sends one message; answered when all members here have it.
    Broadcast {
        body: Body,
    },
    /// Connections that are opened from now on go to this server.
    Aim {
        target: SocketAddr,
    },
    /// The first so many connections send, so many messages a second in total, each at its time whether or not the
    /// servers keep up; the others only receive, on another node. Latencies count from when a message was due.
    Across {
        seconds: f64,
        publishers: u32,
        per_second: u32,
        body: Body,
    },
    /// Every connection keeps `window` messages on their way to their acks.
    Pipelined {
        seconds: f64,
        window: u32,
        body: Body,
    },
    /// The first connection sends a message when the last was acknowledged, and again what was refused; the longest time
    /// without an ack is what is looked for.
    Unbroken {
        seconds: f64,
        pause_ms: u64,
        body: Body,
    },
    /// Connections that are opened from now on keep what they need to be taken up again.
    Remember,
    /// Every connection is made anew at once, without a look at how the old one ended, and is taken up where it was;
    /// answered when each has got all of these.
    Recover {
        sent: Sent,
    },
    /// Answer heartbeats and nothing else.
    Idle {
        seconds: f64,
    },
    /// Touch no socket until the next command: what comes waits in the kernel.
    Hold,
    /// Every member must have got these, no more and no less.
    Verify {
        sent: Sent,
    },
    Close,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rooms {
    /// All in this one.
    One(u32),
    /// So many members in each; neighbours are in different rooms.
    OfSize(u32),
    /// The first in its own, the second in room 0.
    Prober,
}

/// Messages by room.
pub(crate) type Sent = BTreeMap<u32, Account>;

/// How many messages, and a sum over their numbers that a lost, doubled or foreign one changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) messages: u64,
    pub(crate) sum: u64,
}

impl Account {
    pub(crate) fn add(&mut self, number: u64) {
        self.messages += 1;
        // Mixed, so that two wrong numbers do not cancel out.
        self.sum =
            self.sum.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23));
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.messages += other.messages;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

/// The answer to any command; what a command does not produce stays zero.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) seconds: f64,
    /// Connections opened, messages sent, echoes, sessions or heartbeats, by command.
    pub(crate) operations: u64,
    pub(crate) deliveries: u64,
    /// All messages sent since the process began, for `Verify`.
    pub(crate) sent: Sent,
    pub(crate) latency: Option<Latency>,
    /// From when a message was due until its ack, where a command tells it apart from the deliveries.
    pub(crate) ack_latency: Option<Latency>,
    /// Longest time between two acks, for `Unbroken`.
    pub(crate) gap_seconds: f64,
    /// Answers that told to try again, for `Unbroken` and `Recover`.
    pub(crate) refusals: u64,
    /// Connections that were closed before they had entered, for `Recover`.
    pub(crate) closes: u64,
    /// Members of one room that saw another order than their first member.
    pub(crate) disordered: u64,
    pub(crate) failures: u64,
    pub(crate) failed: Vec<String>,
    /// What the load process itself has used since it began.
    pub(crate) cpu_seconds: f64,
    /// How long it was ready to run and something else had its core, since it began.
    pub(crate) waited_seconds: f64,
}

/// In microseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Latency {
    pub(crate) fn of(samples_us: &mut [u32]) -> Option<Self> {
        samples_us.sort_unstable();
        let max = *samples_us.last()?;
        let at = |share: f64| f64::from(samples_us[((samples_us.len() - 1) as f64 * share) as usize]);
        Some(Self { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: f64::from(max) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_tells_lost_doubled_and_foreign() {
        let account = |numbers: &[u64]| {
            let mut account = Account::default();
            for number in numbers {
                account.add(*number);
            }
            account
        };
        let sent = account(&[0, 1, 2, 3, 4]);
        assert_eq!(sent, account(&[4, 3, 2, 1, 0]), "order is not its business");
        assert_ne!(sent, account(&[0, 1, 2, 3]));
        assert_ne!(sent, account(&[0, 1, 2, 3, 3]), "one lost and one doubled");
        assert_ne!(sent, account(&[0, 1, 1, 4, 4]), "same plain sum");
    }
}
