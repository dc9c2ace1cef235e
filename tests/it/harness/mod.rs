//! Starting servers, running the Node test files against them, and talking to them by hand.

mod deviations;
pub mod frames;
pub mod http;
mod ledger;
mod node;
mod server;
mod trap;
pub mod websocket;

pub use node::{Run, Suite};
pub use server::{Kind, Server, ServerOptions};
pub use trap::spring;
pub(crate) use trap::trap;

use std::path::PathBuf;

/// The folder of this package: `tests/`.
pub fn home() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
