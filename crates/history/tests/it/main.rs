//! The checker, checked: good histories pass, and each kind of fault is found and called by its name.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod broken;
mod good;
mod lines;
mod model;
mod mutation;
mod story;
