//! The engine as a whole, over real sockets: a small application, and clients that speak raw frames.

mod classes;
mod lab;
mod lifecycle;
mod ordering;
mod shards;
