//! The stores on a real Redis Cluster, where it matters that it is one: races between nodes, masters that die, nodes that
//! stand still, clocks that jump. What holds for every implementation is in the contract suite.

mod bulletin;
mod costs;
mod directory;
mod leases;
mod presence;
mod sealed;
mod sessions;
mod stage;
