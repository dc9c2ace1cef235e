//! The log as a whole: written to a real directory, broken in every way that comes to mind, read back.

#![allow(clippy::unwrap_used, reason = "helpers of tests, where it is allowed")]

mod attacks;
mod crash;
mod disk;
mod fuzz_audit;
mod housekeeping;
mod keys;
mod place;
mod proofs;
mod writing;
