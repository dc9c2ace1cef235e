//! The relay from outside.
// In a test a panic is the answer, also outside of the functions that bear the attribute.
#![allow(clippy::unwrap_used)]

mod whip;
