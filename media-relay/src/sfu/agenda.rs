//! Which peer has to be looked at next, and when.

use std::collections::BTreeSet;
use std::time::Instant;

/// A peer's time is only moved forward by [`Agenda::note`]: what has become later is found out when the earlier time has
/// come. So noting costs nothing while a peer is busy.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    order: BTreeSet<(Instant, usize)>,
    noted: Vec<Option<Instant>>,
}

impl Agenda {
    /// The peer is looked at then at the latest.
    pub(crate) fn note(&mut self, peer: usize, due: Option<Instant>) {
        let Some(due) = due else { return };
        if peer >= self.noted.len() {
            self.noted.resize(peer + 1, None);
        }
        match self.noted[peer] {
            Some(noted) if noted <= due => {}
            noted => {
                if let Some(noted) = noted {
                    self.order.remove(&(noted, peer));
                }
                self.order.insert((due, peer));
                self.noted[peer] = Some(due);
            }
        }
    }

    pub(crate) fn forget(&mut self, peer: usize) {
        if let Some(noted) = self.noted.get_mut(peer).and_then(Option::take) {
            self.order.remove(&(noted, peer));
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(due, _)| *due)
    }

    #[cfg(test)]
    pub(crate) fn has(&self, peer: usize) -> bool {
        self.noted.get(peer).is_some_and(Option::is_some)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// One that is due. It is noted no more.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<usize> {
        let (_, peer) = *self.order.first().filter(|(due, _)| *due <= now)?;
        self.forget(peer);
        Some(peer)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_earliest_counts() {
        let (mut agenda, start) = (Agenda::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        agenda.note(3, Some(at(30)));
        agenda.note(1, Some(at(20)));
        agenda.note(3, Some(at(10)));
        agenda.note(1, Some(at(40)));
        agenda.note(2, None);
        assert_eq!(agenda.next(), Some(at(10)));
        assert_eq!(agenda.pop(at(9)), None);
        assert_eq!((agenda.pop(at(25)), agenda.pop(at(25)), agenda.pop(at(99))), (Some(3), Some(1), None));
        agenda.note(3, Some(at(50)));
        agenda.forget(3);
        assert_eq!(agenda.next(), None);
    }
}
