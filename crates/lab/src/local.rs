//! A cluster for development on this machine that outlives the command which started it: real Redis processes and real
//! gateways, from the sample configuration in `deploy/`.
//!
//! What runs stands in a file, so that the next command finds it. A process counts as ours only if it works in the folder
//! that was given to it: after a restart of the machine its id may be somebody else's.

mod detached;
mod down;
mod state;
mod status;
mod up;

use std::path::PathBuf;

pub use down::down;
pub use status::status;
pub use up::up;

/// Where the repository is, and where the cluster lives.
#[derive(Debug, Clone)]
pub struct Place {
    pub root: PathBuf,
    pub state: PathBuf,
}

#[derive(Debug, Clone)]
pub struct Wish {
    /// None: as many as run, or two.
    pub gateways: Option<usize>,
    /// None: where it is, or a place that is free on most machines.
    pub port_base: Option<u16>,
}

impl Place {
    /// Beside what cargo builds.
    pub fn of_repository(root: PathBuf) -> Self {
        let state = root.join("target/cluster");
        Self { root, state }
    }
}
