//! Being a good process: configuration, logs, metrics, health, the admin listener, supervised tasks, drain.
//!
//! Every Turnpike process is built on this crate and only the binary decides what runs in it. It must not know what
//! the process does: no word of sockets, rooms, tokens or streams in here.

pub mod admin;
pub mod config;
pub mod descriptors;
pub mod drain;
pub mod health;
pub mod listeners;
pub mod log;
pub mod metrics;
pub mod probe;
pub mod signals;
pub mod tasks;
