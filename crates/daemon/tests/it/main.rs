//! The crate from outside: configuration layers, the admin listener, tasks and probes.

#![allow(clippy::unwrap_used, reason = "helpers of tests, where it is allowed")]

mod admin;
mod config;
mod http;
mod probe;
mod tasks;
