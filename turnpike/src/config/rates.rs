//! How much of what in a second, and for whom.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use turnpike_daemon::config::{ByteSize, Form, Setting};
use turnpike_daemon::section;
use turnpike_guard::limit::{CLASSES_MAX, Classes, Limit, Rate};

section! {
    /// How much may be done in a second. Each is a steady rate and, behind a slash, how much may be done at once after a quiet time.
    pub(crate) struct Rates in "rates" {
        /// Events of one connection, of whatever kind.
        events: Pace = "5000/10000", "TURNPIKE_RATE_EVENTS";
        /// Bytes of the events of one connection, attachments included.
        bytes: BytePace = "8MiB/32MiB", "TURNPIKE_RATE_BYTES";
        /// Messages that one user sends, over all connections and nodes together.
        messages: Pace = "1000/5000", "TURNPIKE_RATE_MESSAGES";
        /// Messages into one room on all nodes together, whoever sends them.
        room_messages: Pace = "10000/20000", "TURNPIKE_RATE_ROOM_MESSAGES";
        /// Rooms that one user asks a node to join.
        joins: Pace = "500/2000", "TURNPIKE_RATE_JOINS";
        /// Changes of how one user is shown, on one node.
        presence: Pace = "50/200", "TURNPIKE_RATE_PRESENCE";
        /// Pages of history, and of who is there, that one user asks a node for.
        history: Pace = "200/1000", "TURNPIKE_RATE_HISTORY";
        /// What one user asks a node for that is written into the audit log before it takes effect: other tokens shown, streams begun or watched.
        recorded: Pace = "50/1000", "TURNPIKE_RATE_RECORDED";
        /// Requests of one backend to one node: of an API key, or of the subject of a token.
        requests: Pace = "2000/4000", "TURNPIKE_RATE_REQUESTS";
        /// Users whose token names a class (its claim `class`) have other limits: `NAME LIMIT:RATE/BURST ...`, classes separated by commas. The
        /// limits are named like these keys; those that a class does not name are everybody's.
        classes: LimitClasses = "", "TURNPIKE_LIMIT_CLASSES";
        /// Users, rooms and keys that are counted at a time, for each limit. Beyond it those that are new share a limit.
        keys_max: usize = "200000", "TURNPIKE_LIMIT_KEYS_MAX", "1000" to "100000000";
    }
}

impl Rates {
    pub(crate) fn classes(&self) -> Classes {
        let mut everybody = turnpike_guard::limit::Rates::default();
        for limit in Limit::ALL {
            everybody.set(limit, self.of(limit));
        }
        let mut classes = Classes::new(everybody);
        for class in &self.classes.0 {
            classes.add(&class.name, class.limits.iter().copied());
        }
        classes
    }

    fn of(&self, limit: Limit) -> Rate {
        match limit {
            Limit::Events => self.events.0,
            Limit::Bytes => self.bytes.0,
            Limit::Messages => self.messages.0,
            Limit::RoomMessages => self.room_messages.0,
            Limit::Joins => self.joins.0,
            Limit::Presence => self.presence.0,
            Limit::History => self.history.0,
            Limit::Recorded => self.recorded.0,
            Limit::Requests => self.requests.0,
        }
    }
}

/// So many a second, and so many at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pace(pub(crate) Rate);

impl Setting for Pace {
    const EXPECTS: &'static str = "how many a second and how many at once, such as `20/40`";

    fn parse(text: &str) -> Result<Self, String> {
        rate(text, u32::parse).map(Self)
    }

    fn show(&self) -> String {
        format!("{}/{}", self.0.a_second(), self.0.burst())
    }
}

/// The same of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BytePace(pub(crate) Rate);

impl Setting for BytePace {
    const EXPECTS: &'static str = "how many bytes a second and how many at once, such as `64KiB/1MiB`";

    fn parse(text: &str) -> Result<Self, String> {
        rate(text, bytes).map(Self)
    }

