//! What gateways were answered lately: whoever asks again is given the same answer, and nothing is done twice.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use turnpike_cluster::Incarnation;
use turnpike_wire::media::relay::FromRelay;

/// Longer than a gateway asks.
const KEPT: Duration = Duration::from_secs(15);

/// Some ten megabytes of descriptions at most in practice; beyond it the oldest go early.
const REPLIES_MAX: usize = 2_048;

type Key = (Incarnation, u64);

#[derive(Default)]
pub(super) struct Replies {
    known: HashMap<Key, Known>,
    order: VecDeque<(Instant, Key)>,
}

struct Known {
    kind: &'static str,
    /// None: it is being worked on.
    reply: Option<FromRelay>,
}

/// What is to be done about a request.
#[derive(Debug, PartialEq)]
pub(super) enum Seen {
    Never,
    /// The answer will come.
    UnderWay,
    Answered(Box<FromRelay>),
}

impl Replies {
    /// `kind`: what was asked for.
    pub(super) fn look(&mut self, gateway: Incarnation, id: u64, kind: &'static str, now: Instant) -> Seen {
        let key = (gateway, id);
        match self.known.get(&key).map(|known| &known.reply) {
            Some(Some(reply)) => Seen::Answered(Box::new(reply.clone())),
            Some(None) => Seen::UnderWay,
            None => {
                self.known.insert(key, Known { kind, reply: None });
                self.order.push_back((now, key));
                self.forget(now);
                Seen::Never
            }
        }
    }

    /// Gives the kind of what is answered by this, the first time.
    pub(super) fn answer(
        &mut self,
        gateway: Incarnation,
        id: u64,
        reply: &FromRelay,
    ) -> Option<&'static str> {
        let known = self.known.get_mut(&(gateway, id))?;
        known.reply.replace(reply.clone()).is_none().then_some(known.kind)
    }

    fn forget(&mut self, now: Instant) {
        while let Some((since, key)) = self.order.front()
            && (self.order.len() > REPLIES_MAX || now.duration_since(*since) > KEPT)
        {
            self.known.remove(key);
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_again_is_answered_again() {
        let (mut replies, now) = (Replies::default(), Instant::now());
        let (one, other) = (Incarnation(1), Incarnation(2));
        assert_eq!(replies.look(one, 7, "stop", now), Seen::Never);
        assert_eq!(replies.look(other, 7, "stop", now), Seen::Never, "another's");
        assert_eq!(replies.look(one, 7, "stop", now), Seen::UnderWay);
        assert_eq!(replies.answer(one, 7, &FromRelay::Done { id: 7 }), Some("stop"));
        assert_eq!(replies.answer(one, 7, &FromRelay::Done { id: 7 }), None, "once");
        assert_eq!(replies.look(one, 7, "stop", now), Seen::Answered(Box::new(FromRelay::Done { id: 7 })));
        assert_eq!(replies.look(one, 8, "stop", now + KEPT * 2), Seen::Never);
        assert_eq!(replies.look(one, 7, "stop", now + KEPT * 2), Seen::Never, "long ago");
    }

    #[test]
    fn there_is_an_end_to_what_is_remembered() {
        let (mut replies, now) = (Replies::default(), Instant::now());
        for id in 0..10_000 {
            replies.look(Incarnation(1), id, "stop", now);
            let _ = replies.answer(Incarnation(1), id, &FromRelay::Done { id });
        }
        assert_eq!((replies.known.len(), replies.order.len()), (REPLIES_MAX, REPLIES_MAX));
        assert!(matches!(replies.look(Incarnation(1), 9_999, "stop", now), Seen::Answered(_)));
    }
}
