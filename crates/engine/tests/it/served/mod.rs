//! The engine as a whole, over real sockets: a small application, and clients that speak raw frames.

mod classes;
mod crowds;
mod endings;
mod fairness;
mod forwarding;
mod http;
mod lab;
mod later;
mod lifecycle;
mod ordering;
mod polling;
mod raw;
mod requests;
mod shards;
mod upgrades;
