//! What was found, in plain English. It says what is known, and what no longer is.

use serde::Serialize;
use turnpike_audit::Time;
use turnpike_cluster::Standing;
use turnpike_wire::RoomId;

use super::words::{Ended, Found, Seen, State};
use super::{Finding, History, Traced, Which};

#[derive(Debug, Clone, Default, Serialize)]
pub struct Verdict {
    /// None: it cannot be told.
    pub delivered: Option<bool>,
    /// A finding, or `no_such_message`, `no_longer_kept`, `not_published_yet`, `not_connected`.
    pub reason: String,
    pub text: String,
}

/// Why a connection ended, as a part of a sentence.
fn why(ended: &Ended) -> String {
    let known = match &*ended.reason {
        "client_left" => "the client said goodbye",
        "transport_closed" => "its client's end was closed",
        "transport_error" => "the connection broke",
        "ping_timeout" => "the client did not answer a ping",
        "slow_reader" | "slow" => "the client read too slowly",
        "protocol_error" => "the client broke the protocol",
        "revoked" => "the token was called back",
        "banned" => "the user was banned",
        "token_expired" => "the token had expired",
        "drain" => "the node was drained",
        "shutdown" => "the node went down",
        "overloaded" => "the node was overloaded",
        "node_lost" => "the node had lost the cluster",
        "moved" | "replaced" => "another connection had taken the session over",
        _ => "the server closed it",
    };
    format!("{known} ({})", ended.reason)
}

/// How long after, or before.
fn apart(one_ms: u64, other_ms: u64) -> String {
    let apart = one_ms.abs_diff(other_ms);
    let (number, unit) = match apart {
        0..1_000 => return format!("{apart} ms"),
        1_000..120_000 => (apart as f64 / 1_000.0, "s"),
        120_000..7_200_000 => (apart as f64 / 60_000.0, "min"),
        _ => (apart as f64 / 3_600_000.0, "h"),
    };
    format!("{number:.1} {unit}")
}

fn time(unix_ms: u64) -> String {
    Time(unix_ms).to_string()
}

fn queue(seen: &Seen) -> String {
    let bytes = seen.transport.as_ref().map_or(0, |transport| transport.queue_bytes);
    format!("{bytes} bytes wait for it")
}

/// The last line of the record that says this.
fn line<'a>(seen: &'a Seen, what: &str, room: Option<&str>) -> Option<&'a super::Line> {
    let fits = |line: &&super::Line| {
        &*line.what == what && room.is_none_or(|room| line.room.as_deref() == Some(room))
    };
    seen.events.iter().rev().find(fits)
}

/// Of one connection; a sentence that begins with it.
pub(super) fn of_connection(found: &Found, node: &str, ts: u64) -> String {
    let seen = &found.seen;
    let wire = match seen.transport.as_ref().map(|transport| transport.websocket) {
        Some(true) => "websocket",
        Some(false) => "long-polling",
        None => "connection",
    };
    let end = match &seen.state {
        State::Closed(ended) => {
            let apart = apart(ended.at_ms, ts);
            let order = if ended.at_ms >= ts { "after" } else { "before" };
            format!("ended {apart} {order} the message was published: {}", why(ended))
        }
        State::Away { until_ms } => {
            format!("is away; its client may come back until {}", time(*until_ms))
        }
        State::Connected => "is connected".into(),
    };
    let returning = "what it missed is given to its client when that comes back in time";
    match found.finding {
        Finding::Written => match &seen.state {
            State::Closed(_) => {
                format!(
                    "was given the message, which was handed to its {wire}; it {end}. What the network still carried then may not have arrived"
                )
            }
            State::Away { .. } => format!("was given the message before its client went away; it {end}"),
            State::Connected => format!("was given the message: it was handed to its {wire}"),
        },
        Finding::Recovered => {
            let came =
                seen.since_ms.map_or_else(|| "later".into(), |came| format!("{} after", apart(came, ts)));
            let replayed = line(seen, "recovered", None).and_then(|line| line.number);
            let replayed = replayed.map(|count| format!(", with {count} missed in all")).unwrap_or_default();
            format!(
                "took up its session {came} it was published, and has it since then{replayed}, unless an earlier connection had it already"
            )
        }
        Finding::Queued => format!("has it in its queue: the client does not read, {}", queue(seen)),
        Finding::KeptBack => {
            format!(
                "reads too slowly, so the message is kept back: {}. It is given it when it has read that",
                queue(seen)
            )
        }
        Finding::NodeBehind => format!("is in the room, but {node} has not heard of the message yet"),
        Finding::NotQueued => {
            format!("is in the room and {node} has the message, but it was not given to it (yet)")
        }
        Finding::LostInQueue => {
            format!("had not read what was before it when it {end}; {}; {returning}", queue(seen))
        }
        Finding::Away => format!("{end}; {returning}"),
        Finding::Ended => format!("{end}. It cannot be taken up on {node} any more"),
        Finding::LeftBefore => {
            let left = line(seen, "left", None).map(|line| format!(" {} before", apart(line.at_ms, ts)));
            format!("had left the room{}", left.unwrap_or_default())
        }
        Finding::JoinRefused => {
            let refused = seen.events.iter().rev().find(|line| {
                &*line.what == "refused" && line.event.as_deref() == Some("room:join") && line.room.is_some()
            });
            let reason = refused.and_then(|line| line.reason.as_deref()).unwrap_or("refused");
            format!("is not in the room: joining it was refused ({reason})")
        }
        Finding::JoinedAfter => {
            format!("came into the room only after the message; it {end}")
        }
        Finding::NotJoined => format!("is not in the room; it {end}"),
        Finding::Unknown => format!("left the room later, and when it had come is no longer known; it {end}"),
    }
}

