//! One binary: linking is what costs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod batches;
mod loopback;
