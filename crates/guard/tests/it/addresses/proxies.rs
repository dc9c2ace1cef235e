//! Who a proxy speaks for, and who only says so.

use std::net::SocketAddr;

use proptest::prelude::*;
use turnpike_guard::address::{Client, FORWARDED_HOPS_MAX, ForwardedBy, Proxies};

use super::networks;

const PROXY: &str = "10.0.0.1:1000";
const STRANGER: &str = "192.0.2.77:1000";

fn proxies(by: ForwardedBy) -> Proxies {
    Proxies::new(networks("10.0.0.0/8 fd00::/8"), by)
}

fn client(by: ForwardedBy, peer: &str, x: &[&str], forwarded: &[&str]) -> Client {
    let lines = |lines: &[&str]| lines.iter().map(|line| line.as_bytes().to_vec()).collect::<Vec<_>>();
    let (x, forwarded) = (lines(x), lines(forwarded));
    let peer: SocketAddr = peer.parse().unwrap();
    proxies(by).client(peer, x.iter().map(Vec::as_slice), forwarded.iter().map(Vec::as_slice))
}

/// By a header of a trusted proxy.
fn by_x(lines: &[&str]) -> String {
    client(ForwardedBy::XForwardedFor, PROXY, lines, &[]).address.to_string()
}

fn by_standard(lines: &[&str]) -> String {
    client(ForwardedBy::Forwarded, PROXY, &[], lines).address.to_string()
}

#[test]
fn the_rightmost_that_is_not_trusted_is_the_client() {
    for (lines, expected) in [
        (&["203.0.113.9"][..], "203.0.113.9:0"),
        (&["198.51.100.1, 203.0.113.9"], "203.0.113.9:0"),
        (&["198.51.100.1,203.0.113.9 , 10.0.0.2"], "203.0.113.9:0"),
        (&["198.51.100.1", "203.0.113.9", "10.0.0.2"], "203.0.113.9:0"),
        (&["198.51.100.1, 203.0.113.9", "10.0.0.2, 10.0.0.3"], "203.0.113.9:0"),
        (&["203.0.113.9:4711"], "203.0.113.9:4711"),
        (&["2001:db8::1"], "[2001:db8::1]:0"),
        (&["[2001:db8::1]"], "[2001:db8::1]:0"),
        (&["[2001:db8::1]:4711"], "[2001:db8::1]:4711"),
        (&["\"[2001:db8::1]:4711\""], "[2001:db8::1]:4711"),
        (&["::ffff:203.0.113.9"], "203.0.113.9:0"),
        (&["[::ffff:203.0.113.9]:1, fd00::5"], "203.0.113.9:1"),
        (&["1.2.3.4\t,\t203.0.113.9\t"], "203.0.113.9:0"),
        (&["203.0.113.9,,", "", " , "], "203.0.113.9:0"),
        // All of it our own: the one furthest away.
        (&["10.0.0.3, 10.0.0.2"], "10.0.0.3:0"),
        // Nobody said anything.
        (&[], PROXY),
        (&[""], PROXY),
        (&[",,,"], PROXY),
    ] {
        assert_eq!(by_x(lines), expected, "{lines:?}");
    }
}

#[test]
fn the_standard_says_it_in_more_words() {
    for (lines, expected) in [
        (&["for=203.0.113.9"][..], "203.0.113.9:0"),
        (&["For=203.0.113.9;proto=https;by=10.0.0.1"], "203.0.113.9:0"),
        (&["proto=https; FOR=\"203.0.113.9:4711\" ; host=x"], "203.0.113.9:4711"),
        (&["for=\"[2001:db8::1]\""], "[2001:db8::1]:0"),
        (&["for=\"[2001:db8::1]:4711\""], "[2001:db8::1]:4711"),
        (&["for=\"[2001:db8::1]:_hidden\""], "[2001:db8::1]:0"),
        (&["for=198.51.100.1, for=203.0.113.9;by=\"x,y;for=1.2.3.4\", for=10.0.0.2"], "203.0.113.9:0"),
        (&["for=198.51.100.1", "for=203.0.113.9", "for=10.0.0.2"], "203.0.113.9:0"),
        (&["for=203.0.113.9;host=\"a\\\"b,c\""], "203.0.113.9:0"),
        // Not as the grammar has it, but as some write it.
        (&["for=[2001:db8::1]:80"], "[2001:db8::1]:80"),
        (&["for=203.0.113.9:80"], "203.0.113.9:80"),
    ] {
        assert_eq!(by_standard(lines), expected, "{lines:?}");
    }
}

