//! Which rates are whose: the limits by name, and classes of users that have other rates than everybody.

use std::collections::HashMap;
use std::num::NonZeroU32;

use super::Rate;

/// More have to be looked up at every login, and somebody has to keep them apart.
pub const CLASSES_MAX: usize = 64;

macro_rules! limits {
    ($($Name:ident = $slug:literal, $per_second:literal / $burst:literal, $of:ident: $about:literal;)+) => {
        /// What is limited.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Limit { $(#[doc = $about] $Name),+ }

        impl Limit {
            pub const ALL: [Self; [$($slug),+].len()] = [$(Self::$Name),+];

            /// A constant name, fit for a metric's label and for configuration.
            pub fn slug(self) -> &'static str {
                match self { $(Self::$Name => $slug),+ }
            }

            /// One sentence for those who read of it.
            pub fn about(self) -> &'static str {
                match self { $(Self::$Name => $about),+ }
            }

            /// Of what there is a bucket each.
            pub fn of(self) -> Of {
                match self { $(Self::$Name => Of::$of),+ }
            }

            fn default_rate(self) -> (u32, u32) {
                match self { $(Self::$Name => ($per_second, $burst)),+ }
            }
        }
    };
}

limits! {
    Events = "events", 5_000 / 10_000, Connection: "Events of one connection, of whatever kind.";
    Bytes = "bytes", 8_388_608 / 33_554_432, Connection: "Bytes of the events of one connection, attachments included.";
    Messages = "messages", 1_000 / 5_000, UserInCluster: "Messages that one user sends, over all connections and nodes.";
    RoomMessages = "room_messages", 10_000 / 20_000, RoomInCluster: "Messages into one room, whoever sends them.";
    Joins = "joins", 500 / 2_000, User: "Rooms that one user asks to join.";
    Presence = "presence", 50 / 200, User: "Changes of how one user is shown.";
    History = "history", 200 / 1_000, User: "Pages of history, and of who is there, that one user asks for.";
    Recorded = "recorded", 50 / 1_000, User: "What one user asks for that is written down before it takes effect: other tokens shown, streams begun or watched.";
    Requests = "requests", 2_000 / 4_000, Key: "Requests of one backend: of an API key, or of the subject of a token.";
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    Connection,
    /// On each node.
    User,
    UserInCluster,
    RoomInCluster,
    Key,
}

impl Limit {
    pub fn named(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|limit| limit.slug() == slug)
    }

    /// A room is not of a class.
    pub fn is_by_class(self) -> bool {
        self.of() != Of::RoomInCluster
    }
}

/// A rate for each limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates([Rate; Limit::ALL.len()]);

impl Rates {
    #[inline]
    pub fn of(&self, limit: Limit) -> &Rate {
        &self.0[limit as usize]
    }

    pub fn set(&mut self, limit: Limit, rate: Rate) {
        self.0[limit as usize] = rate;
    }
}

impl Default for Rates {
    fn default() -> Self {
        Self(Limit::ALL.map(|limit| {
            let (per_second, burst) = limit.default_rate();
            let count = |count| NonZeroU32::new(count).expect("none of them is zero");
            Rate::per_second(count(per_second), count(burst))
        }))
    }
}

/// By number: what a connection remembers of its class is one.
#[derive(Debug, Clone, Default)]
pub struct Classes {
    everybody: Rates,
    others: Vec<Rates>,
    numbers: HashMap<Box<str>, Class>,
}

/// The default is that of everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Class(u8);

impl Classes {
    pub fn new(everybody: Rates) -> Self {
        Self { everybody, ..Self::default() }
    }

    /// Another class, with other rates for some of the limits. None: there are as many as there may be.
    pub fn add(&mut self, name: &str, rates: impl IntoIterator<Item = (Limit, Rate)>) -> Option<Class> {
        if self.others.len() >= CLASSES_MAX {
            return None;
        }
        let mut all = self.everybody;
        for (limit, rate) in rates {
            all.set(limit, rate);
        }
        self.others.push(all);
        let class = Class(self.others.len() as u8);
        self.numbers.insert(name.into(), class);
        Some(class)
    }

    /// What a token says of its class. None: there is no such class, and everybody's rates apply.
    pub fn named(&self, name: Option<&str>) -> Option<Class> {
        name.map_or(Some(Class::default()), |name| self.numbers.get(name).copied())
    }

    #[inline]
    pub fn rates(&self, class: Class) -> &Rates {
        (class.0 as usize).checked_sub(1).and_then(|index| self.others.get(index)).unwrap_or(&self.everybody)
    }
}

impl Class {
    pub fn number(self) -> u8 {
        self.0
    }

    /// A number that no class has is everybody's.
    pub fn of(number: u8) -> Self {
        Self(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_second: u32, burst: u32) -> Rate {
        Rate::per_second(NonZeroU32::new(per_second).unwrap(), NonZeroU32::new(burst).unwrap())
    }

    #[test]
    fn a_class_has_everybodys_rates_but_for_those_that_it_names() {
        let mut classes = Classes::new(Rates::default());
        let bot = classes.add("bot", [(Limit::Messages, rate(2, 3))]).unwrap();
        assert_eq!(classes.named(Some("bot")), Some(bot));
        assert_eq!((classes.named(None), classes.named(Some("vip"))), (Some(Class::default()), None));
        assert_eq!(classes.rates(bot).of(Limit::Messages), &rate(2, 3));
        for limit in Limit::ALL.into_iter().filter(|limit| *limit != Limit::Messages) {
            assert_eq!(classes.rates(bot).of(limit), Rates::default().of(limit), "{limit:?}");
        }
        assert_eq!(classes.rates(Class::of(200)), &Rates::default());
        assert_eq!(Class::of(bot.number()), bot);
    }

    #[test]
    fn there_are_not_more_classes_than_may_be() {
        let mut classes = Classes::default();
        let added = (0..1_000).filter_map(|number| classes.add(&number.to_string(), [])).count();
        assert_eq!(added, CLASSES_MAX);
    }

    #[test]
    fn names_are_unique_and_every_default_is_finite() {
        for limit in Limit::ALL {
            assert_eq!(Limit::named(limit.slug()), Some(limit));
            assert!(Rates::default().of(limit).burst() > 0, "{limit:?}");
        }
        assert_eq!(Limit::named("everything"), None);
    }
}
