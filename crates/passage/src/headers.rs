//! Headers that speak of one connection, and must not be passed on to the next.

use http::header::{
    CONNECTION, CONTENT_LENGTH, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// RFC 9110 7.6.1, besides what `Connection` names.
const HOP_BY_HOP: [HeaderName; 7] =
    [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION];
const HOP_BY_HOP_BY_CUSTOM: [&str; 2] = ["keep-alive", "proxy-connection"];

pub fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        // The length of a body is no connection's matter, whoever says so.
        .filter(|name| *name != CONTENT_LENGTH)
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    for name in HOP_BY_HOP_BY_CUSTOM {
        headers.remove(name);
    }
}

/// The same of a request that asks for another protocol: that wish alone goes along. Gives whether there is one.
pub fn keep_upgrade(headers: &mut HeaderMap) -> bool {
    let upgrade = headers.remove(UPGRADE);
    drop_hop_by_hop(headers);
    let Some(upgrade) = upgrade else { return false };
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, upgrade);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn what_a_connection_names_stays_with_it() {
        let mut map = headers(&[
            ("connection", "close, X-Secret, content-length"),
            ("x-secret", "1"),
            ("content-length", "3"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("x-kept", "1"),
        ]);
        drop_hop_by_hop(&mut map);
        assert_eq!(map, headers(&[("content-length", "3"), ("x-kept", "1")]));
    }

    #[test]
    fn of_an_upgrade_the_wish_alone_goes_along() {
        let mut map =
            headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket"), ("te", "x")]);
        assert!(keep_upgrade(&mut map));
        assert_eq!(map, headers(&[("connection", "Upgrade"), ("upgrade", "websocket")]));
        assert!(!keep_upgrade(&mut headers(&[("connection", "Upgrade")])));
    }
}
