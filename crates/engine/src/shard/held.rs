//! What the application sends to a socket before the socket's CONNECT has been answered. It waits here, in order, and
//! comes right behind the answer; rooms are entered at once, so that nothing that is sent to them from then on is missed.
//!
//! It knows no connection. The limits are those of a connection's queue: what is not taken is refilled later.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::ack::Waiter;
use crate::command::Close;
use crate::packet::{Class, Encoded};
use crate::rooms::RoomIndex;

#[derive(Default)]
pub(super) struct Held {
    pub(super) rooms: SmallVec<[RoomIndex; 4]>,
    items: Vec<Item>,
    /// Bytes in the items, as the limits count them.
    bytes: usize,
    /// A reliable event was not taken, nor is any behind it.
    pub(super) behind: bool,
}

pub(super) enum Item {
    Event(Arc<Encoded>),
    /// An event that asks for an answer.
    Ask {
        id: u64,
        timeout: Duration,
        waiter: Waiter,
        event: Arc<Encoded>,
    },
    /// The last.
    Close(Close),
}

#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) soft_bytes: usize,
    pub(super) hard_bytes: usize,
    /// Answers that may be waited for at once.
    pub(super) asks_max: usize,
}

/// What became of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    Held,
    /// In the place of one that said the same of an earlier time.
    Replaced,
    /// The application will be asked to refill it.
    Deferred,
    Dropped,
}

impl Held {
    pub(super) fn event(&mut self, event: &Arc<Encoded>, limits: Limits) -> Fate {
        let fate = self.fate(event, limits);
        if fate == Fate::Held {
            self.push(Item::Event(Arc::clone(event)), event.queue_bytes());
        }
        fate
    }

    /// Gives the waiter back if there is no room, or there are as many questions as may be.
    pub(super) fn ask(
        &mut self,
        id: u64,
        timeout: Duration,
        waiter: Waiter,
        event: &Arc<Encoded>,
        limits: Limits,
    ) -> Result<(), Waiter> {
        let asks = self.items.iter().filter(|item| matches!(item, Item::Ask { .. })).count();
        if asks >= limits.asks_max || self.fate(event, limits) != Fate::Held {
            return Err(waiter);
        }
        self.push(Item::Ask { id, timeout, waiter, event: Arc::clone(event) }, event.queue_bytes());
        Ok(())
    }

    pub(super) fn close(&mut self, close: Close) {
        if !self.is_closed() {
            self.items.push(Item::Close(close));
        }
    }

    pub(super) fn take_items(&mut self) -> Vec<Item> {
        self.bytes = 0;
        std::mem::take(&mut self.items)
    }

    fn push(&mut self, item: Item, bytes: usize) {
        self.items.push(item);
        self.bytes += bytes;
    }

    fn is_closed(&self) -> bool {
        matches!(self.items.last(), Some(Item::Close(_)))
    }

    /// Puts a state in the place of its predecessor, and decides about everything else.
    fn fate(&mut self, event: &Arc<Encoded>, limits: Limits) -> Fate {
        if self.is_closed() {
            return Fate::Dropped;
        }
        // As in a connection's queue, one event is always taken.
        let past = |bytes_max| !self.items.is_empty() && self.bytes + event.queue_bytes() > bytes_max;
        let full = past(limits.soft_bytes);
        let overfull = past(limits.hard_bytes);
        match event.class() {
            Class::Reliable if self.behind || full => {
                self.behind = true;
                Fate::Deferred
            }
            Class::State { .. } if self.replace(event) => Fate::Replaced,
            Class::State { .. } if overfull => Fate::Dropped,
            Class::Volatile if full => Fate::Dropped,
            _ => Fate::Held,
        }
    }

    fn replace(&mut self, event: &Arc<Encoded>) -> bool {
        for item in &mut self.items {
            if let Item::Event(old) = item
                && old.class() == event.class()
                && old.namespace() == event.namespace()
            {
                self.bytes = self.bytes + event.queue_bytes() - old.queue_bytes();
                *old = Arc::clone(event);
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, class: Class) -> Arc<Encoded> {
        Encoded::event("/", name).arg(&"x".repeat(80)).class(class).build()
    }

    fn names(held: &mut Held) -> Vec<String> {
        let name = |item: &Item| match item {
            Item::Event(event) | Item::Ask { event, .. } => event.name().to_owned(),
            Item::Close(close) => close.reason.clone(),
        };
        held.take_items().iter().map(name).collect()
    }

    fn limits(soft_bytes: usize) -> Limits {
        Limits { soft_bytes, hard_bytes: 2 * soft_bytes, asks_max: 1 }
    }

    #[test]
    fn a_limit_holds_for_each_class_in_its_own_way() {
        let mut held = Held::default();
        let mut put = |name: &str, class| held.event(&event(name, class), limits(200));
        assert_eq!(put("a", Class::Reliable), Fate::Held);
        assert_eq!(put("b", Class::Volatile), Fate::Held);
        assert_eq!(put("c", Class::Volatile), Fate::Dropped);
        assert_eq!(put("d", Class::State { key: 1 }), Fate::Held);
        assert_eq!(put("e", Class::State { key: 1 }), Fate::Replaced);
        assert_eq!(put("f", Class::Reliable), Fate::Deferred);
        assert_eq!(put("g", Class::State { key: 2 }), Fate::Held);
        assert_eq!(put("h", Class::State { key: 3 }), Fate::Dropped);
        assert!(held.behind);
        held.behind = false;
        assert_eq!(held.event(&event("i", Class::Reliable), limits(1_000)), Fate::Held);
        assert_eq!(names(&mut held), ["a", "b", "e", "g", "i"]);
    }

    #[test]
    fn after_one_that_was_not_taken_no_reliable_event_is() {
        let mut held = Held::default();
        assert_eq!(
            held.event(&event("first", Class::Reliable), limits(10)),
            Fate::Held,
            "one is always taken"
        );
        assert_eq!(held.event(&event("large", Class::Reliable), limits(200)), Fate::Held);
        assert_eq!(held.event(&event("too many", Class::Reliable), limits(200)), Fate::Deferred);
        assert_eq!(held.event(&event("fits", Class::Reliable), limits(2_000)), Fate::Deferred);
        assert_eq!(names(&mut held), ["first", "large"]);
    }

    #[test]
    fn questions_are_counted() {
        let mut held = Held::default();
        let mut ask = || {
            let (sender, _) = tokio::sync::oneshot::channel();
            let asked = event("question", Class::Reliable);
            held.ask(1, Duration::ZERO, Waiter::One(sender), &asked, limits(1_000)).is_ok()
        };
        assert_eq!([ask(), ask()], [true, false]);
    }

    #[test]
    fn nothing_comes_behind_a_close() {
        let mut held = Held::default();
        held.event(&event("first", Class::Reliable), limits(1_000));
        held.close(Close::new(3001, "closed", true));
        held.close(Close::new(3002, "again", true));
        assert_eq!(held.event(&event("late", Class::Reliable), limits(1_000)), Fate::Dropped);
        assert_eq!(names(&mut held), ["first", "closed"]);
    }
}
