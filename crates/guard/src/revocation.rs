//! What was called back: tokens by their `jti`, all tokens of a user issued before a time, and single connections.
//!
//! It is asked at every check of a token, by many threads at once, and told by one that hears of it. How others learn of a
//! revocation is no matter of this file. A revocation is kept until its end: until no token can be in use any more that it
//! is about (see [`Verifier::lifetime`](crate::Verifier::lifetime)).

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use turnpike_wire::UserId;

use crate::identity::Identity;

/// Of each kind. Beyond it the one that ends soonest goes: its tokens have the least time left.
pub const REVOCATIONS_MAX: usize = 65_536;

/// Of what names a token or connection, so that it can be spread among nodes. A longer `jti` cannot be called back by
/// itself, but its user's tokens can.
pub const REVOKED_ID_BYTES_MAX: usize = 200;

/// What is called back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Revoked {
    /// The token with this `jti`.
    Token(Arc<str>),
    /// Every token of the user, if it was issued before this time (Unix seconds) or does not say when.
    User(UserId, u64),
    /// The connection with this public id, and whoever would take its session up again.
    Connection(Arc<str>),
}

/// How others are told: a key under which a later word takes the place of an earlier, and the rest.
#[derive(Serialize, Deserialize)]
struct Value {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_before: Option<u64>,
}

impl Revoked {
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::User(..) => "user",
            Self::Connection(_) => "connection",
        }
    }

    pub fn id(&self) -> &str {
        match self {
            Self::Token(id) | Self::Connection(id) => id,
            Self::User(user, _) => user.as_str(),
        }
    }

    pub fn key(&self) -> String {
        format!("{}:{}", self.kind(), self.id())
    }

    pub fn value(&self) -> String {
        let not_before = if let Self::User(_, before) = self { Some(*before) } else { None };
        serde_json::to_string(&Value { not_before }).expect("a number can be written")
    }

    /// What `key` and `value` say, whoever has written them. One that lifts has no value.
    pub fn read(key: &str, value: &str) -> Option<Self> {
        let (kind, id) = key.split_once(':')?;
        let value: Value =
            if value.is_empty() { Value { not_before: None } } else { serde_json::from_str(value).ok()? };
        let fits = !id.is_empty() && id.len() <= REVOKED_ID_BYTES_MAX;
        match kind {
            "token" if fits => Some(Self::Token(id.into())),
            "user" => Some(Self::User(UserId::parse(id).ok()?, value.not_before.unwrap_or(0))),
            "connection" if fits => Some(Self::Connection(id.into())),
            _ => None,
        }
    }
}

/// Clones are one and the same.
#[derive(Clone, Default)]
pub struct Revocations(Arc<Tables>);

#[derive(Default)]
struct Tables {
    tokens: Table<Arc<str>, ()>,
    users: Table<UserId, u64>,
    connections: Table<Arc<str>, ()>,
}

impl std::fmt::Debug for Revocations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Revocations").field(&self.len()).finish()
    }
}

impl Revocations {
    /// Holds from now on, until then (milliseconds since 1970). What was said of the same before does not count any more.
    pub fn set(&self, what: &Revoked, until_ms: u64) {
        match what {
            Revoked::Token(id) => self.0.tokens.set(id, (), until_ms),
            Revoked::User(user, before) => self.0.users.set(user, *before, until_ms),
            Revoked::Connection(id) => self.0.connections.set(id, (), until_ms),
        }
    }

    pub fn lift(&self, what: &Revoked) {
        match what {
            Revoked::Token(id) => self.0.tokens.remove(id),
            Revoked::User(user, _) => self.0.users.remove(user),
            Revoked::Connection(id) => self.0.connections.remove(id),
        }
    }

