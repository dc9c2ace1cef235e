//! End to end: real servers in processes of their own, official clients and raw bytes against them.
//!
//! Every server is on port 0 and ends with the test that started it, so runs side by side do not meet.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "and explains itself by printing")]
#![allow(unreachable_pub, reason = "`pub` says what a module offers the others; nothing else can reach in")]

mod abuse;
mod addresses;
mod admin;
mod aiortc;
mod anchors;
mod book;
mod chaos;
mod clocks;
mod conformance;
mod crowd;
mod dashboard;
mod demo;
mod deploy;
mod filling;
mod frozen;
mod full_disk;
mod harness;
mod heartbeat;
mod inspect;
mod library;
mod limits;
mod media;
mod networks;
mod nginx;
mod pages;
mod plain;
mod policing;
mod product;
mod prometheus;
mod recorded;
mod recording;
mod records;
mod recovery;
mod relays;
mod revoking;
mod roaming;
mod rolling;
mod router;
mod sample;
mod severed;
mod stalled;
mod tcp;
mod together;
mod traps_frames;
mod traps_packets;
mod traps_polling;
mod traps_slow;
mod traps_upgrade;
mod turn;
mod webhooks;
