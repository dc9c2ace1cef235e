//! The notices that this node holds to, and the order in which they changed, from which listeners read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::watch;

use crate::bulletin::NOTICES_MAX;
use crate::{Notice, Notices, Topic};

/// So long it is remembered that something was lifted: who brings the notice back from an earlier time is not believed, and
/// a listener that was asleep is told.
pub(crate) const LIFTED_KEPT_MS: u64 = 60 * 60 * 1000;

pub(crate) struct Board {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    max: usize,
}

#[derive(Default)]
struct State {
    topics: HashMap<Topic, Pinned>,
    changes: u64,
}

#[derive(Default)]
struct Pinned {
    kept: HashMap<Arc<str>, Kept>,
    by_change: BTreeMap<u64, Arc<str>>,
    /// Those that hold, and those that were lifted, by when they are forgotten.
    holding: BTreeSet<(u64, Arc<str>)>,
    lifted: BTreeSet<(u64, Arc<str>)>,
}

/// What the board has under a key.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) notice: Notice,
    /// The store's: a later one takes the place of an earlier.
    pub(crate) number: u64,
    /// When it is forgotten.
    pub(crate) ends_ms: u64,
    /// As the store has it.
    pub(crate) stored: Bytes,
    change: u64,
}

/// What came of putting something on the board.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Put {
    pub(crate) is_news: bool,
    /// Those for which there was no room any more.
    pub(crate) given_up: Vec<Notice>,
}

impl Default for Board {
    fn default() -> Self {
        Self::with_room_for(NOTICES_MAX)
    }
}

impl Board {
    pub(crate) fn with_room_for(max: usize) -> Self {
        Self { state: Mutex::default(), changed: watch::Sender::new(0), max }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `number` orders the notices about one key; without one it is the latest. `ends_ms` is that of the notice, or for one
    /// that lifts how long it is to be remembered.
    pub(crate) fn put(
        &self,
        notice: Notice,
        number: Option<u64>,
        ends_ms: u64,
        stored: Bytes,
        now_ms: u64,
    ) -> Put {
        let mut state = self.state();
        let State { topics, changes } = &mut *state;
        let pinned = topics.entry(notice.topic).or_default();
        pinned.sweep(now_ms);
        let number = number.unwrap_or(*changes + 1);
        let known = pinned.kept.get(&notice.key).map(|kept| kept.number);
        if known.is_some_and(|known| known >= number) || ends_ms <= now_ms {
            return Put::default();
        }
        *changes += 1;
        pinned.set(Kept { notice, number, ends_ms, stored, change: *changes });
        let given_up = pinned.give_up(self.max, now_ms, changes);
        let changes = *changes;
        drop(state);
        self.changed.send_replace(changes);
        Put { is_news: true, given_up }
    }

    /// The next change behind that one, and what stands under its key now.
    pub(crate) fn after(&self, topic: Topic, change: u64) -> Option<(u64, Notice)> {
        let now_ms = unix_ms();
        let state = self.state();
        let pinned = state.topics.get(&topic)?;
        pinned.by_change.range(change + 1..).find_map(|(change, key)| {
            let kept = pinned.kept.get(key).filter(|kept| kept.ends_ms > now_ms)?;
            Some((*change, kept.notice.clone()))
        })
    }

    pub(crate) fn holding(&self, topic: Topic) -> Vec<Notice> {
        let now_ms = unix_ms();
        let state = self.state();
        let Some(pinned) = state.topics.get(&topic) else { return Vec::new() };
        let all = pinned.kept.values().filter(|kept| !kept.notice.is_lifting() && kept.ends_ms > now_ms);
        all.map(|kept| kept.notice.clone()).collect()
    }

    /// The store has the same under another seal, unless another has taken its place.
    pub(crate) fn seal_again(&self, kept: &Kept) {
        let mut state = self.state();
        let known = state.topics.get_mut(&kept.notice.topic);
        let known = known.and_then(|pinned| pinned.kept.get_mut(&kept.notice.key));
        if let Some(known) = known.filter(|known| known.number == kept.number) {
            known.stored = kept.stored.clone();
        }
    }

    /// All of a topic, lifted ones as well.
    pub(crate) fn all(&self, topic: Topic) -> Vec<Kept> {
        let state = self.state();
        state.topics.get(&topic).into_iter().flat_map(|pinned| pinned.kept.values().cloned()).collect()
    }

    /// Forgets what has ended, and says what that was.
    pub(crate) fn sweep(&self, now_ms: u64) -> Vec<Notice> {
        self.state().topics.values_mut().flat_map(|pinned| pinned.sweep(now_ms)).collect()
    }

    pub(crate) fn listen(self: &Arc<Self>, topic: Topic) -> Notices {
        Notices { board: Arc::downgrade(self), topic, told: 0, changed: self.changed.subscribe() }
    }
}

impl Pinned {
    fn set(&mut self, kept: Kept) {
        let key = Arc::clone(&kept.notice.key);
        self.remove(&key);
        self.by_change.insert(kept.change, Arc::clone(&key));
        self.ends(&kept).insert((kept.ends_ms, Arc::clone(&key)));
        self.kept.insert(key, kept);
    }

    fn ends(&mut self, kept: &Kept) -> &mut BTreeSet<(u64, Arc<str>)> {
        if kept.notice.is_lifting() { &mut self.lifted } else { &mut self.holding }
    }

