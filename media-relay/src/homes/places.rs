//! Where somebody who comes over HTTP has to go.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use futures_util::future::BoxFuture;
use turnpike_cluster::placement::Side;
use turnpike_cluster::{Incarnation, Node};
use turnpike_wire::media::relay::stream_entry;
use turnpike_wire::{Code, Failure, RoomId, UserId};

use super::{Homes, NotHere};
use crate::{Face, Place, Places};

/// How soon somebody may ask again where there is no room anywhere.
const COME_AGAIN_MS: u64 = 1_000;

impl<F: Face> Homes<F> {
    /// The other relay, by the address under which clients reach it.
    fn at(&self, relay: Incarnation) -> Result<Place, Failure> {
        let nodes = self.cluster.membership.nodes();
        let nodes = nodes.borrow();
        let node = nodes.iter().find(|node| node.incarnation == relay);
        let url = node.and_then(|node| node.relay.as_ref()?.url.clone());
        // It has just gone, or cannot be reached from outside.
        url.map(|url| Place::At(url.into())).ok_or_else(no_relay)
    }

    /// Of the others that take people in and can be reached: for those who watch the home if that is one, and else the one that the stream belongs to.
    fn other(&self, stream: &RoomId, home: Option<Incarnation>) -> Option<String> {
        let nodes = Arc::clone(&self.cluster.membership.nodes().borrow());
        let own = self.cluster.membership.own();
        let url = |node: &Node| node.relay.as_ref().and_then(|offer| offer.url.clone());
        let may = |node: &Node| node.incarnation != own && url(node).is_some();
        let mut placing = self.placing.lock().unwrap_or_else(PoisonError::into_inner);
        let side = home.map_or(Side::Publish, |home| Side::Watch { home });
        let other = placing.find(stream, side, None, &nodes, may, Instant::now())?;
        placing.sent(other.incarnation, nodes.len(), Instant::now());
        url(other).map(String::from)
    }

    async fn home(&self, stream: &RoomId) -> Result<Option<Incarnation>, Failure> {
        let found = self.cluster.directory.find(&stream_entry(stream)).wait().await;
        let found =
            found.map_err(|error| Failure::from(Code::Unavailable).retry_after_ms(error.retry_after_ms))?;
        Ok(found.map(|claimed| claimed.owner))
    }

    async fn place_to_watch(self: &Arc<Self>, stream: &RoomId) -> Result<Place, Failure> {
        let has_room = self.has_room.load(Ordering::Relaxed);
        let is_elsewhere = self.is_leaving() || (self.links.is_some() && !has_room);
        if is_elsewhere {
            let home = self.home(stream).await?;
            return match self.other(stream, home) {
                Some(url) => Ok(Place::At(url)),
                None if self.is_leaving() => Err(no_relay()),
                // It says itself whether there is really no room.
                None => Ok(Place::Here),
            };
        }
        if self.links.is_some() {
            return match self.bring(stream).await {
                // Whoever watches is told that by the relay, and when to come again.
                Err(failure) if failure.code != Code::NoSuchStream => Err(failure),
                _ => Ok(Place::Here),
            };
        }
        if self.streams().contains_key(stream) {
            return Ok(Place::Here);
        }
        match self.home(stream).await? {
            Some(home) if home != self.cluster.membership.own() => self.at(home),
            _ => Ok(Place::Here),
        }
    }
}

fn no_relay() -> Failure {
    Failure::from(Code::NoRelay).retry_after_ms(COME_AGAIN_MS)
}

/// Homes where a request comes in: it may have to begin something that goes on beyond it.
impl<F: Face> Places for Arc<Homes<F>> {
    fn to_publish<'a>(&'a self, stream: &'a RoomId) -> BoxFuture<'a, Result<Place, Failure>> {
        Box::pin(async move {
            if self.is_leaving() {
                return self.other(stream, None).map(Place::At).ok_or_else(no_relay);
            }
            match self.claim(stream).await {
                Ok(()) => Ok(Place::Here),
                Err(NotHere::Elsewhere(relay)) => self.at(relay),
                Err(NotHere::Unknown(failure)) => Err(failure),
            }
        })
    }

    fn to_watch<'a>(&'a self, stream: &'a RoomId) -> BoxFuture<'a, Result<Place, Failure>> {
        Box::pin(self.place_to_watch(stream))
    }

    fn published(&self, stream: &RoomId, user: &UserId) {
        Homes::published(self, stream, user);
    }

    fn another(&self, stream: &RoomId) -> Option<String> {
        self.other(stream, None)
    }
}
