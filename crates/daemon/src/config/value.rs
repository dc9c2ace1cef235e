//! The types that a key may have: how each is read from text, shown again, and compared with its range.

use std::cmp::Ordering;
use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use super::mark::Mark;

/// How a value is written in TOML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Numbers and truth values.
    Bare,
    /// Everything that needs quotes.
    Quoted,
    /// An array of strings; the elements are separated by commas in the environment and in flags.
    List,
}

/// A type that a configuration key may have. `show` and `parse` are inverse to one another.
pub trait Setting: Sized + Debug + Send + 'static {
    /// Completes "expected ...", and names the type in the documentation.
    const EXPECTS: &'static str;
    const FORM: Form = Form::Quoted;
    /// Whether the word `off` is a value too.
    const OFF: bool = false;
    /// Never shown: not in faults, not in `config print`, not in logs.
    const SECRET: bool = false;

    /// The error completes "<value> ...": `is not a whole number`.
    fn parse(text: &str) -> Result<Self, String>;
    fn show(&self) -> String;

    /// Differs where the value does, shown or not.
    fn mark(&self) -> Mark {
        Mark::of(&self.show())
    }

    /// For types whose keys may have a range.
    fn order(&self, _other: &Self) -> Option<Ordering> {
        None
    }
}

macro_rules! whole_numbers {
    ($($Type:ty),+) => {$(
        impl Setting for $Type {
            const EXPECTS: &'static str = "a whole number";
            const FORM: Form = Form::Bare;

            fn parse(text: &str) -> Result<Self, String> {
                let digits = text.replace('_', "");
                if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err("is not a whole number".into());
                }
                digits.parse().map_err(|_| format!("is larger than {}", Self::MAX))
            }

            fn show(&self) -> String {
                self.to_string()
            }

            fn order(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }
    )+};
}

whole_numbers!(u16, u32, u64, usize);

impl Setting for bool {
    const EXPECTS: &'static str = "`true` or `false`";
    const FORM: Form = Form::Bare;

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err("is neither true nor false".into()),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for String {
    const EXPECTS: &'static str = "text";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Setting for PathBuf {
    const EXPECTS: &'static str = "a path";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("is no path".into()) } else { Ok(Self::from(text)) }
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl Setting for IpAddr {
    const EXPECTS: &'static str = "an IP address (`0.0.0.0` or `::` for every interface)";

    fn parse(text: &str) -> Result<Self, String> {
        // The one name that means the same on every machine; others would make the start depend on a resolver.
        if text == "localhost" {
            return Ok(Self::V4(Ipv4Addr::LOCALHOST));
        }
        text.parse().map_err(|_| "is not an IP address".into())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// Unset when the text is empty.
impl<T: Setting> Setting for Option<T> {
    const EXPECTS: &'static str = T::EXPECTS;
    const FORM: Form = T::FORM;
    const SECRET: bool = T::SECRET;

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Ok(None) } else { T::parse(text).map(Some) }
    }

    fn show(&self) -> String {
        self.as_ref().map(T::show).unwrap_or_default()
    }

    fn mark(&self) -> Mark {
        self.as_ref().map_or_else(|| Mark::of(""), T::mark)
    }

    fn order(&self, other: &Self) -> Option<Ordering> {
        self.as_ref()?.order(other.as_ref()?)
    }
}

/// A value, or none by the word `off`: for what has a default and can still be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrOff<T>(pub Option<T>);

impl<T: Setting> Setting for OrOff<T> {
    const EXPECTS: &'static str = T::EXPECTS;
    const OFF: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        if text == "off" { Ok(Self(None)) } else { T::parse(text).map(|value| Self(Some(value))) }
    }

    fn show(&self) -> String {
        self.0.as_ref().map_or_else(|| "off".into(), T::show)
    }

    fn order(&self, other: &Self) -> Option<Ordering> {
        self.0.as_ref()?.order(other.0.as_ref()?)
    }
}

/// Several values of one type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct List<T>(pub Vec<T>);

impl<T: Setting> Setting for List<T> {
    const EXPECTS: &'static str = T::EXPECTS;
    const FORM: Form = Form::List;
    const SECRET: bool = T::SECRET;

    fn parse(text: &str) -> Result<Self, String> {
        text.split(',')
            .map(str::trim)
            .filter(|element| !element.is_empty())
            .map(|element| T::parse(element).map_err(|problem| format!("has `{element}`, which {problem}")))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn show(&self) -> String {
        self.0.iter().map(T::show).collect::<Vec<_>>().join(",")
    }
}

/// Declares an enum whose variants are words of the configuration.
#[macro_export]
macro_rules! choice {
    ($(#[$attribute:meta])* $vis:vis enum $Name:ident { $($(#[$note:meta])* $Variant:ident = $word:literal),+ $(,)? } expects $expects:literal) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $vis enum $Name { $($(#[$note])* $Variant),+ }

        impl $crate::config::Setting for $Name {
            const EXPECTS: &'static str = $expects;

            fn parse(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$Variant),)+
                    _ => Err("is none of the words known here".into()),
                }
            }

            fn show(&self) -> String {
                match self { $(Self::$Variant => $word),+ }.to_owned()
            }
        }
    };
}
