//! A router in front of nodes that do what a test wants, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod crowds;
mod frozen;
mod hostile;
mod node;
mod rules;
mod smuggling;
mod stand;
mod upgrades;
