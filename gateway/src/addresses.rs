//! Where clients come from: who speaks for them, and who has to say so first of all.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, header};
use turnpike_cluster::Cluster;
use turnpike_engine::{Introduces, Introduction};
use turnpike_guard::address::{Client, Networks, Proxies, ProxyHeader, canonical, read_proxy_header};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What a gateway is told of the machines before it.
#[derive(Debug, Clone, Default)]
pub struct Front {
    /// Those whose headers say for whom they ask.
    pub proxies: Proxies,
    /// Those whose connections begin with a PROXY header.
    pub introduce: Networks,
}

pub(crate) struct Addresses {
    front: Front,
    /// Headers that were ignored because of who sent them.
    ignored: AtomicU64,
    said: AtomicBool,
}

impl Addresses {
    pub(crate) fn new(front: Front) -> Self {
        Self { front, ignored: AtomicU64::new(0), said: AtomicBool::new(false) }
    }

    /// Whose a request is. Of a header that is not believed, only that is counted that could have been meant to deceive.
    pub(crate) fn client_of(&self, peer: SocketAddr, headers: &HeaderMap) -> Client {
        let lines =
            |name: HeaderName| headers.get_all(name).into_iter().map(axum::http::HeaderValue::as_bytes);
        let client = self.front.proxies.client(peer, lines(X_FORWARDED_FOR), lines(header::FORWARDED));
        if client.forged {
            self.ignored.fetch_add(1, Ordering::Relaxed);
            if !self.said.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    peer = %client.address.ip(),
                    "a header says for whom a request is, and its sender is none of the trusted proxies: it is ignored. \
                     If it is a proxy of yours, set TURNPIKE_TRUSTED_PROXIES"
                );
            }
        }
        client
    }

    /// Whether what was ignored says anything against its sender: where no proxies are known, it may be one that was forgotten.
    pub(crate) fn knows_proxies(&self) -> bool {
        !self.front.proxies.is_empty()
    }

    pub(crate) fn ignored(&self) -> u64 {
        self.ignored.load(Ordering::Relaxed)
    }

    pub(crate) fn introduces(&self, cluster: &Cluster, peer: IpAddr) -> Introduces {
        if !self.front.introduce.contains(peer) {
            Introduces::Never
        } else if is_node(cluster, peer) {
            // Nodes pass requests on to one another directly.
            Introduces::Perhaps
        } else {
            Introduces::Always
        }
    }
}

/// Whether another node of the system is at this address. Its connections are many clients'.
pub(crate) fn is_node(cluster: &Cluster, peer: IpAddr) -> bool {
    let (own, peer) = (cluster.membership.own(), canonical(peer));
    let nodes = cluster.membership.nodes();
    let nodes = nodes.borrow();
    nodes.iter().any(|node| {
        node.incarnation != own && node.address.is_some_and(|address| canonical(address.ip()) == peer)
    })
}

/// A PROXY header of version 2, as far as it was read.
pub(crate) fn introduction(bytes: &[u8]) -> Introduction {
    match read_proxy_header(bytes) {
        Ok(ProxyHeader::Incomplete { bytes }) => Introduction::Incomplete { bytes },
        Ok(ProxyHeader::Complete { client, .. }) => Introduction::Complete { client },
        Err(error) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "no PROXY header");
            Introduction::Refused
        }
    }
}
