//! The broker on real Redis Clusters: what the contract suite cannot do because it needs a cluster of its own to harm, or
//! is about figures.

mod commands;
mod faults;
mod load;
mod node;
