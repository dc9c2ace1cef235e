//! What the reference servers of the end-to-end suite share, their options and the way they come and go; and a client
//! that records what it sees.
//!
//! It must not know any Socket.IO server: each of those is a binary of its own under `bin/`.

mod options;
mod process;
pub mod recording;

pub use options::{Options, Parser};
pub use process::{announce, end_with_standard_input};