#[test]
fn behind_what_is_no_address_nobody_is_known() {
    for line in [
        "203.0.113.9, unknown",
        "203.0.113.9, _hidden",
        "203.0.113.9, garbage",
        "203.0.113.9, 1.2.3",
        "203.0.113.9, 01.2.3.4",
        "203.0.113.9, 1.2.3.4:x",
        "203.0.113.9, 1.2.3.4:99999",
        "203.0.113.9, 1.2.3.4:+80",
        "203.0.113.9, 1.2.3.4:",
        "203.0.113.9, [::1",
        "203.0.113.9, [::1]80",
        "203.0.113.9, [1.2.3.4]",
        "203.0.113.9, \"1.2.3.4",
        "203.0.113.9, 1.2.3.4\"",
        "203.0.113.9, \"1.2.\\3.4\"",
        "203.0.113.9, fe80::1%eth0",
        "203.0.113.9, 1.2.3.4 5.6.7.8",
        "203.0.113.9, unix:",
        "203.0.113.9, 0x7f000001",
        "203.0.113.9, 2130706433",
        "203.0.113.9, \u{661}.2.3.4",
    ] {
        assert_eq!(by_x(&[line]), PROXY, "{line}");
        // The last that is known is the one that wrote it.
        assert_eq!(by_x(&[&format!("{line}, 10.0.0.2")]), "10.0.0.2:0", "{line}");
    }
    for line in [
        "for=203.0.113.9, for=unknown",
        "for=203.0.113.9, for=_x",
        "for=203.0.113.9, proto=https",
        "for=203.0.113.9, for",
        "for=203.0.113.9, for=",
        "for=203.0.113.9, for=1.2.3.4;for=5.6.7.8",
        "for=203.0.113.9, xfor=1.2.3.4",
        "for=203.0.113.9, 1.2.3.4",
    ] {
        assert_eq!(by_standard(&[line]), PROXY, "{line}");
    }
}

/// What stands to the left was in the request when it came to the proxy.
#[test]
fn whatever_a_client_sends_what_the_proxy_adds_holds() {
    for sent in [
        "1.2.3.4",
        "10.0.0.2",
        "127.0.0.1",
        "10.0.0.2, 10.0.0.3",
        "\"",
        "\"1.2.3.4",
        "for=\"",
        "for=\"1.2.3.4",
        "for=\"a\\",
        "\\\"",
        "[",
        "[::1",
        "for=[",
        ";",
        "=",
        ",",
        "unknown",
        "\u{7f}",
        "for=1.2.3.4;",
        "for=\"\\\"\\\\\"\"\"",
    ] {
        assert_eq!(by_x(&[&format!("{sent}, 203.0.113.9")]), "203.0.113.9:0", "{sent}");
        assert_eq!(by_x(&[sent, "203.0.113.9"]), "203.0.113.9:0", "{sent}");
        assert_eq!(by_standard(&[&format!("{sent}, for=203.0.113.9")]), "203.0.113.9:0", "{sent}");
        assert_eq!(by_standard(&[sent, "for=203.0.113.9"]), "203.0.113.9:0", "{sent}");
        assert_eq!(by_standard(&[&format!("{sent},for=\"203.0.113.9:1\"")]), "203.0.113.9:1", "{sent}");
    }
}

#[test]
fn the_header_that_no_proxy_writes_is_nobodys_word() {
    let (x, forwarded) = (&["203.0.113.9"][..], &["for=198.51.100.7"][..]);
    let told = |by, x, forwarded| client(by, PROXY, x, forwarded).address.to_string();
    assert_eq!(told(ForwardedBy::XForwardedFor, x, forwarded), "203.0.113.9:0");
    assert_eq!(told(ForwardedBy::Forwarded, x, forwarded), "198.51.100.7:0");
    assert_eq!(told(ForwardedBy::Either, x, forwarded), "203.0.113.9:0");
    assert_eq!(told(ForwardedBy::Either, &[], forwarded), "198.51.100.7:0");
    assert_eq!(told(ForwardedBy::XForwardedFor, &[], forwarded), PROXY);
    assert_eq!(told(ForwardedBy::Forwarded, x, &[]), PROXY);
}