    /// Whether a token counts no more. Where nothing was called back that is three numbers to look at.
    pub fn has_token(&self, user: &UserId, id: Option<&str>, issued_at: Option<u64>) -> bool {
        let by_user =
            || self.0.users.get(user.as_str()).is_some_and(|before| issued_at.is_none_or(|at| at < before));
        id.is_some_and(|id| self.0.tokens.get(id).is_some()) || by_user()
    }

    /// The same of one that was accepted before.
    pub fn has(&self, identity: &Identity) -> bool {
        self.has_token(&identity.user, identity.token_id.as_deref(), identity.issued_at)
    }

    pub fn has_connection(&self, id: &str) -> bool {
        self.0.connections.get(id).is_some()
    }

    /// Forgets what has ended.
    pub fn sweep(&self, now_ms: u64) {
        self.0.tokens.sweep(now_ms);
        self.0.users.sweep(now_ms);
        self.0.connections.sweep(now_ms);
    }

    pub fn len(&self) -> usize {
        self.0.tokens.len() + self.0.users.len() + self.0.connections.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

struct Table<K, V> {
    /// Read without the lock: mostly there is nothing to look for.
    count: AtomicUsize,
    held: RwLock<Held<K, V>>,
}

struct Held<K, V> {
    all: HashMap<K, (V, u64)>,
    ends: BTreeSet<(u64, K)>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        let held = Held { all: HashMap::new(), ends: BTreeSet::new() };
        Self { count: AtomicUsize::new(0), held: RwLock::new(held) }
    }
}

impl<K: Clone + Ord + Hash, V: Copy> Table<K, V> {
    fn change(&self, change: impl FnOnce(&mut Held<K, V>)) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut held);
        self.count.store(held.all.len(), Ordering::Release);
    }

    fn set(&self, key: &K, value: V, until_ms: u64) {
        self.change(|held| {
            held.remove(key);
            held.all.insert(key.clone(), (value, until_ms));
            held.ends.insert((until_ms, key.clone()));
            if held.all.len() > REVOCATIONS_MAX
                && let Some((_, soonest)) = held.ends.first().cloned()
            {
                held.remove(&soonest);
            }
        });
    }

    fn remove<Q: ?Sized + Hash + Eq>(&self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.change(|held| held.remove(key));
    }

    fn get<Q: ?Sized + Hash + Eq>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        if self.len() == 0 {
            return None;
        }
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.all.get(key).map(|(value, _)| *value)
    }

    fn sweep(&self, now_ms: u64) {
        if self.len() == 0 {
            return;
        }
        self.change(|held| {
            while let Some((until_ms, key)) = held.ends.first().cloned()
                && until_ms <= now_ms
            {
                held.remove(&key);
            }
            if held.all.capacity() > 1_024 && held.all.len() * 8 < held.all.capacity() {
                held.all.shrink_to(held.all.len() * 2);
            }
        });
    }

    fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }
}

