//! The real program against real nodes, and against a server that is broken on purpose.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "`pub` says what a module offers the others; nothing else can reach in")]

mod against_a_node;
mod breaker;
mod broken;
mod crash;
mod listing;
mod live_video;
mod other_servers;
mod program;
mod refusing;
mod surroundings;
mod together;