pub(super) fn of_no_message(room: &RoomId, which: &Which, standing: &Standing, history: &History) -> Verdict {
    let first = history.first_seq;
    let kept = match (first, history.last_seq) {
        (Some(first), Some(last)) => format!("{first} to {last} are kept"),
        _ => "nothing of the room is kept".into(),
    };
    let (delivered, reason, text) = match which {
        Which::Seq(seq) if *seq > standing.seq => {
            let text = format!("{room} has no message {seq}: it stands at {}", standing.seq);
            (Some(false), "not_published_yet", text)
        }
        Which::Seq(seq) => (
            None,
            "no_longer_kept",
            format!("message {seq} of {room} is no longer kept ({kept}), so nothing can be told of it"),
        ),
        Which::Id(id) => (
            None,
            "no_such_message",
            format!(
                "no message with the id {id} stands in {room} ({kept}): it was refused, volatile, never sent, or is no longer kept"
            ),
        ),
    };
    Verdict { delivered, reason: reason.into(), text }
}

/// Of all that was found.
pub(super) fn of(traced: &Traced, decisive: Option<usize>) -> Verdict {
    let Traced { room, user, message, connections, .. } = traced;
    let (seq, ts) = message.as_ref().map_or((0, 0), |message| (message.seq, message.ts));
    let from = message.as_ref().map(|message| message.from.to_string()).unwrap_or_default();
    let what = format!("message {seq} of {room}, which {from} published at {}", time(ts));
    let confirmed = match (traced.read, traced.received) {
        (Some(read), _) if read >= seq => ". The user has said that they read it",
        (_, Some(received)) if received >= seq => ". The user has said that they received it",
        _ => "",
    };
    let missing = if traced.unanswered.is_empty() {
        String::new()
    } else {
        format!(". Not answered: {}; what they know is not in this", traced.unanswered.join(", "))
    };
    let Some(index) = decisive else {
        let is_certain = traced.unanswered.is_empty();
        let text = format!(
            "{user} did not get {what}: no connection of theirs is known, nor one that ended within the last hour{confirmed}{missing}"
        );
        return Verdict { delivered: is_certain.then_some(false), reason: "not_connected".into(), text };
    };
    let one = &connections[index];
    let finding = one.it.finding;
    let delivered = match finding {
        Finding::Unknown => None,
        _ if !finding.is_delivered() && !traced.unanswered.is_empty() => None,
        _ => Some(finding.is_delivered()),
    };
    let got = match delivered {
        Some(true) => "was given",
        Some(false) => "did not get",
        None => "may not have got",
    };
    let others = connections.len() - 1;
    let others = match others {
        0 => String::new(),
        1 => ". One other connection is listed".into(),
        more => format!(". {more} other connections are listed"),
    };
    let text = format!(
        "{user} {got} {what}: connection {} on {} {}{confirmed}{others}{missing}",
        one.it.seen.connection, one.node, one.it.text
    );
    Verdict { delivered, reason: finding.slug().into(), text }
}
