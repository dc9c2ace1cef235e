//! Fuzz targets: bytes by chance as networks, as what a client puts before the word of its proxy, as PROXY headers and as
//! databases of countries.
//!
//! Their corpus stands in `corpus/<target>/`: a text, the value of a header line, the beginning of a connection, a file.

use std::net::{IpAddr, SocketAddr};

use turnpike_fuzz::fuzz;
use turnpike_guard::address::{
    AddressKey, CountryDatabase, ForwardedBy, Network, NetworkError, PROXY_HEADER_BYTES_MAX, Proxies,
    ProxyHeader, canonical, read_proxy_header,
};
use turnpike_lab::country_file;

use crate::addresses::networks;

#[test]
fn networks_hold() {
    fuzz!("network", a_network);
}

#[test]
fn forwarded_headers_hold() {
    fuzz!("forwarded", forwarded);
}

#[test]
fn proxy_headers_hold() {
    fuzz!("proxy_header", proxy_header);
}

#[test]
fn country_files_hold() {
    fuzz!("country", country);
}

#[test]
fn the_corpus_is_understood() {
    assert!(include_str!("../../corpus/network/v6").parse::<Network>().is_ok());
    for header in [
        &include_bytes!("../../corpus/proxy_header/v4")[..],
        include_bytes!("../../corpus/proxy_header/v6-with-additions"),
        include_bytes!("../../corpus/proxy_header/local"),
    ] {
        assert!(matches!(read_proxy_header(header), Ok(ProxyHeader::Complete { .. })));
    }
    let file = include_bytes!("../../corpus/country/two-networks");
    assert_eq!(file[..], country_file(&[("203.0.113.0/24", "DE"), ("2001:db8::/32", "FR")]));
    let found = CountryDatabase::parse(file.to_vec()).unwrap().country("203.0.113.9".parse().unwrap());
    assert_eq!(found.unwrap().to_string(), "DE");
}

/// What was read is shown so that it is read as the same, and holds both of its ends.
fn a_network(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match text.parse::<Network>() {
        Ok(network) => {
            assert_eq!(network.to_string().parse(), Ok(network));
            assert!(network.contains(network.first()) && network.contains(network.last()));
        }
        Err(NetworkError::HostBits { meant, .. }) => assert!(meant.parse::<Network>().is_ok(), "{meant}"),
        Err(error) => assert!(error.to_string().len() < 1_000),
    }
}

/// It is what a client sends, and a proxy adds to. Nothing of it is believed.
fn forwarded(data: &[u8]) {
    let client: IpAddr = "203.0.113.9".parse().expect("an address");
    for by in [ForwardedBy::Either, ForwardedBy::XForwardedFor, ForwardedBy::Forwarded] {
        let proxies = Proxies::new(networks("10.0.0.0/8 2001:db8::/32"), by);
        let peer: SocketAddr = "10.0.0.1:1".parse().expect("an address");
        let none = || [].into_iter();
        let added = [data, b",203.0.113.9"].concat();
        if by != ForwardedBy::Forwarded {
            assert_eq!(proxies.client(peer, [&added[..]].into_iter(), none()).address.ip(), client);
            assert_eq!(proxies.client(peer, [data, b"203.0.113.9"].into_iter(), none()).address.ip(), client);
        }
        let added = [data, b",for=203.0.113.9"].concat();
        if by != ForwardedBy::XForwardedFor {
            assert_eq!(proxies.client(peer, none(), [&added[..]].into_iter()).address.ip(), client);
        }
        // Nor of a stranger, whatever he writes.
        let stranger: SocketAddr = "192.0.2.1:1".parse().expect("an address");
        assert_eq!(proxies.client(stranger, [data].into_iter(), [data].into_iter()).address, stranger);
        // As the word of the proxy itself, it is an address in its one form.
        let said = proxies.client(peer, [data].into_iter(), [data].into_iter()).address.ip();
        assert_eq!(said, canonical(said));
        let _ = AddressKey::of(said);
    }
}

/// What is complete is not changed by what follows, and what is not says how much is to come.
fn proxy_header(data: &[u8]) {
    match read_proxy_header(data) {
        Ok(ProxyHeader::Incomplete { bytes }) => {
            assert!(bytes > data.len() && bytes <= PROXY_HEADER_BYTES_MAX);
        }
        Ok(whole @ ProxyHeader::Complete { bytes, .. }) => {
            assert!(bytes <= data.len());
            assert_eq!(read_proxy_header(&data[..bytes]), Ok(whole));
            assert!(matches!(read_proxy_header(&data[..bytes - 1]), Ok(ProxyHeader::Incomplete { .. })));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A file that was damaged, or is being written: addresses of no known country, or of a wrong one, and no more.
fn country(data: &[u8]) {
    let Ok(database) = CountryDatabase::parse(data.to_vec()) else { return };
    for address in ["203.0.113.9", "0.0.0.0", "255.255.255.255", "2001:db8::1", "::", "8000::"] {
        let _ = database.country(address.parse().expect("an address"));
    }
    let _ = (database.built_at(), database.kind());
}
