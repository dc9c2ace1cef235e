//! Who has been reported lately: a conversation that goes on while somebody is away is reported once a minute, not with
//! every message.

use std::collections::{HashSet, VecDeque};

use turnpike_wire::UserId;

pub(super) const WINDOW_MS: u64 = 60_000;

/// To whom, and from whom.
type Conversation = (UserId, UserId);

pub(super) struct Reported {
    conversations: HashSet<Conversation>,
    /// In the order in which they were reported.
    order: VecDeque<(u64, Conversation)>,
    max: usize,
}

impl Reported {
    /// Beyond `max` the oldest are forgotten early, and may be reported twice within the window.
    pub(super) fn new(max: usize) -> Self {
        Self { conversations: HashSet::new(), order: VecDeque::new(), max }
    }

    /// Whether it was reported within the window.
    pub(super) fn was(&mut self, to: &UserId, from: &UserId, now_ms: u64) -> bool {
        while let Some((at_ms, _)) = self.order.front()
            && now_ms.saturating_sub(*at_ms) >= WINDOW_MS
        {
            self.forget_oldest();
        }
        self.conversations.contains(&(to.clone(), from.clone()))
    }

    /// True, once in the window.
    pub(super) fn is_first(&mut self, to: &UserId, from: &UserId, now_ms: u64) -> bool {
        if self.was(to, from, now_ms) {
            return false;
        }
        if self.order.len() >= self.max {
            self.forget_oldest();
        }
        let conversation = (to.clone(), from.clone());
        self.order.push_back((now_ms, conversation.clone()));
        self.conversations.insert(conversation)
    }

    fn forget_oldest(&mut self) {
        if let Some((_, conversation)) = self.order.pop_front() {
            self.conversations.remove(&conversation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    #[test]
    fn a_conversation_is_reported_once_in_the_window() {
        let mut reported = Reported::new(100);
        let table = [
            (0, "bob", "alice", true),
            (1, "bob", "alice", false),
            (2, "bob", "carol", true),
            (3, "alice", "bob", true),
            (59_999, "bob", "alice", false),
            (60_000, "bob", "alice", true),
            (60_001, "bob", "carol", false),
            (119_999, "bob", "alice", false),
            (120_000, "bob", "alice", true),
        ];
        for (now_ms, to, from, expected) in table {
            assert_eq!(
                reported.is_first(&user(to), &user(from), now_ms),
                expected,
                "{to} {from} at {now_ms}"
            );
        }
    }

    #[test]
    fn it_remembers_no_more_than_it_may() {
        let mut reported = Reported::new(3);
        for number in 0..1_000 {
            assert!(reported.is_first(&user(&format!("u{number}")), &user("alice"), 5));
            assert!(reported.order.len() <= 3 && reported.conversations.len() == reported.order.len());
        }
        assert!(reported.is_first(&user("u0"), &user("alice"), 6), "forgotten long ago");
    }
}
