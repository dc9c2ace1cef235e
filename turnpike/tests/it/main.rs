//! The real binary as a process: what it prints, what it answers, what it refuses, and how it leaves.

#![allow(clippy::unwrap_used, reason = "helpers of tests, where it is allowed")]

mod architecture;
mod audit;
mod commands;
mod configuration;
mod deploy;
mod doctor;
mod entrances;
mod guides;
mod handed;
mod keys;
mod leaving;
mod listening;
mod logged;
mod logging;
mod metrics;
mod polling;
mod process;
mod production;
mod reloading;
mod rotation;
mod secrets;
mod shipped;
mod token;
mod traces;
mod written;