    fn remove(&mut self, key: &Arc<str>) -> Option<Notice> {
        let kept = self.kept.remove(key)?;
        self.by_change.remove(&kept.change);
        self.ends(&kept).remove(&(kept.ends_ms, Arc::clone(key)));
        Some(kept.notice)
    }

    fn sweep(&mut self, now_ms: u64) -> Vec<Notice> {
        let mut swept = Vec::new();
        for lifted in [false, true] {
            let ends = if lifted { &self.lifted } else { &self.holding };
            let over: Vec<Arc<str>> =
                ends.iter().take_while(|(at, _)| *at <= now_ms).map(|(_, key)| Arc::clone(key)).collect();
            swept.extend(over.iter().filter_map(|key| self.remove(key)));
        }
        swept
    }

    /// What ends soonest goes first. Those that held are told as lifted; that something was lifted is forgotten without a
    /// word.
    fn give_up(&mut self, max: usize, now_ms: u64, changes: &mut u64) -> Vec<Notice> {
        let mut given_up = Vec::new();
        while self.holding.len() > max
            && let Some((_, key)) = self.holding.first().cloned()
            && let Some(mut kept) = self.kept.get(&key).cloned()
        {
            *changes += 1;
            let lift = Notice::lift(kept.notice.topic, key);
            given_up.push(std::mem::replace(&mut kept.notice, lift));
            (kept.ends_ms, kept.stored, kept.change) = (now_ms + LIFTED_KEPT_MS, Bytes::new(), *changes);
            self.set(kept);
        }
        while self.lifted.len() > max
            && let Some((_, key)) = self.lifted.first().cloned()
        {
            self.remove(&key);
        }
        given_up
    }
}

/// Milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ban(key: &str, until_ms: u64) -> Notice {
        Notice::new(Topic::Ban, key, "x", until_ms)
    }

    fn put(board: &Board, notice: Notice, number: Option<u64>) -> Put {
        let ends_ms = if notice.is_lifting() { u64::MAX } else { notice.until_ms };
        board.put(notice, number, ends_ms, Bytes::new(), unix_ms())
    }

    fn told(notices: &mut Notices) -> Vec<(String, u64)> {
        std::iter::from_fn(|| notices.at_hand())
            .map(|notice| (notice.key.to_string(), notice.until_ms))
            .collect()
    }

    #[test]
    fn an_earlier_notice_does_not_take_the_place_of_a_later() {
        let board = Arc::new(Board::default());
        let far = unix_ms() + 60_000;
        assert!(put(&board, ban("a", far), Some(7)).is_news);
        assert!(!put(&board, Notice::lift(Topic::Ban, "a"), Some(6)).is_news);
        assert!(!put(&board, ban("a", far + 1), Some(7)).is_news, "the same once more");
        let mut notices = board.listen(Topic::Ban);
        assert_eq!(told(&mut notices), [("a".to_owned(), far)]);
        put(&board, Notice::lift(Topic::Ban, "a"), Some(8));
        assert!(!put(&board, ban("a", far), Some(7)).is_news, "nobody brings it back");
        assert_eq!(told(&mut notices), [("a".to_owned(), 0)]);
        assert!(board.holding(Topic::Ban).is_empty());
    }

    #[test]
    fn the_one_that_ends_soonest_goes_and_listeners_are_told() {
        let board = Arc::new(Board::with_room_for(3));
        let now = unix_ms();
        let mut notices = board.listen(Topic::Ban);
        for (key, seconds) in [("a", 300), ("b", 100), ("c", 200)] {
            put(&board, ban(key, now + seconds * 1_000), None);
        }
        assert_eq!(told(&mut notices).len(), 3);
        let put_d = put(&board, ban("d", now + 400_000), None);
        assert_eq!(put_d.given_up, [ban("b", now + 100_000)]);
        assert_eq!(told(&mut notices), [("d".to_owned(), now + 400_000), ("b".to_owned(), 0)]);
        let shortest = ban("e", now + 1_000);
        assert_eq!(put(&board, shortest.clone(), None).given_up, [shortest], "itself if need be");
        assert_eq!(board.holding(Topic::Ban).len(), 3);
        // What is remembered of those that are gone has a bound as well.
        for number in 0..20 {
            put(&board, ban(&number.to_string(), now + 2_000 + number), None);
        }
        assert!(board.all(Topic::Ban).len() <= 6);
    }

    #[test]
    fn what_has_ended_is_swept_and_not_told() {
        let board = Arc::new(Board::default());
        let now = unix_ms();
        put(&board, ban("a", now + 60_000), None);
        assert!(!put(&board, ban("b", now.saturating_sub(1)), None).is_news);
        assert_eq!(board.sweep(now + 60_000), [ban("a", now + 60_000)]);
        assert!(board.all(Topic::Ban).is_empty());
        assert_eq!(told(&mut board.listen(Topic::Ban)), []);
    }

    #[test]
    fn a_slow_listener_is_told_the_latest_of_each_key() {
        let board = Arc::new(Board::default());
        let far = unix_ms() + 60_000;
        for step in 0..1_000 {
            put(&board, ban(["a", "b"][step as usize % 2], far + step), None);
        }
        let mut notices = board.listen(Topic::Ban);
        assert_eq!(told(&mut notices), [("a".to_owned(), far + 998), ("b".to_owned(), far + 999)]);
        assert_eq!(told(&mut board.listen(Topic::Revoked)), []);
        drop(board);
        assert_eq!(notices.at_hand(), None);
    }
}