    fn show(&self) -> String {
        let show = |bytes: usize| ByteSize(bytes).show();
        format!("{}/{}", show(self.0.a_second() as usize), show(self.0.burst() as usize))
    }
}

fn bytes(text: &str) -> Result<u32, String> {
    let ByteSize(bytes) = ByteSize::parse(text)?;
    u32::try_from(bytes).map_err(|_| "is 4 GiB or more".into())
}

fn rate(text: &str, number: fn(&str) -> Result<u32, String>) -> Result<Rate, String> {
    let (count, burst) = text.split_once('/').ok_or("has no `/`")?;
    let positive = |what: &str, text: &str| {
        let number = number(text.trim()).map_err(|problem| format!("has {what} that {problem}"))?;
        NonZeroU32::new(number).ok_or_else(|| format!("has {what} of 0, which lets nothing through"))
    };
    Ok(Rate::per_second(positive("a rate", count)?, positive("a burst", burst)?))
}

/// All of them, so that every fault in them is found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LimitClasses(Vec<LimitClass>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct LimitClass {
    name: String,
    limits: Vec<(Limit, Rate)>,
}

impl Setting for LimitClasses {
    const EXPECTS: &'static str =
        "classes such as `bot messages:200/400 joins:5/20, vip messages:5000/20000`";
    const FORM: Form = Form::List;

    fn parse(text: &str) -> Result<Self, String> {
        let (mut classes, mut problems, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
        for class in text.split(',').map(str::trim).filter(|class| !class.is_empty()) {
            let class = LimitClass::parse(class, &mut problems);
            if !names.insert(class.name.clone()) {
                problems.push(format!("has the class `{}` twice", class.name));
            }
            classes.push(class);
        }
        if classes.len() > CLASSES_MAX {
            problems.push(format!("has {} classes, and there may be {CLASSES_MAX}", classes.len()));
        }
        if problems.is_empty() { Ok(Self(classes)) } else { Err(problems.join("; ")) }
    }

    fn show(&self) -> String {
        self.0.iter().map(LimitClass::show).collect::<Vec<_>>().join(",")
    }
}

impl LimitClass {
    fn parse(text: &str, problems: &mut Vec<String>) -> Self {
        let mut words = text.split_whitespace();
        let name = words.next().unwrap_or_default().to_owned();
        if name.len() > 64 || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        {
            problems.push(format!("has `{name}`, which is no name of a class"));
        }
        let mut limits: Vec<(Limit, Rate)> = Vec::new();
        for word in words {
            match limit(word) {
                Ok((limit, _)) if limits.iter().any(|(known, _)| *known == limit) => {
                    problems.push(format!("has `{}` twice for `{name}`", limit.slug()));
                }
                Ok(limit) => limits.push(limit),
                Err(problem) => problems.push(format!("has `{word}` for `{name}`, which {problem}")),
            }
        }
        if limits.is_empty() {
            problems.push(format!("has no limits for `{name}`"));
        }
        Self { name, limits }
    }

