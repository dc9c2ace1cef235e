//! How keys are declared: one entry a key, in the struct that carries its value.

use std::any::Any;
use std::collections::HashMap;

use super::key::Section;

/// A struct made of sections; see [`settings!`](crate::settings).
pub trait Settings: Sized {
    fn sections() -> Vec<Section>;
    /// Only for the macros: takes the values out by their keys.
    fn take(values: &mut Values) -> Self;
}

/// Parsed values on their way into a [`Settings`].
#[derive(Debug, Default)]
pub struct Values(pub(super) HashMap<&'static str, Box<dyn Any + Send>>);

impl Values {
    pub fn take<T: 'static>(&mut self, path: &'static str) -> T {
        let value = self.0.remove(path).expect("the loader fills in every declared key");
        *value.downcast().expect("the declaration that gave the parser gave this type")
    }
}

/// Declares one section of the configuration and the struct that carries it.
///
/// ```
/// turnpike_daemon::section! {
///     /// Where clients come in.
///     pub struct Listen in "listen" {
///         /// TCP port; 0 lets the system choose.
///         port: u16 = "3010", "PORT";
///         /// Connections that may wait to be accepted.
///         backlog: u32 = "1024", "TURNPIKE_BACKLOG", "1" to "65535";
///     }
/// }
/// ```
///
/// In order: field and key name, type, default, environment name, and a range if the type has an order. Texts are in the
/// form that the environment takes. The sentence above a key is its documentation everywhere.
#[macro_export]
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $vis:vis struct $Name:ident in $section:literal {
            $(
                $(#[doc = $note:literal])+
                $field:ident : $Type:ty = $default:literal, $environment:literal $(, $least:literal to $most:literal)?;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone)]
        $vis struct $Name {
            $($(#[doc = $note])+ pub $field: $Type,)+
        }

        impl $Name {
            pub const SECTION: $crate::config::Section = $crate::config::Section {
                name: $section,
                about: concat!($($about),+),
                keys: &[$(
                    $crate::config::Key {
                        path: concat!($section, ".", stringify!($field)),
                        environment: $environment,
                        default: $default,
                        range: $crate::section!(@range $($least, $most)?),
                        about: concat!($($note),+),
                        kind: $crate::config::Kind::of::<$Type>(),
                    }
                ),+],
            };

            pub fn take(values: &mut $crate::config::Values) -> Self {
                Self { $($field: values.take(concat!($section, ".", stringify!($field)))),+ }
            }
        }
    };
    (@range) => { None };
    (@range $least:literal, $most:literal) => { Some(($least, $most)) };
}

/// Declares the whole configuration of a process as a struct of sections.
#[macro_export]
macro_rules! settings {
    ($(#[$attribute:meta])* $vis:vis struct $Name:ident { $($field:ident : $Section:ty),+ $(,)? }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone)]
        $vis struct $Name { $(pub $field: $Section),+ }

        impl $crate::config::Settings for $Name {
            fn sections() -> Vec<$crate::config::Section> {
                vec![$(<$Section>::SECTION),+]
            }

            fn take(values: &mut $crate::config::Values) -> Self {
                Self { $($field: <$Section>::take(values)),+ }
            }
        }
    };
}
