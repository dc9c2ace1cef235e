//! A database of countries in MaxMind's form, made for a test: the real ones may not be passed on.
//!
//! The form is that of <https://maxmind.github.io/MaxMind-DB/>: a tree of bits, the data that its leaves point to, and
//! behind a marker what is to be known of both.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// Two records of 24 bits a node.
const RECORD_BITS: u16 = 24;
/// Between tree and data.
const SEPARATOR: [u8; 16] = [0; 16];

/// What stands at the end of a branch.
#[derive(Clone, Copy)]
enum Branch {
    Nothing,
    Node(usize),
    /// Where in the data.
    Data(usize),
}

/// The file: for each network (`192.0.2.0/24`, `2001:db8::/32`) the two letters of its country. Later ones do not cut
/// earlier ones into pieces: they must lie apart.
pub fn country_file(networks: &[(&str, &str)]) -> Vec<u8> {
    let mut nodes = vec![[Branch::Nothing; 2]];
    let (mut data, mut known) = (Vec::new(), BTreeMap::new());
    for (network, country) in networks {
        let at = *known.entry(*country).or_insert_with(|| {
            let at = data.len();
            map(&mut data, 1);
            text(&mut data, "country");
            map(&mut data, 1);
            text(&mut data, "iso_code");
            text(&mut data, country);
            at
        });
        let (bits, prefix) = parse(network);
        grow(&mut nodes, bits, prefix, at);
    }
    let mut file = Vec::new();
    let count = nodes.len();
    for node in &nodes {
        for branch in node {
            let record = match *branch {
                Branch::Nothing => count,
                Branch::Node(index) => index,
                Branch::Data(at) => count + SEPARATOR.len() + at,
            };
            file.extend_from_slice(&u32::try_from(record).expect("a small file").to_be_bytes()[1..]);
        }
    }
    file.extend_from_slice(&SEPARATOR);
    file.extend_from_slice(&data);
    file.extend_from_slice(MARKER);
    metadata(&mut file, count);
    file
}

/// The address as one of IPv6, which the tree is of: IPv4 addresses are at its very left.
fn parse(network: &str) -> (u128, u8) {
    let (address, prefix) = network.split_once('/').expect("a network has a length");
    let prefix: u8 = prefix.parse().expect("a length");
    match address.parse().expect("an address") {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), prefix + 96),
        IpAddr::V6(v6) => (Ipv6Addr::to_bits(v6), prefix),
    }
}

fn grow(nodes: &mut Vec<[Branch; 2]>, bits: u128, prefix: u8, data: usize) {
    let mut node = 0;
    for depth in 0..prefix {
        let side = usize::from(bits >> (127 - depth) & 1 == 1);
        if depth + 1 == prefix {
            nodes[node][side] = Branch::Data(data);
            return;
        }
        node = match nodes[node][side] {
            Branch::Node(next) => next,
            Branch::Nothing => {
                nodes.push([Branch::Nothing; 2]);
                let next = nodes.len() - 1;
                nodes[node][side] = Branch::Node(next);
                next
            }
            Branch::Data(_) => panic!("networks lie apart"),
        };
    }
}

fn metadata(file: &mut Vec<u8>, nodes: usize) {
    map(file, 9);
    text(file, "binary_format_major_version");
    number(file, U16, 2);
    text(file, "binary_format_minor_version");
    number(file, U16, 0);
    text(file, "build_epoch");
    number(file, U64, 1_700_000_000);
    text(file, "database_type");
    text(file, "Turnpike-Test-Country");
    text(file, "description");
    map(file, 0);
    text(file, "ip_version");
    number(file, U16, 6);
    text(file, "languages");
    // An array, which is an extended type.
    file.extend_from_slice(&[0, 11 - 7]);
    text(file, "node_count");
    number(file, U32, nodes as u64);
    text(file, "record_size");
    number(file, U16, u64::from(RECORD_BITS));
}

const TEXT: u8 = 2;
const U16: u8 = 5;
const U32: u8 = 6;
const MAP: u8 = 7;
const U64: u8 = 9;

/// Type and size, of which both are small here.
fn control(out: &mut Vec<u8>, kind: u8, size: usize) {
    assert!(size < 29, "a size that would need bytes of its own");
    if kind <= 7 {
        out.push(kind << 5 | size as u8);
    } else {
        out.extend_from_slice(&[size as u8, kind - 7]);
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    control(out, TEXT, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn map(out: &mut Vec<u8>, entries: usize) {
    control(out, MAP, entries);
}

fn number(out: &mut Vec<u8>, kind: u8, number: u64) {
    let bytes = number.to_be_bytes();
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    control(out, kind, bytes.len() - first);
    out.extend_from_slice(&bytes[first..]);
}
