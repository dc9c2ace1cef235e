//! Where a request comes from, to count by.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::Extensions;

/// Put into a request by whoever stands before the endpoints and knows better than the socket, as behind a proxy.
#[derive(Debug, Clone, Copy)]
pub struct ClientAddress(pub IpAddr);

/// None: whoever serves this does so without addresses.
pub(super) fn of(extensions: &Extensions) -> Option<IpAddr> {
    let given = extensions.get::<ClientAddress>().map(|address| address.0);
    given.or_else(|| extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip()))
}

/// An IPv6 customer has 2^64 addresses: they count as one.
pub(super) fn counted(extensions: &Extensions) -> IpAddr {
    // Whoever serves this without addresses counts all requests as one client's: strict, and soon noticed.
    match of(extensions).unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)).to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_one_client() {
        let counted = |text: &str| {
            let mut extensions = Extensions::new();
            extensions.insert(ClientAddress(text.parse().unwrap()));
            counted(&extensions).to_string()
        };
        assert_eq!(counted("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(counted("::ffff:192.0.2.1"), "192.0.2.1");
    }
}