    fn show(&self) -> String {
        let limits = self.limits.iter().map(|(limit, rate)| match limit {
            Limit::Bytes => format!("{}:{}", limit.slug(), BytePace(*rate).show()),
            limit => format!("{}:{}", limit.slug(), Pace(*rate).show()),
        });
        std::iter::once(self.name.clone()).chain(limits).collect::<Vec<_>>().join(" ")
    }
}

fn limit(word: &str) -> Result<(Limit, Rate), String> {
    let (name, rate_text) = word.split_once(':').ok_or("has no `:`")?;
    match Limit::named(name) {
        Some(Limit::Bytes) => rate(rate_text, bytes).map(|rate| (Limit::Bytes, rate)),
        Some(limit) if limit.is_by_class() => rate(rate_text, u32::parse).map(|rate| (limit, rate)),
        Some(_) => Err("is a limit of rooms, which are of no class".into()),
        None => Err("is no limit".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use turnpike_daemon::config::{Sources, load};
    use turnpike_guard::limit::Of;

    use super::*;
    use crate::config::Config;

    #[test]
    fn paces_are_read_and_shown() {
        for text in ["20/40", "1/1", "4294967295/1"] {
            assert_eq!(Pace::parse(text).unwrap().show(), text);
        }
        for text in ["64KiB/1MiB", "100/1KB"] {
            assert_eq!(BytePace::parse(text).unwrap().show(), text);
        }
        assert_eq!(Pace::parse("20 / 40").unwrap().show(), "20/40");
        for bad in [
            "",
            "20",
            "/",
            "20/",
            "/40",
            "0/40",
            "20/0",
            "-1/4",
            "1.5/4",
            "20/40/60",
            "4294967296/1",
            "off",
            "20KB/4",
        ] {
            assert!(Pace::parse(bad).is_err(), "{bad}");
        }
        assert!(BytePace::parse("4GiB/4GiB").is_err());
    }

    #[test]
    fn classes_are_read_and_shown() {
        let text = "bot messages:200/400 joins:5/20,vip bytes:64KiB/1MiB";
        assert_eq!(LimitClasses::parse(text).unwrap().show(), text);
        assert_eq!(LimitClasses::parse("").unwrap(), LimitClasses::default());
        assert_eq!(LimitClasses::parse(" bot  joins:5/20 , ").unwrap().show(), "bot joins:5/20");
    }

    #[test]
    fn every_fault_of_the_classes_is_named() {
        let text = "b!t joins:5/20, bot, vip joins:0/1 steps:1/1 joins:2/2 joins:3/3 room_messages:1/1, vip events:1";
        let said = LimitClasses::parse(text).unwrap_err();
        for part in [
            "`b!t`, which is no name",
            "no limits for `bot`",
            "`joins:0/1`",
            "`steps:1/1`",
            "`joins` twice for `vip`",
            "limit of rooms",
            "`events:1`",
            "class `vip` twice",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let many: Vec<String> = (0..=CLASSES_MAX).map(|number| format!("c{number} joins:1/1")).collect();
        assert!(LimitClasses::parse(&many.join(",")).unwrap_err().contains("65 classes"));
    }

    #[test]
    fn what_is_not_configured_is_as_the_guard_has_it() {
        let loaded = load::<Config>(Sources::default());
        assert_eq!(format!("{:?}", loaded.settings.rates.classes()), format!("{:?}", Classes::default()));
    }

    /// The table of docs/limits.md is made from the limits and the keys.
    #[test]
    fn the_limits_are_documented() {
        const BEGIN: &str = "<!-- limits -->\n";
        let rates = load::<Config>(Sources::default()).settings.rates;
        let mut table = String::from(
            "\n| limit | what is counted | by | default | key |\n| --- | --- | --- | --- | --- |\n",
        );
        for limit in Limit::ALL {
            let rate = rates.of(limit);
            let shown = if limit == Limit::Bytes { BytePace(rate).show() } else { Pace(rate).show() };
            let by = match limit.of() {
                Of::Connection => "connection",
                Of::User => "user, on each node",
                Of::UserInCluster => "user, on all nodes",
                Of::RoomInCluster => "room, on all nodes",
                Of::Key => "API key or subject, on each node",
            };
            let key = format!("TURNPIKE_RATE_{}", limit.slug().to_ascii_uppercase());
            let about = limit.about();
            writeln!(table, "| `{}` | {about} | {by} | `{shown}` | `{key}` |", limit.slug()).unwrap();
        }
        table.push('\n');
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/limits.md");
        let document = std::fs::read_to_string(path).unwrap();
        let begin = document.find(BEGIN).unwrap() + BEGIN.len();
        let end = begin + document[begin..].find("<!-- end -->").unwrap();
        let expected = format!("{}{table}{}", &document[..begin], &document[end..]);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, expected).unwrap();
        } else {
            assert!(document == expected, "docs/limits.md differs; run UPDATE_DOCS=1 cargo test -p turnpike");
        }
    }
}
