//! The bases that this node has seen lately. When a node dies, all of its clients come with offsets against the same few.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

use crate::{Base, BaseId, Unavailable};

/// A node makes a base every ten seconds and they live for minutes, so this is enough for a hundred nodes; 1 MB.
const BASES_MAX: usize = 4_096;

type Fetch = Shared<BoxFuture<'static, Result<Option<Base>, Unavailable>>>;

#[derive(Default)]
pub(crate) struct Bases {
    inner: Mutex<Inner>,
}

/// What was asked for moves to the new half. When that is full it becomes the old one, and what nobody asked for since
/// the last time goes.
#[derive(Default)]
struct Inner {
    new: HashMap<BaseId, Base>,
    old: HashMap<BaseId, Base>,
    /// As many as there are bases that somebody waits for.
    fetches: HashMap<BaseId, Fetch>,
}

#[expect(clippy::large_enum_variant, reason = "it is looked at where it is made")]
pub(crate) enum Found {
    Here(Base),
    Fetching(Fetch),
}

impl Bases {
    pub(crate) fn keep(&self, id: BaseId, base: Base) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).keep(id, base);
    }

    /// From here, or by the one question that all wait for who ask meanwhile.
    pub(crate) fn find(
        &self,
        id: BaseId,
        fetch: impl FnOnce() -> BoxFuture<'static, Result<Option<Base>, Unavailable>>,
    ) -> Found {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(base) = inner.get(id) {
            return Found::Here(base);
        }
        Found::Fetching(inner.fetches.entry(id).or_insert_with(|| fetch().shared()).clone())
    }

    /// The question has been answered; the next one is asked anew if the answer was none.
    pub(crate) fn fetched(&self, id: BaseId, answer: &Result<Option<Base>, Unavailable>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.fetches.remove(&id);
        if let Ok(Some(base)) = answer {
            inner.keep(id, *base);
        }
    }
}

impl Inner {
    fn get(&mut self, id: BaseId) -> Option<Base> {
        if let Some(base) = self.new.get(&id) {
            return Some(*base);
        }
        let base = self.old.remove(&id)?;
        self.keep(id, base);
        Some(base)
    }

    fn keep(&mut self, id: BaseId, base: Base) {
        if self.new.len() >= BASES_MAX / 2 {
            self.old = std::mem::take(&mut self.new);
        }
        self.new.insert(id, base);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LANES, LanePosition};

    fn base(pos: u64) -> Base {
        Base([LanePosition { epoch: 1, pos }; LANES])
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_is_bounded() {
        let bases = Bases::default();
        let asked =
            |id| matches!(bases.find(BaseId(id), || futures_util::future::pending().boxed()), Found::Here(_));
        for id in 0..10_000 {
            bases.keep(BaseId(id), base(id));
            assert!(asked(0), "after {id}");
        }
        let inner = bases.inner.lock().unwrap();
        assert!(inner.new.len() + inner.old.len() <= BASES_MAX);
        drop(inner);
        assert!(asked(9_999) && !asked(1));
    }

    #[tokio::test]
    async fn one_question_for_all_who_ask_meanwhile() {
        let bases = Bases::default();
        let (answer, asked) = tokio::sync::oneshot::channel();
        let fetch = || async move { Ok(Some(asked.await.unwrap())) }.boxed();
        let Found::Fetching(first) = bases.find(BaseId(1), fetch) else { panic!("it is not here") };
        let Found::Fetching(second) = bases.find(BaseId(1), || panic!("asked twice")) else {
            panic!("it is not here")
        };
        answer.send(base(7)).unwrap();
        let (first, second) = tokio::join!(first, second);
        assert_eq!((first, second), (Ok(Some(base(7))), Ok(Some(base(7)))));
        bases.fetched(BaseId(1), &first);
        assert!(matches!(bases.find(BaseId(1), || panic!("it is here")), Found::Here(_)));
    }
}
