//! Nodes at which handshakes come to nothing, whatever they say of themselves: each is passed by for a while, then tried again,
//! and passed by for longer if that fails. A node that answers others meanwhile is slow, and nothing is held against it: were it
//! passed by for that, all its work would fall to the next one, which has as much to do. Pure.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// One that gets lost is chance, two in a row are not.
const FAILURES_MAX: u32 = 2;
/// How long a node is passed by at first. It doubles each time.
const PASSED_BY_MIN: Duration = Duration::from_millis(500);
const PASSED_BY_MAX: Duration = Duration::from_secs(8);
/// One that has answered nobody for so long, and was asked to, is silent.
const SILENCE: Duration = Duration::from_millis(500);

/// No more than there are nodes: [`Suspicion::keep`].
#[derive(Default)]
pub(crate) struct Suspicion {
    of: HashMap<SocketAddr, Record>,
}

#[derive(Default)]
struct Record {
    /// In a row.
    failures: u32,
    passed_by: Option<PassedBy>,
    /// When it last answered anybody.
    answered: Option<Instant>,
}

struct PassedBy {
    since: Instant,
    time: Duration,
}

impl Suspicion {
    /// A handshake that was begun then has failed now. Says whether the node is passed by from now on.
    pub(crate) fn failed(&mut self, node: SocketAddr, begun: Instant, now: Instant) -> bool {
        let record = self.of.entry(node).or_default();
        // What was on its way already when the node was found out says nothing new.
        let is_known = record.passed_by.as_ref().is_some_and(|passed| begun < passed.since);
        if is_known || record.answered.is_some_and(|answered| begun < answered) {
            return false;
        }
        record.failures = record.failures.saturating_add(1);
        if record.failures < FAILURES_MAX {
            return false;
        }
        let time = record.passed_by.as_ref().map_or(PASSED_BY_MIN, |last| (last.time * 2).min(PASSED_BY_MAX));
        record.passed_by = Some(PassedBy { since: now, time });
        true
    }

    /// It answers: nothing is held against it.
    pub(crate) fn answered(&mut self, node: SocketAddr, now: Instant) {
        self.of.insert(node, Record { failures: 0, passed_by: None, answered: Some(now) });
    }

    /// Whether it has answered nobody of late.
    pub(crate) fn is_silent(&self, node: SocketAddr, now: Instant) -> bool {
        let answered = self.of.get(&node).and_then(|record| record.answered);
        answered.is_none_or(|answered| now >= answered + SILENCE)
    }

    pub(crate) fn is_passed_by(&self, node: SocketAddr, now: Instant) -> bool {
        let passed = self.of.get(&node).and_then(|record| record.passed_by.as_ref());
        passed.is_some_and(|passed| now < passed.since + passed.time)
    }

    /// Forgets those that are gone.
    pub(crate) fn keep(&mut self, is_there: impl Fn(SocketAddr) -> bool) {
        self.of.retain(|node, _| is_there(*node));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(1);

    fn node(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    #[test]
    fn who_fails_twice_is_passed_by_and_tried_again() {
        let (mut suspicion, begun) = (Suspicion::default(), Instant::now());
        assert!(!suspicion.failed(node(1), begun, begun));
        assert!(!suspicion.is_passed_by(node(1), begun));
        assert!(suspicion.failed(node(1), begun, begun));
        assert!(suspicion.is_passed_by(node(1), begun) && !suspicion.is_passed_by(node(2), begun));
        let again = begun + PASSED_BY_MIN;
        assert!(!suspicion.is_passed_by(node(1), again), "it is to be tried");
        assert!(suspicion.failed(node(1), again, again), "one failure is enough now");
        assert!(suspicion.is_passed_by(node(1), again + PASSED_BY_MIN + STEP), "for longer");
        suspicion.answered(node(1), again);
        assert!(!suspicion.is_passed_by(node(1), again));
        assert!(!suspicion.failed(node(1), again, again), "it begins anew");
    }

    #[test]
    fn all_that_waited_when_it_was_found_out_count_as_one() {
        let (mut suspicion, begun) = (Suspicion::default(), Instant::now());
        let now = begun + STEP;
        let found = (0..1_000).filter(|_| suspicion.failed(node(1), begun, now)).count();
        assert_eq!(found, 1);
        assert!(!suspicion.is_passed_by(node(1), now + PASSED_BY_MIN));
    }

    #[test]
    fn who_answers_others_is_slow_and_nothing_worse() {
        let (mut suspicion, begun) = (Suspicion::default(), Instant::now());
        assert!(suspicion.is_silent(node(1), begun), "it was never heard");
        let answered = begun + STEP;
        suspicion.answered(node(1), answered);
        assert!((0..1_000).all(|_| !suspicion.failed(node(1), begun, answered + SILENCE)));
        assert!(!suspicion.is_silent(node(1), answered + SILENCE / 2));
        assert!(suspicion.is_silent(node(1), answered + SILENCE));
        let later = answered + STEP;
        assert!(!suspicion.failed(node(1), later, later) && suspicion.failed(node(1), later, later));
    }

    #[test]
    fn it_is_never_passed_by_for_ever() {
        let (mut suspicion, mut now) = (Suspicion::default(), Instant::now());
        for _ in 0..100 {
            suspicion.failed(node(1), now, now);
            now += PASSED_BY_MAX;
            assert!(!suspicion.is_passed_by(node(1), now));
        }
        suspicion.keep(|other| other != node(1));
        assert!(suspicion.of.is_empty());
    }
}
