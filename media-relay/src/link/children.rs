//! Which relays have which stream from here: they are named to whoever comes when there is no room for another.

use std::collections::HashMap;
use std::sync::Arc;

use turnpike_wire::RoomId;

use super::words::ELSEWHERE_MAX;
use super::{Inner, lock};

/// As many relays a stream as the core gives it to.
pub(super) type Children = HashMap<RoomId, Vec<u64>>;

/// As long as it is there, the relay is a child.
pub(super) struct Child {
    inner: Arc<Inner>,
    stream: RoomId,
    peer: u64,
}

impl Inner {
    pub(super) fn add_child(self: &Arc<Self>, stream: &RoomId, peer: u64) -> Child {
        lock(&self.children).entry(stream.clone()).or_default().push(peer);
        Child { inner: Arc::clone(self), stream: stream.clone(), peer }
    }

    /// Others that have the stream from here. Each who asks is named another one first, so that not all go to the same.
    pub(super) fn children_of(&self, stream: &RoomId, asks: u64) -> Vec<u64> {
        let mut children = lock(&self.children).get(stream).cloned().unwrap_or_default();
        children.retain(|child| *child != asks);
        if !children.is_empty() {
            let first = (asks % children.len() as u64) as usize;
            children.rotate_left(first);
        }
        children.truncate(ELSEWHERE_MAX);
        children
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let mut children = lock(&self.inner.children);
        if let Some(of_stream) = children.get_mut(&self.stream) {
            if let Some(at) = of_stream.iter().position(|child| *child == self.peer) {
                of_stream.swap_remove(at);
            }
            if of_stream.is_empty() {
                children.remove(&self.stream);
            }
        }
    }
}
