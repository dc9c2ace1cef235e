//! The site of this repository, and the page of it that is made from the types of the protocol.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod protocol;
mod site;
mod types;
