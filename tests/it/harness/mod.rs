//! Starting servers and running the Node test files against them.

mod ledger;
mod node;
mod server;

pub use node::{Run, Suite};
pub use server::{Kind, Server, ServerOptions};

use std::path::PathBuf;

/// The folder of this package: `tests/`.
pub fn home() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
