//! Whom a request comes from, by the proxies that are believed, and how the nodes are told.

use std::net::{IpAddr, SocketAddr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue};
use turnpike_guard::address::Proxies;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client's address.
pub(crate) fn client(proxies: &Proxies, peer: SocketAddr, headers: &HeaderMap) -> IpAddr {
    let values = |name: HeaderName| headers.get_all(name).iter().map(HeaderValue::as_bytes);
    proxies.client(peer, values(X_FORWARDED_FOR), values(FORWARDED)).address.ip()
}

/// In place of what came: what stood further left is anybody's word.
pub(crate) fn tell(headers: &mut HeaderMap, client: IpAddr) {
    headers.remove(FORWARDED);
    let value = HeaderValue::try_from(client.to_string())
        .expect("an address is made of letters that may stand there");
    headers.insert(X_FORWARDED_FOR, value);
}
