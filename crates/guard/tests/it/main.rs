//! Addresses and tokens as they arrive: good ones, and every bad one that we know of.
// In a test a panic is the answer, also outside of the functions that bear the attribute.
#![allow(clippy::unwrap_used)]

mod abuse_document;
mod addresses;
mod corpus;
mod fuzz_address;
mod fuzz_token;
mod good;
mod jwks;
mod keys;
mod limits;
mod replay;
mod rights;
mod rotation;
mod shares;
mod signers;
mod speed;
mod tokens;
mod warden_speed;
