//! Somebody whose token was accepted.

use std::sync::Arc;

use turnpike_wire::{RoomId, UserId};

use crate::claims::{Name, Role};
use crate::grant::{Grant, MediaGrant, MediaRight, Right};

/// Kept by each connection for as long as it lives, so what many share (the default grants) is shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub user: UserId,
    pub role: Role,
    pub name: Option<Name>,
    /// Unix seconds.
    pub expires_at: u64,
    /// Unix seconds, if the token says so.
    pub issued_at: Option<u64>,
    pub token_id: Option<Arc<str>>,
    /// The name of a limit class.
    pub class: Option<Arc<str>>,
    pub rooms: Arc<[Grant]>,
    pub media: Arc<[MediaGrant]>,
}

impl Identity {
    /// Whether the token allows this in that room. One's own personal room needs no grant.
    pub fn can(&self, right: Right, room: &RoomId) -> bool {
        self.role != Role::User
            || room.personal_user() == Some(self.user.as_str())
            || self.rooms.iter().any(|grant| grant.can.contains(right) && grant.pattern.matches(room))
    }

    /// Whether there is any stream that the token allows to send or to watch.
    pub fn uses_media(&self) -> bool {
        let allows = |grant: &MediaGrant| {
            [MediaRight::Publish, MediaRight::Subscribe].into_iter().any(|right| grant.can.contains(right))
        };
        self.role != Role::User || self.media.iter().any(allows)
    }

    /// Streams bear the same names as rooms.
    pub fn can_media(&self, right: MediaRight, stream: &RoomId) -> bool {
        self.role != Role::User
            || self.media.iter().any(|grant| grant.can.contains(right) && grant.pattern.matches(stream))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::grant::{Pattern, Rights};

    fn identity(user: &str, role: Role, grants: &[&str]) -> Identity {
        Identity {
            user: UserId::parse(user).unwrap(),
            role,
            name: None,
            expires_at: 0,
            issued_at: None,
            token_id: None,
            class: None,
            rooms: grants.iter().map(|grant| grant.parse().unwrap()).collect(),
            media: Arc::from([]),
        }
    }

    #[test]
    fn rights_in_rooms() {
        let room = |name: &str| RoomId::parse(name).unwrap();
        let alice = identity("alice", Role::User, &["chat:*=join,send", "chat:news=history", "*=join"]);
        assert!(alice.can(Right::Send, &room("chat:a")));
        assert!(!alice.can(Right::History, &room("chat:a")));
        assert!(alice.can(Right::History, &room("chat:news")), "grants add up");
        assert!(alice.can(Right::Join, &room("other")) && !alice.can(Right::Send, &room("other")));
        assert!(alice.can(Right::History, &room("user:alice")), "her own inbox");
        assert!(!alice.can(Right::Join, &room("user:bob")), "and nobody else's");
        let backend = identity("backend", Role::Service, &[]);
        assert!(backend.can(Right::Send, &room("user:bob")));
        assert!(!identity("nobody", Role::User, &[]).can(Right::Join, &room("chat:a")));
    }

    #[test]
    fn media_is_for_those_who_may_publish_or_watch_something() {
        let mut alice = identity("alice", Role::User, &["*=join"]);
        assert!(!alice.uses_media());
        for (grant, uses) in
            [("live:a=record", false), ("live:a=subscribe", true), ("live:*=record,publish", true)]
        {
            alice.media = Arc::from([grant.parse().unwrap()]);
            assert_eq!(alice.uses_media(), uses, "{grant}");
        }
        assert!(identity("backend", Role::Service, &[]).uses_media());
    }

    proptest! {
        /// Against the plainest statement of the rule.
        #[test]
        fn as_the_rule_says(
            grants in proptest::collection::vec(("(user:|chat:|c)?[ab]{0,2}\\*?", 0u8..32), 0..6),
            name in "(user:|chat:|c)[ab]{0,3}",
            right in 0usize..5,
        ) {
            let right = Right::ALL[right];
            let grants: Vec<(String, u8)> = grants.into_iter().filter(|(text, _)| !text.is_empty()).collect();
            let mut alice = identity("a", Role::User, &[]);
            alice.rooms = grants
                .iter()
                .map(|(text, bits)| Grant {
                    pattern: Pattern::parse(text).unwrap(),
                    can: Right::ALL.iter().copied().filter(|right| bits & *right as u8 != 0).collect::<Rights>(),
                })
                .collect();
            let mut expected = name == "user:a";
            for (text, bits) in &grants {
                let matches = if text.ends_with('*') {
                    let stem = &text[..text.len() - 1];
                    name.starts_with(stem) && !(name.starts_with("user:") && stem.len() < "user:".len())
                } else {
                    *text == name
                };
                expected |= matches && bits & right as u8 != 0;
            }
            prop_assert_eq!(alice.can(right, &RoomId::parse(&name).unwrap()), expected);
        }
    }
}
