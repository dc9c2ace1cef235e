//! The engine as a whole, over real sockets: a small application, and clients that speak raw frames.

mod arrivals;
mod asides;
mod classes;
mod crowds;
mod door;
mod endings;
mod fairness;
mod forwarding;
mod http;
mod lab;
mod later;
mod leaving;
mod lifecycle;
mod ordering;
mod origins;
mod polling;
mod raw;
mod requests;
mod sessions;
mod shards;
mod times;
mod upgrades;
