//! The plane on a Redis Cluster.

mod address;
mod breaker;
mod client;
mod condition;
mod config;
mod fault;
mod keys;
mod library;
mod link;
mod metrics;
mod reply;
mod slot;
mod surveyor;
mod topology;

pub use config::{Durability, HistoryLimits, RedisConfig};
