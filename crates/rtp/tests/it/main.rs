//! The words of RTP against tables, properties, mutations, and a simulated network.
//!
//! `SEED=7 cargo test -p turnpike-rtp` runs every random test with that seed alone, `SEEDS=500` with so many.

mod chance;
mod codecs;
mod cost;
mod dependency;
mod fuzz_rtp;
mod mutation;
mod packets;
mod properties;
mod rewriting;
mod rtcp;
mod simulation;
mod twcc;
