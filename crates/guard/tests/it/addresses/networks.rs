//! Addresses, networks and what is counted as one.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use turnpike_guard::address::{AddressKey, Network, NetworkError, Networks, canonical};

use super::{ip, network, networks};

#[test]
fn an_address_has_one_form() {
    for (given, expected) in [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
        // What only this machine's own sockets make holds for any address.
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::8.8.8.8", "8.8.8.8"),
        ("::ffff:0:8.8.8.8", "8.8.8.8"),
        ("64:ff9b::8.8.8.8", "8.8.8.8"),
        ("2002:808:808::1", "8.8.8.8"),
        ("2002:808:808:1234:5:6:7:8", "8.8.8.8"),
        // Teredo, of 8.8.8.8 inverted.
        ("2001:0:4136:e378:8000:63bf:f7f7:f7f7", "8.8.8.8"),
        // Nobody becomes a neighbour by what he writes into an address.
        ("::1", "::1"),
        ("::", "::"),
        ("::127.0.0.1", "::127.0.0.1"),
        ("64:ff9b::127.0.0.1", "64:ff9b::127.0.0.1"),
        ("64:ff9b::10.0.0.1", "64:ff9b::10.0.0.1"),
        ("2002:a00:1::1", "2002:a00:1::1"),
        ("2002:7f00:1::1", "2002:7f00:1::1"),
        ("2002:c0a8:101::1", "2002:c0a8:101::1"),
        ("2002:6440:1::1", "2002:6440:1::1"),
        ("2001:0:4136:e378:8000:63bf:80ff:fffe", "2001:0:4136:e378:8000:63bf:80ff:fffe"),
        ("2001:db8::1", "2001:db8::1"),
        ("64:ff9b:1::8.8.8.8", "64:ff9b:1::8.8.8.8"),
        ("2003::8.8.8.8", "2003::8.8.8.8"),
    ] {
        assert_eq!(canonical(ip(given)), ip(expected), "{given}");
    }
}

#[test]
fn a_customer_is_one_key() {
    let key = |text: &str| AddressKey::of(ip(text));
    assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
    assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff:ffff:ffff:ffff"));
    assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
    // All of a 6to4 customer's networks.
    assert_eq!(key("2002:808:808:1::1"), key("2002:808:808:2::1"));
    // Not of the same family, though the bits are.
    assert_ne!(key("0.0.0.1"), key("0:0:0:1::"));
    for (text, shown) in [("192.0.2.1", "192.0.2.1"), ("2001:db8:1:2:3::4", "2001:db8:1:2::/64")] {
        assert_eq!(key(text).to_string(), shown);
        assert_eq!(Network::from(key(text)), network(shown));
        assert!(Network::from(key(text)).contains(ip(text)));
    }
    assert!(size_of::<AddressKey>() <= 16);
}

#[test]
fn networks_are_read_as_they_are_written() {
    for (given, shown) in [
        ("10.0.0.0/8", "10.0.0.0/8"),
        (" 10.0.0.0/8 ", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1/32", "192.0.2.1"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("2001:DB8:0::/32", "2001:db8::/32"),
        ("::/0", "::/0"),
        ("::1", "::1"),
        ("::1/128", "::1"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2002:808:808::1", "8.8.8.8"),
    ] {
        assert_eq!(network(given).to_string(), shown, "{given}");
        assert_eq!(network(shown), network(given));
    }
}

#[test]
fn what_is_no_network_says_what_is_wrong() {
    let fault = |text: &str| text.parse::<Network>().unwrap_err().to_string();
    for text in
        ["", "/", "/8", "x", "10.0.0/8", "10.0.0.0.0/8", "10.0.0.256", "010.0.0.1", "fe80::1%eth0", "[::1]"]
    {
        assert!(fault(text).contains("is no address and no network"), "{text}: {}", fault(text));
    }
    for text in
        ["10.0.0.0/", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/-1", "10.0.0.0/8/8", "10.0.0.0/x", "::/129"]
    {
        assert!(fault(text).contains("has no length of 0 to"), "{text}: {}", fault(text));
    }
    assert_eq!(
        fault("10.1.2.3/8"),
        "`10.1.2.3/8` has bits set behind its length; the network is `10.0.0.0/8`"
    );
    assert!(fault("2001:db8::1/32").contains("the network is `2001:db8::/32`"));
    assert!(fault("::ffff:10.1.2.3/104").contains("the network is `10.0.0.0/8`"));
    assert!(fault("::ffff:1.2.3.4/90").contains("has bits set"));
    // Of these no address would ever be in the network.
    for text in ["2002::/16", "2002:808::/32", "64:ff9b::/96", "2001::/32", "::/96", "::ffff:0:0:0/96"] {
        assert!(matches!(text.parse::<Network>(), Err(NetworkError::Embedding { .. })), "{text}");
    }
    assert!(fault(&"1".repeat(10_000)).len() < 200);
}

#[test]
fn families_are_apart() {
    let all = networks("0.0.0.0/0");
    assert!(all.contains(ip("192.0.2.1")) && all.contains(ip("::ffff:192.0.2.1")));
    assert!(!all.contains(ip("2001:db8::1")));
    let all = networks("::/0");
    assert!(all.contains(ip("2001:db8::1")) && !all.contains(ip("192.0.2.1")));
    assert!(!all.contains(ip("::ffff:192.0.2.1")), "it is an IPv4 address");
    assert!(Networks::default().is_empty() && !Networks::default().contains(ip("::")));
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        // Few enough that networks overlap.
        (0u32..64, 0u32..8).prop_map(|(a, b)| IpAddr::V4(Ipv4Addr::from_bits(a << 26 | b))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
        (0u128..64, 0u128..8).prop_map(|(a, b)| IpAddr::V6(Ipv6Addr::from_bits(a << 122 | b))),
    ]
}

proptest! {
    #[test]
    fn a_set_holds_what_one_of_its_networks_does(
        networks in prop::collection::vec((any_address(), 0u8..=128), 0..40),
        asked in prop::collection::vec(any_address(), 1..40),
    ) {
        let networks: Vec<Network> =
            networks.into_iter().map(|(address, prefix)| Network::around(address, prefix)).collect();
        let set: Networks = networks.iter().copied().collect();
        let ends = networks.iter().flat_map(|network| [network.first(), network.last()]);
        for address in asked.into_iter().chain(ends) {
            let expected = networks.iter().any(|network| network.contains(address));
            prop_assert_eq!(set.contains(address), expected, "{} in {:?}", address, networks);
        }
    }

    #[test]
    fn what_a_network_shows_can_be_read(address in any_address(), prefix in 0u8..=128) {
        let network = Network::around(address, prefix);
        prop_assert!(network.contains(address));
        // Those that hold none but addresses that stand for others are not taken from an operator.
        match network.to_string().parse::<Network>() {
            Ok(read) => prop_assert_eq!(read, network),
            Err(error) => prop_assert!(matches!(error, NetworkError::Embedding { .. }), "{}", error),
        }
    }

    #[test]
    fn the_one_form_is_its_own(address in any_address()) {
        let one = canonical(address);
        prop_assert_eq!(canonical(one), one);
        prop_assert_eq!(AddressKey::of(one), AddressKey::of(address));
    }
}

#[test]
fn a_hundred_thousand_keys_are_as_many() {
    let keys = (0..100_000u32).map(|index| AddressKey::of(Ipv4Addr::from_bits(index << 8).into()));
    assert_eq!(keys.collect::<HashSet<_>>().len(), 100_000);
}
