//! Datagrams in batches: one UDP socket from which up to 64 datagrams are read with one syscall, and to which whole
//! bursts are written with one, as segments of few messages where the kernel can do that (`UDP_SEGMENT`).
//!
//! The only crate of the workspace with unsafe code, all of it in `kernel`. It knows addresses and bytes; what a
//! datagram means, and when to send it, is for others.
//!
//! Linux only: the syscalls and the form of addresses and control messages are Linux's.

#[cfg(not(target_os = "linux"))]
compile_error!("turnpike-udp is made of Linux's syscalls");

mod address;
mod control;
#[allow(unsafe_code, reason = "recvmmsg and sendmmsg are offered by no safe interface")]
mod kernel;
mod outgoing;
mod outlet;
mod receive;
mod sent;
mod socket;

pub use outgoing::{Limits, Outgoing};
pub use outlet::Outlet;
pub use receive::{Datagram, Received};
pub use sent::{Dropped, Reason, Sent};
pub use socket::{Memory, Options, Socket};
