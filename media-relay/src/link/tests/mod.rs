//! Links between relays that are played here: what comes out of pipes is looked at, not shown to anybody.

mod controllers;
mod hostile;
mod house;
mod lossy;
mod metrics;
mod pipes;
mod proxy;
mod trust;
