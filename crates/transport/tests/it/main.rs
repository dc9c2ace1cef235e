//! Transports against each other through a simulated network, against known answers, and against another
//! implementation.

mod connect;
mod network;
