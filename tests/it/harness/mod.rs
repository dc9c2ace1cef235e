//! Starting servers, running the Node test files against them, and talking to them by hand.

mod deviations;
pub mod frames;
pub mod http;
mod ledger;
mod node;
pub mod ports;
pub mod script;
mod server;
mod trap;
pub mod turnpike;
pub mod websocket;

pub use node::{Run, Suite, require_packages};
pub use server::{Kind, Server, ServerOptions};
pub use trap::spring;
pub(crate) use trap::trap;

use std::path::PathBuf;
use std::process::Command;

/// The folder of this package: `tests/`.
pub fn home() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// By name, without `SIG`. The shell's own `kill` is there on any machine.
pub fn signal(name: &str, process: u32) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {process}")]).status().unwrap();
    assert!(sent.success(), "SIG{name} to {process}");
}

/// A test for each way in, by server: the module's own `run` with the server, the mode, the parser and deflate.
macro_rules! matrix {
    ($($server:ident: $kind:expr => { $($name:ident: $mode:literal, $parser:literal, $deflate:literal;)* })*) => {
        $(mod $server {
            use super::*;
            $(#[test]
            fn $name() {
                run($kind, $mode, $parser, $deflate);
            })*
        })*
    };
}
pub(crate) use matrix;
