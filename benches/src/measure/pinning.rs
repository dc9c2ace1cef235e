//! Server on one core, load on another, by way of `taskset`: no unsafe code, and the shards of the server see one core.

use std::{ffi::OsStr, process::Command};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Core(pub(crate) Option<usize>);

impl Core {
    /// The program, bound to this core. `taskset` replaces itself by it, so the child's pid is the program's.
    pub(crate) fn command(self, program: impl AsRef<OsStr>) -> Command {
        match self.0 {
            Some(core) => {
                let mut command = Command::new("taskset");
                command.arg("-c").arg(core.to_string()).arg(program);
                command
            }
            None => Command::new(program),
        }
    }
}

/// Cores for the server and for the load; with a single core nothing can be told apart.
pub(crate) fn cores(server: usize, load: usize) -> (Core, Core) {
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    let usable = |core: usize| Core((available > 1).then_some(core));
    (usable(server), usable(load))
}