impl<K: Clone + Ord + Hash, V> Held<K, V> {
    fn remove<Q: ?Sized + Hash + Eq>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        if let Some((key, (_, until_ms))) = self.all.remove_entry(key) {
            self.ends.remove(&(until_ms, key));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    #[test]
    fn tokens_of_a_user_from_before_count_no_more() {
        let (revocations, alice) = (Revocations::default(), user("alice"));
        assert!(!revocations.has_token(&alice, Some("t1"), None));
        revocations.set(&Revoked::User(alice.clone(), 1_000), u64::MAX);
        assert!(revocations.has_token(&alice, None, Some(999)));
        assert!(!revocations.has_token(&alice, None, Some(1_000)), "issued since");
        assert!(revocations.has_token(&alice, None, None), "who does not say when is of before");
        assert!(!revocations.has_token(&user("bob"), None, None));
        revocations.set(&Revoked::User(alice.clone(), 500), u64::MAX);
        assert!(!revocations.has_token(&alice, None, Some(999)), "the later word counts");
        revocations.lift(&Revoked::User(alice.clone(), 0));
        assert!(!revocations.has_token(&alice, None, None) && revocations.is_empty());
    }

    #[test]
    fn a_revocation_ends() {
        let revocations = Revocations::default();
        revocations.set(&Revoked::Token("t1".into()), 5_000);
        revocations.set(&Revoked::Connection("c1".into()), 6_000);
        revocations.sweep(4_999);
        assert!(revocations.has_token(&user("a"), Some("t1"), Some(7)) && revocations.has_connection("c1"));
        revocations.sweep(5_000);
        assert!(!revocations.has_token(&user("a"), Some("t1"), Some(7)) && revocations.has_connection("c1"));
        revocations.set(&Revoked::Connection("c1".into()), 9_000);
        revocations.sweep(6_000);
        assert!(revocations.has_connection("c1"), "it was said again, for longer");
    }

    #[test]
    fn there_is_a_bound_and_the_one_that_ends_soonest_goes() {
        let revocations = Revocations::default();
        for number in 0..=REVOCATIONS_MAX as u64 {
            revocations.set(&Revoked::Token(number.to_string().into()), 2_000_000 - number);
        }
        assert_eq!(revocations.len(), REVOCATIONS_MAX);
        let has = |number: usize| revocations.has_token(&user("a"), Some(&number.to_string()), None);
        assert!(has(0) && !has(REVOCATIONS_MAX));
        revocations.sweep(u64::MAX);
        assert!(revocations.is_empty());
    }

    proptest! {
        #[test]
        fn what_others_are_told_is_what_was_said(id in "[!-~]{1,60}", name in "[a-z0-9._@-]{1,20}", before in 0..1u64 << 53) {
            for what in [
                Revoked::Token(id.as_str().into()),
                Revoked::Connection(id.as_str().into()),
                Revoked::User(user(&name), before),
            ] {
                prop_assert_eq!(Revoked::read(&what.key(), &what.value()), Some(what));
            }
        }

        #[test]
        fn nothing_that_is_read_panics(key in ".{0,300}", value in ".{0,60}") {
            let _ = Revoked::read(&key, &value);
            let _ = Revoked::read(&format!("user:{key}"), &value);
            let _ = Revoked::read(&format!("token:{key}"), "");
        }

        /// Against the plainest statement of the rules.
        #[test]
        fn as_the_rules_say(steps in proptest::collection::vec((0u8..5, 0usize..3, 0u64..20, 1u64..40), 1..80)) {
            let (revocations, names) = (Revocations::default(), ["a", "b", "c"]);
            let mut said: HashMap<Revoked, u64> = HashMap::new();
            let mut now = 0;
            for (kind, which, number, until) in steps {
                let name = names[which];
                let what = match kind {
                    0 => Revoked::Token(name.into()),
                    1 => Revoked::User(user(name), number),
                    _ => Revoked::Connection(name.into()),
                };
                let same = |other: &Revoked| other.key() == what.key();
                match kind {
                    0..=2 => {
                        said.retain(|other, _| !same(other));
                        said.insert(what.clone(), until);
                        revocations.set(&what, until);
                    }
                    3 => {
                        said.retain(|other, _| !same(other));
                        revocations.lift(&what);
                    }
                    _ => {
                        now = now.max(number);
                        said.retain(|_, until| *until > now);
                        revocations.sweep(now);
                    }
                }
                for name in names {
                    for issued_at in [None, Some(number)] {
                        let expected = said.keys().any(|what| match what {
                            Revoked::Token(id) => **id == *name,
                            Revoked::User(of, before) => of.as_str() == name && issued_at.is_none_or(|at| at < *before),
                            Revoked::Connection(_) => false,
                        });
                        prop_assert_eq!(revocations.has_token(&user(name), Some(name), issued_at), expected);
                    }
                    let expected = said.keys().any(|what| *what == Revoked::Connection(name.into()));
                    prop_assert_eq!(revocations.has_connection(name), expected);
                }
            }
        }
    }
}
