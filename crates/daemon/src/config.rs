//! Configuration: a TOML file, then the environment, then flags; the later wins.
//!
//! A key is declared once, with [`section!`]: its type, default, environment name, range and sentence. Parsing, refusing,
//! `config print`, `--help` and the table in `docs/configuration.md` all come from that declaration. This module knows no
//! key by name.
//!
//! All faults are found in one run, in every layer, also where a later layer would have hidden them: an operator who
//! repairs one fault must not meet the next at the next start.

mod environment;
mod fault;
mod file;
mod flags;
mod key;
mod load;
mod mark;
mod nearest;
mod print;
mod secret;
mod section;
mod units;
mod value;

pub use environment::Environment;
pub use fault::{Fault, Faults, Place};
pub use flags::{Arguments, Flag};
pub use key::{Key, Kind, Section};
pub use load::{Effective, FILE_ENVIRONMENT, FILE_FLAG, Loaded, Sources, load};
pub use mark::Mark;
pub use nearest::nearest;
pub use print::{as_flags, as_markdown, as_toml};
pub use secret::Secret;
pub use section::{Settings, Values};
pub use units::ByteSize;
pub use value::{Form, List, OrOff, Setting};
