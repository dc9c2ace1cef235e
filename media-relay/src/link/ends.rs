//! What links need of the relay whose streams they carry. There is one relay; tests have others.

use futures_util::future::BoxFuture;
use turnpike_wire::{Failure, RoomId};

use crate::Relay;
use crate::carry::{Blocked, Delivered, Downward, PipeId, Upward};

pub(crate) trait Ends: Send + Sync + 'static {
    fn next_pipe(&self) -> PipeId;

    /// Refused with [`turnpike_wire::Code::NoSuchStream`] if it is not here, and with
    /// [`turnpike_wire::Code::NoRelay`] if it is given to as many as it may already.
    fn branch<'a>(&'a self, stream: &'a RoomId, pipe: Downward) -> BoxFuture<'a, Result<(), Failure>>;

    fn feed<'a>(&'a self, stream: &'a RoomId, pipe: Upward) -> BoxFuture<'a, Result<(), Failure>>;

    fn unpipe<'a>(&'a self, stream: &'a RoomId, pipe: PipeId) -> BoxFuture<'a, ()>;

    fn deliver(&self, stream: &RoomId, pipe: PipeId, word: Delivered) -> Result<(), Blocked>;
}

impl Ends for Relay {
    fn next_pipe(&self) -> PipeId {
        Self::next_pipe(self)
    }

    fn branch<'a>(&'a self, stream: &'a RoomId, pipe: Downward) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(Self::branch(self, stream, pipe))
    }

    fn feed<'a>(&'a self, stream: &'a RoomId, pipe: Upward) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(Self::feed(self, stream, pipe))
    }

    fn unpipe<'a>(&'a self, stream: &'a RoomId, pipe: PipeId) -> BoxFuture<'a, ()> {
        Box::pin(Self::unpipe(self, stream, pipe))
    }

    fn deliver(&self, stream: &RoomId, pipe: PipeId, word: Delivered) -> Result<(), Blocked> {
        Self::deliver(self, stream, pipe, word)
    }
}
