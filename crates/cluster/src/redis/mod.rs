//! The plane on a Redis Cluster.

mod address;
mod breaker;
pub mod check;
mod client;
mod condition;
mod config;
mod fault;
mod frame;
mod keys;
mod library;
mod link;
mod metrics;
mod reply;
mod slot;
mod surveyor;
mod topology;

pub use config::{Durability, RedisConfig};
