//! Real surroundings for tests and development: a Redis Cluster and nodes of Turnpike, as processes of this machine.
//!
//! Whatever is started here ends with the value that stands for it, and also when the process that holds the value is
//! killed. Nothing is simulated: a killed master is a killed process. This crate knows no other crate of the workspace,
//! and it waits with threads and plain sockets, so that it can stand beside any runtime.

mod country_file;
mod directory;
mod documented;
mod guardian;
pub mod local;
pub mod network;
mod node;
mod ports;
mod process;
pub mod redis;
mod shared;
mod until;

pub use country_file::country_file;
pub use directory::Directory;
pub use documented::hold_document;
pub use guardian::Guardian;
pub use network::{End, Network};
pub use node::{Node, SECRET, binary, listening, turnpike};
pub use process::{Process, resident_bytes};
pub use redis::{RedisCluster, RedisNode, RedisOptions, Reply};
pub use shared::{Shared, TEST_REDIS, shared, unique_prefix};
pub use until::until;