#[test]
fn a_stranger_speaks_for_nobody_and_it_is_seen() {
    let heard = |x: &[&str], forwarded: &[&str]| client(ForwardedBy::Either, STRANGER, x, forwarded);
    for (x, forwarded, forged) in [
        (&["203.0.113.9"][..], &[][..], true),
        (&[], &["for=203.0.113.9"], true),
        (&["127.0.0.1"], &[], true),
        (&["::1"], &[], true),
        (&["8.8.8.8"], &[], true),
        // As the proxy of an office has it, or one that says nothing.
        (&["10.1.2.3"], &[], false),
        (&["192.168.1.7:4711"], &[], false),
        (&["fd12::1"], &[], false),
        (&["fe80::1"], &[], false),
        (&["100.64.3.4"], &[], false),
        (&["unknown"], &["for=_hidden"], false),
        (&[], &[], false),
        (&["garbage"], &[], false),
    ] {
        let client = heard(x, forwarded);
        assert_eq!(client.address.to_string(), STRANGER, "{x:?} {forwarded:?}");
        assert_eq!(client.forged, forged, "{x:?} {forwarded:?}");
    }
    let mapped = client(ForwardedBy::Either, "[::ffff:10.0.0.1]:1000", &["203.0.113.9"], &[]);
    assert_eq!(
        mapped.address.to_string(),
        "203.0.113.9:0",
        "the same proxy, as a dual-stack socket calls it"
    );
    let mapped = client(ForwardedBy::Either, "[::ffff:192.0.2.77]:1000", &[], &[]);
    assert_eq!(mapped.address.to_string(), STRANGER);
    let nobody = Proxies::default();
    let heard = nobody.client(PROXY.parse().unwrap(), [&b"203.0.113.9"[..]].into_iter(), [].into_iter());
    assert_eq!(heard.address.to_string(), PROXY);
}

#[test]
fn a_long_way_is_not_walked_to_its_end() {
    let hops = |count: usize| vec!["10.0.0.2"; count].join(",");
    let behind = |count: usize| by_x(&[&format!("203.0.113.9,{}", hops(count))]);
    assert_eq!(behind(FORWARDED_HOPS_MAX - 1), "203.0.113.9:0");
    assert_eq!(behind(FORWARDED_HOPS_MAX), "10.0.0.2:0");
    assert_eq!(behind(100_000), "10.0.0.2:0");
    // Empty elements are no hops, and cost as much.
    assert_eq!(by_x(&[&format!("203.0.113.9{}", ",".repeat(100_000))]), PROXY);
}

#[derive(Debug, Clone)]
struct Told {
    address: String,
    trusted: bool,
}

fn hop() -> impl Strategy<Value = Option<Told>> {
    let told = |address: String, trusted| Some(Told { address, trusted });
    prop_oneof![
        6 => any::<u8>().prop_map(move |last| told(format!("10.0.0.{last}"), true)),
        2 => any::<u16>().prop_map(move |last| told(format!("fd00::{last:x}"), true)),
        2 => any::<u8>().prop_map(move |last| told(format!("203.0.113.{last}"), false)),
        1 => Just(None),
    ]
}

proptest! {
    #[test]
    fn every_way_is_walked_as_it_is_told(hops in prop::collection::vec(hop(), 0..12), cut in 0usize..12, v6_brackets: bool) {
        let mut expected = PROXY.to_owned();
        for hop in hops.iter().rev() {
            let Some(told) = hop else { break };
            let address: std::net::IpAddr = told.address.parse().unwrap();
            expected = SocketAddr::new(address, 0).to_string();
            if !told.trusted {
                break;
            }
        }
        let in_x: Vec<String> = hops.iter().map(|hop| match hop {
            Some(told) if v6_brackets && told.address.contains(':') => format!("[{}]", told.address),
            Some(told) => told.address.clone(),
            None => "unknown".to_owned(),
        }).collect();
        let in_standard: Vec<String> = hops.iter().map(|hop| match hop {
            Some(told) if told.address.contains(':') => format!("proto=https;for=\"[{}]\"", told.address),
            Some(told) => format!("for={}", told.address),
            None => "for=_unknown".to_owned(),
        }).collect();
        let cut = cut.min(hops.len());
        let two = |elements: &[String]| [elements[..cut].join(", "), elements[cut..].join(",")];
        let [a, b] = two(&in_x);
        prop_assert_eq!(by_x(&[&a, &b]), expected.clone());
        let [a, b] = two(&in_standard);
        prop_assert_eq!(by_standard(&[&a, &b]), expected);
    }

    #[test]
    fn no_bytes_from_the_left_change_what_the_proxy_says(sent in prop::collection::vec(any::<u8>(), 0..200)) {
        let proxies = proxies(ForwardedBy::Either);
        let peer: SocketAddr = PROXY.parse().unwrap();
        for added in ["203.0.113.9", "for=203.0.113.9", "for=\"203.0.113.9\";proto=https"] {
            let joined = [&sent[..], b", ", added.as_bytes()].concat();
            for lines in [vec![&joined[..]], vec![&sent[..], added.as_bytes()]] {
                let none = || [].into_iter();
                let heard = if added.starts_with("for") {
                    proxies.client(peer, none(), lines.into_iter())
                } else {
                    proxies.client(peer, lines.into_iter(), none())
                };
                prop_assert_eq!(heard.address.to_string(), "203.0.113.9:0");
            }
        }
    }
}
