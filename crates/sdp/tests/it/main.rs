//! What clients write, and what we answer.
// In a test a panic is the answer, also outside of the functions that bear the attribute.
#![allow(clippy::unwrap_used)]

mod fuzz_sdp;
mod hostile;
mod offers;
mod publish;
mod reoffer;
mod watch;
