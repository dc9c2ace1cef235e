//! Why somebody got a message, or did not: what is known of a connection in, a finding out; and of all findings the one that
//! answers the question.
//!
//! Pure. Places are those of the message's lane: they say without any clock what came before what.

use serde::{Deserialize, Serialize};

use super::notes::OfRoom;

/// What became of a message on its way to one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// Handed to the kernel for its client.
    Written,
    /// The same, after it came back.
    Recovered,
    /// It waits in the connection's queue.
    Queued,
    /// The client reads too slowly: it is given the message when it has read what waits.
    KeptBack,
    /// The node has not heard of the message yet.
    NodeBehind,
    /// The node has, and the connection has not been given it.
    NotQueued,
    /// It waited in the queue, or was kept back, when the connection ended.
    LostInQueue,
    /// The connection had ended, and its client may still come back for the message.
    Away,
    /// The connection had ended for good.
    Ended,
    LeftBefore,
    /// Joining the room was refused.
    JoinRefused,
    JoinedAfter,
    NotJoined,
    /// Nothing is written down of it any more.
    Unknown,
}

impl Finding {
    pub const ALL: &'static [Self] = &[
        Self::Written,
        Self::Recovered,
        Self::Queued,
        Self::KeptBack,
        Self::NodeBehind,
        Self::NotQueued,
        Self::LostInQueue,
        Self::Away,
        Self::Ended,
        Self::LeftBefore,
        Self::JoinRefused,
        Self::JoinedAfter,
        Self::NotJoined,
        Self::Unknown,
    ];

    pub fn is_delivered(self) -> bool {
        matches!(self, Self::Written | Self::Recovered)
    }

    pub fn slug(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Recovered => "recovered",
            Self::Queued => "queued",
            Self::KeptBack => "kept_back",
            Self::NodeBehind => "node_behind",
            Self::NotQueued => "not_queued",
            Self::LostInQueue => "lost_in_queue",
            Self::Away => "away",
            Self::Ended => "ended",
            Self::LeftBefore => "left_before",
            Self::JoinRefused => "join_refused",
            Self::JoinedAfter => "joined_after",
            Self::NotJoined => "not_joined",
            Self::Unknown => "unknown",
        }
    }

    /// Of several connections that were there the one that says most about why.
    fn rank(self) -> u8 {
        match self {
            Self::Written | Self::Recovered => 0,
            Self::Queued => 1,
            Self::KeptBack => 2,
            Self::NodeBehind | Self::NotQueued => 3,
            Self::LostInQueue => 4,
            Self::Away => 5,
            Self::Ended => 6,
            Self::Unknown => 7,
            Self::LeftBefore => 8,
            Self::JoinRefused => 9,
            Self::JoinedAfter => 10,
            Self::NotJoined => 11,
        }
    }
}

/// What is known of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    /// The message's place.
    pub(super) at: u64,
    pub(super) published_ms: u64,
    pub(super) end: End,
    /// When the connection came, if that is known, and whether it took up an earlier one then.
    pub(super) came_ms: Option<u64>,
    pub(super) resumed: bool,
    /// From where on the room is followed, if it is in the room, or was in the end.
    pub(super) joined: Option<u64>,
    pub(super) of_room: OfRoom,
    /// How far it was given messages; none: nothing, or it cannot be told.
    pub(super) queued: Option<u64>,
    /// The first of what waits to be written.
    pub(super) unwritten: Option<u64>,
    /// What waited was thrown away.
    pub(super) discarded: bool,
    pub(super) behind: bool,
    /// Where the room stands on the connection's node; none: it is not open there.
    pub(super) node: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Connected,
    MayReturn,
    Final,
}

/// Whether the place that was written down in 32 bits is behind the message's, or the same.
fn reaches(place: u32, at: u64) -> bool {
    place.wrapping_sub(at as u32).cast_signed() >= 0
}

pub(super) fn judge(case: &Case) -> Finding {
    let Case { at, of_room, .. } = *case;
    match (case.joined, of_room.left) {
        (Some(joined), _) if joined >= at => return Finding::JoinedAfter,
        (Some(_), _) => {}
        (None, Some((_, left))) if !reaches(left, at) => return Finding::LeftBefore,
        (None, Some(_)) => match of_room.joined {
            Some((_, joined)) if reaches(joined, at) => return Finding::JoinedAfter,
            // It left later; whether it had come before is not written down any more.
            None if case.queued.is_none_or(|queued| queued < at) => return Finding::Unknown,
            Some(_) | None => {}
        },
        (None, None) if of_room.denied.is_some() => return Finding::JoinRefused,
        (None, None) => return Finding::NotJoined,
    }
    let is_queued = case.queued.is_some_and(|queued| queued >= at);
    let ended = case.end != End::Connected;
    // What waits is in order: if the first of it is behind the message, the message has gone.
    let waits = case.unwritten.is_some_and(|first| first <= at);
    match (is_queued, ended) {
        (true, true) if waits || case.discarded => Finding::LostInQueue,
        (true, false) if waits => Finding::Queued,
        (true, _) if case.resumed && case.came_ms.is_some_and(|came| came > case.published_ms) => {
            Finding::Recovered
        }
        (true, _) => Finding::Written,
        (false, true) if case.behind => Finding::LostInQueue,
        (false, true) if case.end == End::MayReturn => Finding::Away,
        (false, true) => Finding::Ended,
        (false, false) if case.behind => Finding::KeptBack,
        (false, false) if case.node.is_none_or(|node| node < at) => Finding::NodeBehind,
        (false, false) => Finding::NotQueued,
    }
}

/// When a connection was there, by the wall clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct There {
    pub(super) came_ms: Option<u64>,
    pub(super) ended_ms: Option<u64>,
}

