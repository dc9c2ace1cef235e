//! A websocket whose session another node owns: it is carried on to that node, and counted meanwhile.

use std::rc::Rc;
use std::sync::Arc;

use hyper::upgrade::OnUpgrade;
use turnpike_passage::{End, tunnel};

use super::open::Open;
use crate::application::Application;
use crate::arrival::Visit;
use crate::shard::Shard;

/// Once both sides have agreed on the websocket: until one of the ends is closed, or this node drains.
pub(super) async fn begin<A: Application>(
    shard: Rc<Shard<A>>,
    client: OnUpgrade,
    owner: OnUpgrade,
    // As long as the client's connection is open.
    _visit: Arc<Visit>,
) {
    let (Ok(client), Ok(owner)) = tokio::join!(client, owner) else { return };
    let ends = served(client).zip(End::of(owner));
    let (client, owner) = ends.expect("TCP is what was served, and what was connected");
    let _sockets = [Open::count(&shard.counters), Open::count(&shard.counters)];
    let _tunnel = Tunnel::count(&shard);
    tokio::select! {
        () = tunnel(client, owner) => {}
        () = shard.time_to_leave() => {}
    }
}

fn served(upgraded: hyper::upgrade::Upgraded) -> Option<End> {
    let super::heard::Taken { stream, unread, .. } = super::heard::taken_back(upgraded)?;
    Some(End::new(stream, unread))
}

/// Counted while it is open.
struct Tunnel<'a, A: Application>(&'a Shard<A>);

impl<'a, A: Application> Tunnel<'a, A> {
    fn count(shard: &'a Shard<A>) -> Self {
        shard.counters.tunnels_now.add(1);
        Self(shard)
    }
}

impl<A: Application> Drop for Tunnel<'_, A> {
    fn drop(&mut self) {
        self.0.counters.tunnels_now.sub(1);
    }
}
