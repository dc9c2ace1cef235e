//! Where somebody comes from.

mod countries;
mod networks;
mod proxies;
mod proxy_header;
mod rules;

use std::net::IpAddr;

use turnpike_guard::address::{Network, Networks};

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|_| panic!("{text} is no address"))
}

pub(crate) fn network(text: &str) -> Network {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn networks(text: &str) -> Networks {
    text.split_whitespace().map(network).collect()
}
