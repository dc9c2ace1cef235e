//! The coordination plane as a whole. What belongs to one file of it is tested beside that file.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod contract;
mod embedded_disk;
mod fitness;
mod growth;
mod redis;
mod redis_stores;