/// Clocks of nodes and of Redis differ by so much at most.
const CLOCKS_MS: u64 = 2_000;

impl There {
    fn was_there_at(&self, ms: u64) -> bool {
        self.came_ms.is_none_or(|came| came <= ms + CLOCKS_MS)
            && self.ended_ms.is_none_or(|ended| ended + CLOCKS_MS >= ms)
    }
}

/// The finding that answers the question: one that was given the message; else of those who were there when it was published
/// the one that says most; else the one that had gone last, or came first.
pub(super) fn decisive(found: &[(Finding, There)], published_ms: u64) -> Option<usize> {
    let order = |(finding, there): &(Finding, There)| {
        let distance = match (there.ended_ms, there.came_ms) {
            (Some(ended), _) if ended < published_ms => published_ms - ended,
            (_, Some(came)) => came.saturating_sub(published_ms),
            _ => 0,
        };
        let was_there = there.was_there_at(published_ms);
        // Who came later says less than who had gone before.
        let came_later = there.came_ms.is_some_and(|came| came > published_ms + CLOCKS_MS);
        (
            !finding.is_delivered(),
            !was_there,
            came_later,
            if was_there { finding.rank() } else { 0 },
            distance,
        )
    };
    (0..found.len()).min_by_key(|index| order(&found[*index]))
}

#[cfg(test)]
mod tests {
    use turnpike_wire::Code;

    use super::*;

    const THERE: Case = Case {
        at: 100,
        published_ms: 50_000,
        end: End::Connected,
        came_ms: Some(10_000),
        resumed: false,
        joined: Some(40),
        of_room: OfRoom { joined: None, left: None, denied: None },
        queued: Some(100),
        unwritten: None,
        discarded: false,
        behind: false,
        node: Some(100),
    };

    #[test]
    fn each_cause_has_its_name() {
        let left = |pos| OfRoom { left: Some((1, pos)), ..OfRoom::default() };
        let came_and_left = |came, pos| OfRoom { joined: Some((1, came)), ..left(pos) };
        let denied = OfRoom { denied: Some((1, Code::Forbidden)), ..OfRoom::default() };
        let out = Case { joined: None, queued: Some(30), ..THERE };
        let gone = Case { end: End::MayReturn, queued: Some(99), ..THERE };
        let table = [
            (THERE, Finding::Written),
            (Case { unwritten: Some(101), ..THERE }, Finding::Written),
            (Case { unwritten: Some(100), ..THERE }, Finding::Queued),
            (Case { unwritten: Some(60), ..THERE }, Finding::Queued),
            (Case { queued: Some(99), behind: true, ..THERE }, Finding::KeptBack),
            (Case { queued: Some(99), node: Some(99), ..THERE }, Finding::NodeBehind),
            (Case { queued: None, ..THERE }, Finding::NotQueued),
            (Case { joined: Some(100), ..THERE }, Finding::JoinedAfter),
            (out, Finding::NotJoined),
            (Case { of_room: denied, ..out }, Finding::JoinRefused),
            (Case { of_room: left(99), ..out }, Finding::LeftBefore),
            (Case { of_room: left(100), ..out }, Finding::Unknown),
            (Case { of_room: left(130), queued: Some(120), ..out }, Finding::Written),
            (Case { of_room: came_and_left(40, 130), queued: Some(120), ..out }, Finding::Written),
            (Case { of_room: came_and_left(110, 130), queued: Some(120), ..out }, Finding::JoinedAfter),
            (gone, Finding::Away),
            (Case { end: End::Final, ..gone }, Finding::Ended),
            (Case { behind: true, ..gone }, Finding::LostInQueue),
            (Case { end: End::Final, unwritten: Some(90), ..THERE }, Finding::LostInQueue),
            (Case { end: End::Final, discarded: true, ..THERE }, Finding::LostInQueue),
            (Case { end: End::Final, ..THERE }, Finding::Written),
            (Case { resumed: true, came_ms: Some(60_000), ..THERE }, Finding::Recovered),
            (Case { resumed: true, came_ms: Some(40_000), ..THERE }, Finding::Written),
        ];
        for (case, expected) in table {
            assert_eq!(judge(&case), expected, "{case:?}");
        }
    }

    #[test]
    fn places_of_32_bits_are_compared_across_their_end() {
        assert!(reaches(5, u64::from(u32::MAX)) && !reaches(u32::MAX, (1 << 32) + 5));
    }

    #[test]
    fn the_finding_that_answers_is_of_who_was_there() {
        let there = |came, ended| There { came_ms: Some(came), ended_ms: ended };
        let published = 100_000;
        let decided = |found: &[(Finding, There)]| decisive(found, published).map(|index| found[index].0);
        assert_eq!(decided(&[]), None);
        // One that got it speaks for all.
        assert_eq!(
            decided(&[(Finding::KeptBack, there(1, None)), (Finding::Written, there(1, None))]),
            Some(Finding::Written)
        );
        // Closed over the message, and back with nothing: what closed it is why.
        assert_eq!(
            decided(&[
                (Finding::NotJoined, there(120_000, None)),
                (Finding::LostInQueue, there(1, Some(110_000)))
            ]),
            Some(Finding::LostInQueue)
        );
        // What ended an hour before says less than who was there.
        assert_eq!(
            decided(&[(Finding::Ended, there(1, Some(10_000))), (Finding::NotJoined, there(20_000, None))]),
            Some(Finding::NotJoined)
        );
        // Nobody was there: who had gone last.
        assert_eq!(
            decided(&[
                (Finding::Ended, there(1, Some(10_000))),
                (Finding::Away, there(1, Some(90_000))),
                (Finding::JoinedAfter, there(130_000, None)),
            ]),
            Some(Finding::Away)
        );
    }
}
