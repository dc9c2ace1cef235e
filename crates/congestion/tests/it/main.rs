//! The parts together over a simulated link, and against feedback that nobody sane would send.
//!
//! `SEED=7 cargo test -p turnpike-congestion` runs every random test once more with that seed.

mod allocation;
mod cost;
mod hostile;
mod layers;
mod link;
mod old_clients;
mod pacing;
mod path;
mod seed;
mod viewer;
