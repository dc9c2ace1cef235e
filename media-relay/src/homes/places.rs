//! Where somebody who comes over HTTP has to go.

use futures_util::future::BoxFuture;
use turnpike_cluster::Incarnation;
use turnpike_wire::media::relay::stream_entry;
use turnpike_wire::{Code, Failure, RoomId, UserId};

use super::{Homes, NotHere};
use crate::{Face, Place, Places};

impl<F: Face> Homes<F> {
    /// The other relay, by the address under which clients reach it.
    fn at(&self, relay: Incarnation) -> Result<Place, Failure> {
        let nodes = self.cluster.membership.nodes();
        let nodes = nodes.borrow();
        let node = nodes.iter().find(|node| node.incarnation == relay);
        let url = node.and_then(|node| node.relay.as_ref()?.url.clone());
        // It has just gone, or cannot be reached from outside.
        url.map(|url| Place::At(url.into())).ok_or_else(|| Code::NoRelay.into())
    }
}

impl<F: Face> Places for Homes<F> {
    fn to_publish<'a>(&'a self, stream: &'a RoomId) -> BoxFuture<'a, Result<Place, Failure>> {
        Box::pin(async move {
            match self.claim(stream).await {
                Ok(()) => Ok(Place::Here),
                Err(NotHere::Elsewhere(relay)) => self.at(relay),
                Err(NotHere::Unknown(failure)) => Err(failure),
            }
        })
    }

    fn to_watch<'a>(&'a self, stream: &'a RoomId) -> BoxFuture<'a, Result<Place, Failure>> {
        Box::pin(async move {
            if self.streams().contains_key(stream) {
                return Ok(Place::Here);
            }
            let found = self.cluster.directory.find(&stream_entry(stream)).wait().await;
            let found = found
                .map_err(|error| Failure::from(Code::Unavailable).retry_after_ms(error.retry_after_ms))?;
            match found {
                Some(claimed) if claimed.owner != self.cluster.membership.own() => self.at(claimed.owner),
                _ => Ok(Place::Here),
            }
        })
    }

    fn published(&self, stream: &RoomId, user: &UserId) {
        Self::published(self, stream, user);
    }
}
