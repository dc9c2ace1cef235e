//! Finding and keeping the path to the peer (RFC 8445, consent by RFC 7675).
//!
//! It must not know what travels on the path. It never sends a check to an address from which no valid one came, so
//! nobody can point it at a third party with candidates alone; the peer's candidates only lend their priority to
//! what it does check.

mod agent;
mod answer;
mod bucket;
mod check;
mod pair;
mod replay;
mod select;

pub(crate) use agent::Agent;
