//! What is known of a key: the row from which everything else is derived.

use std::any::Any;
use std::cmp::Ordering;

use super::mark::Mark;
use super::value::{Form, Setting};

/// A table of the file and the keys in it.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    pub name: &'static str,
    pub about: &'static str,
    pub keys: &'static [Key],
}

/// One configuration key.
#[derive(Debug)]
pub struct Key {
    /// `section.name`, as in the file.
    pub path: &'static str,
    pub environment: &'static str,
    /// As text of the same form that the environment takes; empty where a key is unset by default.
    pub default: &'static str,
    /// The smallest and the largest value allowed.
    pub range: Option<(&'static str, &'static str)>,
    pub about: &'static str,
    pub kind: Kind,
}

/// The type of a key, as values rather than as a type: this is what lets keys of many types stand in one table.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    pub expects: &'static str,
    pub form: Form,
    pub secret: bool,
    /// Whether the word `off` is a value too.
    pub off: bool,
    parse: Parse,
}

type Parse = fn(text: &str, range: Option<(&str, &str)>) -> Result<Parsed, String>;

/// A value that fits its key, and its canonical text.
#[derive(Debug)]
pub(super) struct Parsed {
    pub value: Box<dyn Any + Send>,
    pub shown: String,
    pub mark: Mark,
}

impl Kind {
    pub const fn of<T: Setting>() -> Self {
        Self { expects: T::EXPECTS, form: T::FORM, secret: T::SECRET, off: T::OFF, parse: parse::<T> }
    }
}

impl Key {
    /// The name inside its section.
    pub fn name(&self) -> &'static str {
        self.path.split_once('.').map_or(self.path, |(_, name)| name)
    }

    /// One rule for all: the environment name without the product's prefix, in lower case, with dashes.
    pub fn flag(&self) -> String {
        self.environment.trim_start_matches("TURNPIKE_").to_ascii_lowercase().replace('_', "-")
    }

    /// What a right value looks like.
    pub fn expects(&self) -> String {
        let range =
            self.range.map(|(least, most)| format!(", from `{least}` to `{most}`")).unwrap_or_default();
        let off = if self.kind.off { ", or `off`" } else { "" };
        format!("{}{range}{off}", self.kind.expects)
    }

    pub(super) fn parse(&self, text: &str) -> Result<Parsed, String> {
        (self.kind.parse)(text, self.range)
    }
}

fn parse<T: Setting>(text: &str, range: Option<(&str, &str)>) -> Result<Parsed, String> {
    let value = T::parse(text)?;
    if let Some((least, most)) = range {
        let bound = |text| T::parse(text).expect("the bounds of a range are written in the key's own form");
        if value.order(&bound(least)) == Some(Ordering::Less) {
            return Err(format!("is below {least}"));
        }
        if value.order(&bound(most)) == Some(Ordering::Greater) {
            return Err(format!("is above {most}"));
        }
    }
    Ok(Parsed { shown: value.show(), mark: value.mark(), value: Box::new(value) })
}
