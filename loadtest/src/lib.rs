//! Load for a Turnpike cluster, and an account of every delivery.
//!
//! What is pure (accounting, dialects, figures, objectives, profiles, reports, schedules) is apart from what has sockets and
//! clocks (clients, the attack, the watch). Of the house it knows only the words in `turnpike-wire`: it is a client like any
//! other, and what it says of the server it has seen from outside.

pub mod accounting;
pub mod arguments;
pub mod attack;
pub mod backend;
pub mod client;
pub mod dialect;
pub mod figures;
pub mod generator;
pub mod media;
pub mod objective;
pub mod parts;
pub mod places;
pub mod process;
pub mod profile;
pub mod reader;
pub mod report;
pub mod run;
pub mod schedule;
pub mod server;
pub mod tag;
pub mod threads;
pub mod tls;
pub mod token;
pub mod watch;
