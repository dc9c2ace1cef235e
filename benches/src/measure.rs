//! What the operating system says of a process and of the machine. No scenario, no server.

pub(crate) mod machine;
pub(crate) mod memory;
pub(crate) mod pinning;
pub(crate) mod process;
