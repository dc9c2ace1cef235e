//! The lab itself: what it starts works, breaks as asked, and is gone afterwards.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod network;
mod redis;
mod shared;
mod survivors;
