//! The command line: words, and flags with their values. `--name value` and `--name=value` are the same.

use std::ffi::OsString;

use super::fault::{Fault, Faults, Place};
use super::key::Section;
use super::load::{Entry, FILE_FLAG};
use super::nearest::nearest;
use super::secret::Secret;

/// A command line, taken apart but not yet understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    /// What is not a flag: the command.
    pub words: Vec<String>,
    pub flags: Vec<Flag>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    pub name: String,
    /// `None` where the line ended or the next flag began.
    pub value: Option<String>,
}

impl Arguments {
    /// `switches` are the flags that take no value.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>, switches: &[&str]) -> Self {
        let mut parsed = Self::default();
        // Nothing that we take is other than text; what is not becomes a value that fits nowhere.
        let mut rest =
            arguments.into_iter().map(|argument| argument.to_string_lossy().into_owned()).peekable();
        while let Some(argument) = rest.next() {
            match argument
                .strip_prefix("--")
                .or_else(|| argument.strip_prefix('-').filter(|rest| !rest.is_empty()))
            {
                None => parsed.words.push(argument),
                Some(flag) => parsed.flags.push(match flag.split_once('=') {
                    Some((name, value)) => Flag { name: name.into(), value: Some(value.into()) },
                    None if switches.contains(&flag) => Flag { name: flag.into(), value: None },
                    None => Flag { name: flag.into(), value: rest.next_if(|next| !next.starts_with("--")) },
                }),
            }
        }
        parsed
    }

    fn take(&mut self, name: &str) -> Vec<Flag> {
        self.flags.extract_if(.., |flag| flag.name == name).collect()
    }

    /// Takes out a flag that has no value, and says whether it was there. One that was given a value stays, and is a fault later.
    pub fn take_switch(&mut self, name: &str) -> bool {
        self.flags.extract_if(.., |flag| flag.name == name && flag.value.is_none()).count() > 0
    }

    /// Takes out a flag that may be given several times, with a value each time; else that is a fault.
    pub fn take_values(&mut self, name: &str, expects: &str, faults: &mut Faults) -> Vec<String> {
        let values: Vec<_> = self.take(name).into_iter().map(|flag| flag.value).collect();
        if values.iter().any(Option::is_none) {
            faults.push(no_value(&format!("--{name}"), name, expects));
        }
        values.into_iter().flatten().collect()
    }

    /// Takes out a flag that may be given once, with a value; else that is a fault.
    pub fn take_one(&mut self, name: &str, expects: &str, faults: &mut Faults) -> Option<String> {
        let mut given = self.take(name);
        let last = given.pop()?;
        if !given.is_empty() {
            faults.push(given_twice(&format!("--{name}"), name));
        }
        if last.value.is_none() {
            faults.push(no_value(&format!("--{name}"), name, expects));
        }
        last.value
    }
}

/// What is left after commands took theirs must be keys. `others` are names to suggest beside those of keys.
pub(super) fn entries(
    flags: &[Flag],
    others: &[&str],
    sections: &[Section],
    faults: &mut Faults,
) -> Vec<Entry> {
    let keys = || sections.iter().flat_map(|section| section.keys);
    let mut entries: Vec<Entry> = Vec::new();
    for Flag { name, value } in flags {
        let Some(key) = keys().find(|key| key.flag() == *name) else {
            let others = others.iter().copied().chain([FILE_FLAG]).map(ToOwned::to_owned);
            let known = nearest(name, keys().map(super::key::Key::flag).chain(others));
            faults.push(Fault {
                key: format!("--{name}"),
                place: Place::Flag(name.clone()),
                value: None,
                problem: "is not a flag that is known here".into(),
                remedy: known.map_or_else(
                    || "the same line with --help lists those that are".into(),
                    |known| format!("did you mean --{known}?"),
                ),
            });
            continue;
        };
        let place = Place::Flag(name.clone());
        if entries.iter().any(|entry| entry.place == place) {
            faults.push(given_twice(key.path, name));
            continue;
        }
        match value {
            None => faults.push(no_value(key.path, name, &key.expects())),
            Some(text) if key.kind.secret && !Secret::is_file_reference(text) => faults.push(Fault {
                key: key.path.into(),
                place,
                value: None,
                problem: "would show the secret to everybody who can list processes".into(),
                remedy: format!(
                    "expected `file:PATH`, or the secret in the environment as {}",
                    key.environment
                ),
            }),
            Some(text) => entries.push(Entry { key, text: text.clone(), place }),
        }
    }
    entries
}

fn given_twice(key: &str, flag: &str) -> Fault {
    Fault {
        key: key.into(),
        place: Place::Flag(flag.into()),
        value: None,
        problem: "is given more than once".into(),
        remedy: "expected once".into(),
    }
}

fn no_value(key: &str, flag: &str, expects: &str) -> Fault {
    Fault {
        key: key.into(),
        place: Place::Flag(flag.into()),
        value: None,
        problem: "has no value".into(),
        remedy: format!("expected {expects}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Arguments {
        Arguments::parse(line.split_whitespace().map(OsString::from), &["help"])
    }

    fn flag(name: &str, value: Option<&str>) -> Flag {
        Flag { name: name.into(), value: value.map(Into::into) }
    }

    #[test]
    fn words_and_flags_in_any_order() {
        let expected = Arguments {
            words: vec!["config".into(), "print".into()],
            flags: vec![flag("port", Some("1")), flag("help", None), flag("host", Some("::"))],
        };
        assert_eq!(parse("config --port 1 --help print --host=::"), expected);
    }

    #[test]
    fn a_flag_does_not_swallow_the_next() {
        assert_eq!(parse("--port --host x").flags, [flag("port", None), flag("host", Some("x"))]);
        assert_eq!(parse("--port").flags, [flag("port", None)]);
        assert_eq!(parse("--port -1").flags, [flag("port", Some("-1"))]);
    }

    #[test]
    fn a_repeated_flag_is_taken_as_often_as_it_was_given() {
        let mut arguments = parse("token --room a --user u --room=b");
        assert_eq!(arguments.take("room"), [flag("room", Some("a")), flag("room", Some("b"))]);
        assert_eq!(arguments.flags, [flag("user", Some("u"))]);
    }
}
