//! Where a stream is: here, or at another relay, to which clients are sent.

use futures_util::future::BoxFuture;
use turnpike_wire::{Failure, RoomId, UserId};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Here,
    /// At the relay that clients reach by this address (`https://media-2.example.org`).
    At(String),
}

pub trait Places: Send + Sync + 'static {
    /// Claims the stream's name, so that it is published in one place.
    fn to_publish<'a>(&'a self, stream: &'a RoomId) -> BoxFuture<'a, Result<Place, Failure>>;

    fn to_watch<'a>(&'a self, stream: &'a RoomId) -> BoxFuture<'a, Result<Place, Failure>>;

    /// Somebody has begun to publish it.
    fn published(&self, stream: &RoomId, user: &UserId);

    /// Another relay for that stream that takes people in, by the address under which clients reach it.
    fn another(&self, stream: &RoomId) -> Option<String>;
}

/// There is no other relay.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Places for Alone {
    fn to_publish<'a>(&'a self, _: &'a RoomId) -> BoxFuture<'a, Result<Place, Failure>> {
        Box::pin(async { Ok(Place::Here) })
    }

    fn to_watch<'a>(&'a self, _: &'a RoomId) -> BoxFuture<'a, Result<Place, Failure>> {
        Box::pin(async { Ok(Place::Here) })
    }

    fn published(&self, _: &RoomId, _: &UserId) {}

    fn another(&self, _: &RoomId) -> Option<String> {
        None
    }
}
