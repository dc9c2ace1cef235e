//! What homes need of the links to other relays. There is one kind of links; tests have others.

use futures_util::future::BoxFuture;
use turnpike_wire::RoomId;

use crate::carry::PipeId;
use crate::link::{LinkTarget, Links, NotAttached};

pub(crate) trait Uplinks: Send + Sync + 'static {
    /// Has the stream come from there; it is fed into the relay here when this is done.
    fn attach<'a>(&'a self, stream: &'a RoomId, to: LinkTarget)
    -> BoxFuture<'a, Result<PipeId, NotAttached>>;

    fn detach<'a>(&'a self, stream: &'a RoomId, pipe: PipeId) -> BoxFuture<'a, ()>;

    /// Keeps a connection with each of these, so that it is known when they die.
    fn watch(&self, peers: &[LinkTarget]);
}

impl Uplinks for Links {
    fn attach<'a>(
        &'a self,
        stream: &'a RoomId,
        to: LinkTarget,
    ) -> BoxFuture<'a, Result<PipeId, NotAttached>> {
        Box::pin(Self::attach(self, stream, to))
    }

    fn detach<'a>(&'a self, stream: &'a RoomId, pipe: PipeId) -> BoxFuture<'a, ()> {
        Box::pin(Self::detach(self, stream, pipe))
    }

    fn watch(&self, peers: &[LinkTarget]) {
        Self::watch(self, peers);
    }
}
