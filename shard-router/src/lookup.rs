//! Which node something is at, for clients that connect directly and for requests over WHIP and WHEP.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use http::{Response, StatusCode};
use serde::Serialize;
use turnpike_cluster::placement::{Relays, Side};
use turnpike_cluster::{Directory, Incarnation, Node};
use turnpike_wire::media::relay::stream_entry;
use turnpike_wire::{Answer, Code, Failure, RoomId};

use crate::answer::{self, Said};
use crate::roster::Roster;
use crate::route::value;

const NOBODY_RETRY_AFTER_MS: u64 = 1_000;

pub(crate) struct Lookup {
    pub(crate) roster: Arc<Roster>,
    pub(crate) directory: Arc<dyn Directory>,
    placing: Mutex<Relays>,
}

#[derive(Serialize)]
struct Found<'a> {
    node: &'a str,
    address: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
}

impl Lookup {
    pub(crate) fn new(roster: Arc<Roster>, directory: Arc<dyn Directory>) -> Self {
        Self { roster, directory, placing: Mutex::default() }
    }

    /// The relay that has the stream, or else the one that it belongs to; none where there is no relay. Somebody is sent there.
    pub(crate) async fn relay_of(&self, stream: &str) -> Option<SocketAddr> {
        let nodes = self.roster.nodes();
        let relay = self.relay(stream, &nodes).await?;
        let mut placing = self.placing.lock().unwrap_or_else(PoisonError::into_inner);
        placing.sent(relay.incarnation, nodes.len(), Instant::now());
        relay.address
    }

    async fn relay<'n>(&self, stream: &str, nodes: &'n [Node]) -> Option<&'n Node> {
        let owner = self.owner(stream).await;
        let with_relay = |node: &&Node| node.relay.is_some() && node.address.is_some();
        let home = nodes.iter().filter(with_relay).find(|node| Some(node.incarnation) == owner);
        if let Some(home) = home.filter(|node| !node.draining) {
            return Some(home);
        }
        let mut placing = self.placing.lock().unwrap_or_else(PoisonError::into_inner);
        let may = |node: &Node| node.address.is_some();
        placing.find(stream, Side::Publish, None, nodes, may, Instant::now()).or(home)
    }

    /// Where the directory is not to be asked, a relay is found all the same: they find the stream among themselves.
    async fn owner(&self, stream: &str) -> Option<Incarnation> {
        let stream = RoomId::parse(stream).ok()?;
        let claimed = self.directory.find(&stream_entry(&stream)).wait().await.ok()??;
        Some(claimed.owner)
    }
}

/// `GET /v1/route?room=|stream=|user=`.
pub(crate) async fn answer(lookup: &Lookup, query: Option<&str>) -> Response<Said> {
    let query = query.unwrap_or_default();
    let nodes = lookup.roster.nodes();
    let (stream, other) = (value(query, "stream"), value(query, "room").or_else(|| value(query, "user")));
    let found = match (stream, other) {
        (Some(stream), _) => lookup.relay(stream, &nodes).await,
        (None, Some(key)) => {
            let home = lookup.roster.home(key);
            home.and_then(|home| nodes.iter().find(|node| node.address == Some(home)))
        }
        (None, None) => {
            let failure = Failure::new(Code::BadRequest, "say what for: `room`, `stream` or `user`");
            return answer::failed(StatusCode::BAD_REQUEST, failure);
        }
    };
    let Some((node, address)) = found.and_then(|node| Some((node, node.address?))) else {
        return answer::nobody(NOBODY_RETRY_AFTER_MS);
    };
    let url = stream.and(node.relay.as_ref()).and_then(|relay| relay.url.as_deref());
    let mut body = Vec::new();
    let found = Answer::Done(Found { node: &node.name, address, url });
    found.write(&mut body).expect("texts and addresses can always be written");
    answer::json(StatusCode::OK, body)
}
