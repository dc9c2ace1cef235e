//! WHIP and WHEP statement by statement, each test by the number of its statement: a real relay behind a real port.

mod banned;
mod extensions;
pub(crate) mod house;
mod media;
mod publish;
mod resource;
mod tokens;
mod watch;
