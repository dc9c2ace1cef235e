//! Looks after the links: with whom there are any, what becomes of what they bring, and who was lost.

use std::sync::{Arc, Weak};

use tokio::sync::mpsc;
use turnpike_cluster::{Cluster, Incarnation};
use turnpike_wire::RoomId;
use turnpike_wire::media::relay::{FromRelay, TO_GATEWAYS};

use super::{Homes, HomesConfig, ring};
use crate::carry::FeedNews;
use crate::link::Links;
use crate::{Face, Relay};

impl Homes<Relay> {
    /// Of a relay that is linked with others. To be called within a tokio runtime, once a relay.
    pub fn linked(relay: Relay, cluster: &Cluster, config: HomesConfig, links: Links) -> Arc<Self> {
        let (news, lost) = (relay.feed_news(), links.lost());
        let homes = Self::with(relay, cluster, config, Some(Arc::new(links)));
        if let Some(news) = news {
            tokio::spawn(hear(Arc::downgrade(&homes), news));
        }
        tokio::spawn(look_around(Arc::downgrade(&homes), cluster.clone(), lost));
        homes
    }
}

/// Gives news of feeds to those who hold them.
pub(super) async fn hear<F: Face>(homes: Weak<Homes<F>>, mut news: mpsc::Receiver<(RoomId, FeedNews)>) {
    while let Some((stream, news)) = news.recv().await {
        let Some(homes) = homes.upgrade() else { return };
        homes.attachments.hear(&stream, news);
    }
}

/// Keeps links to the neighbours, and tells all gateways when one of them is lost.
pub(super) async fn look_around<F: Face>(
    homes: Weak<Homes<F>>,
    cluster: Cluster,
    mut lost: mpsc::Receiver<u64>,
) {
    let mut nodes = cluster.membership.nodes();
    nodes.mark_changed();
    let own = cluster.membership.own();
    loop {
        tokio::select! {
            Ok(()) = nodes.changed() => {
                let Some(homes) = homes.upgrade() else { return };
                let Some(links) = &homes.links else { return };
                links.watch(&ring::neighbours(&nodes.borrow_and_update(), own));
            }
            Some(relay) = lost.recv() => tell(&cluster, relay),
            else => return,
        }
    }
}

/// Whoever has left in order is no news.
fn tell(cluster: &Cluster, relay: u64) {
    let nodes = cluster.membership.nodes();
    let nodes = nodes.borrow();
    if !nodes.iter().any(|node| node.incarnation == Incarnation(relay)) {
        return;
    }
    tracing::warn!(relay = %Incarnation(relay), "the link to a relay broke: the gateways are told");
    let words = serde_json::to_vec(&[FromRelay::Lost { relay }]).expect("words are made of what JSON has");
    for gateway in nodes.iter().filter(|node| node.address.is_some() && node.incarnation.0 != relay) {
        // Membership finds out as well, a little later.
        let _ = cluster.post.send(gateway.incarnation, TO_GATEWAYS, words.clone().into());
    }
}
