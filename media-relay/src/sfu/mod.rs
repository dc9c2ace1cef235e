//! The core of the relay: datagrams, commands and the time go in, datagrams and effects come out. No socket, clock, thread
//! or runtime; a shard drives it, a round at a time:
//!
//! 1. every datagram that has arrived goes into [`Sfu::datagram`], every command into [`Sfu::command`];
//! 2. [`Sfu::advance`] sends what follows from them and what is due, viewer by viewer, so that consecutive datagrams to one
//!    address can leave in one system call;
//! 3. [`Sfu::effects`] are answers and notices for whoever asked.

mod keyframe;
mod receiver;
mod send_cache;

use std::net::SocketAddr;
use std::time::Instant;

use turnpike_wire::Failure;

use turnpike_wire::media::MediaSession;

use crate::{Ask, Notice, Told};

/// Where datagrams are written to, in place.
pub(crate) trait Outlet {
    /// Room for one datagram to that address. What is not committed is not sent.
    fn slot(&mut self, to: SocketAddr, bytes_max: usize) -> &mut [u8];

    fn commit(&mut self, bytes: usize);
}

/// Something that is asked of this shard.
pub(crate) struct Command {
    /// Given back with the answer.
    pub(crate) ticket: u64,
    pub(crate) ask: Ask,
    /// For what the command makes: the core has no source of chance.
    pub(crate) chance: [u8; 64],
}

pub(crate) enum Effect {
    Answer { ticket: u64, answer: Result<Told, Failure> },
    Notice { session: MediaSession, notice: Notice },
}
