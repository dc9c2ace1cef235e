//! One form for each address, and the key that its owner is counted under.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address without its disguises: an IPv6 address that only carries an IPv4 one is that IPv4 address.
///
/// Whoever has an IPv4 address has all the others that carry it as well, and would be somebody new with each. Of the forms
/// other than the mapped one, which only this machine's own sockets make, what they carry must be an address of the public
/// Internet: nobody becomes a neighbour by writing a private address into an IPv6 one.
pub fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match carried(v6) {
            Some(v4) => IpAddr::V4(v4),
            None => address,
        },
    }
}

fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = address.to_bits();
    let low = Ipv4Addr::from_bits(bits as u32);
    let found = match address.segments() {
        // Mapped (RFC 4291 2.5.5.2): what a dual-stack socket calls an IPv4 peer.
        [0, 0, 0, 0, 0, 0xffff, _, _] => return Some(low),
        // Compatible (RFC 4291 2.5.5.1), but not `::` and `::1`, whose rest is not public; translated (RFC 2765 2.1).
        // NAT64 (RFC 6052 2.1).
        [0, 0, 0, 0, 0 | 0xffff, 0, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => low,
        // 6to4 (RFC 3056 2): a whole /48 for each IPv4 address.
        [0x2002, high, next, ..] => Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(next)),
        // Teredo (RFC 4380 4): the client behind its server's prefix, inverted.
        [0x2001, 0, ..] => Ipv4Addr::from_bits(!(bits as u32)),
        _ => return None,
    };
    is_public(found).then_some(found)
}

/// Whether the address is one of the public Internet (RFC 6890).
fn is_public(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0
        || address.is_loopback()
        || address.is_documentation()
        || is_private(address)
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && b & 0xfe == 18)
        || a >= 224)
}

/// Whether it is one that many networks use within themselves, the one of a provider among them (RFC 6598).
pub(super) fn is_private(address: Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    address.is_private() || address.is_link_local() || (a == 100 && b & 0xc0 == 64)
}

/// What one owner of addresses is counted under: an IPv4 address, or the 2^64 IPv6 addresses that one customer has at least.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressKey(Key);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Key {
    V4(u32),
    /// The upper half.
    V6(u64),
}

impl AddressKey {
    pub fn of(address: IpAddr) -> Self {
        Self(match canonical(address) {
            IpAddr::V4(v4) => Key::V4(v4.to_bits()),
            IpAddr::V6(v6) => Key::V6((v6.to_bits() >> 64) as u64),
        })
    }

    /// The first address of those that it stands for.
    pub fn address(self) -> IpAddr {
        match self.0 {
            Key::V4(bits) => IpAddr::V4(Ipv4Addr::from_bits(bits)),
            Key::V6(high) => IpAddr::V6(Ipv6Addr::from_bits(u128::from(high) << 64)),
        }
    }

    /// How many bits of the address count: 32 or 64.
    pub fn prefix(self) -> u8 {
        match self.0 {
            Key::V4(_) => 32,
            Key::V6(_) => 64,
        }
    }
}

impl From<IpAddr> for AddressKey {
    fn from(address: IpAddr) -> Self {
        Self::of(address)
    }
}

/// `192.0.2.1`, `2001:db8::/64`.
impl fmt::Display for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address();
        match self.0 {
            Key::V4(_) => write!(f, "{address}"),
            Key::V6(_) => write!(f, "{address}/64"),
        }
    }
}

impl fmt::Debug for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
