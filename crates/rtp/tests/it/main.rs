//! The words of RTP against tables, properties, mutations, and a simulated network.
//!
//! `SEED=7 cargo test -p turnpike-rtp` runs every random test with that seed alone.

mod chance;
mod simulation;
