//! Transports against each other through a simulated network, against known answers, and against another
//! implementation.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![allow(clippy::print_stdout, reason = "seeds and figures must be seen")]

mod close;
mod connect;
mod cost;
mod fuzz_stun;
mod fuzz_transport;
mod handshake;
mod hostile;
mod interop;
mod network;
mod paths;
mod srtp;
mod stun;
