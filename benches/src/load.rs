//! The load: raw clients in processes of their own, driven by the scenarios over a line of JSON each way.
//! Cheaper than any server it drives: prepared bytes, one look at the head of each frame, counts instead of objects.

pub(crate) mod command;
mod connection;
mod driver;
mod entering;
mod fleet;
mod job;
mod worker;

pub(crate) use driver::{CONNECTIONS_PER_PROCESS_MAX, Driver, verify};
pub(crate) use worker::serve;
