//! A network as an operator writes it: `10.0.0.0/8`, `2001:db8::/32`, or one address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::canonical::{AddressKey, canonical};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    #[error("`{text}` is no address and no network such as `10.0.0.0/8` or `2001:db8::/32`")]
    NoAddress { text: String },
    #[error("`{text}` has no length of 0 to {max} bits behind the `/`")]
    Length { text: String, max: u8 },
    #[error("`{text}` has bits set behind its length; the network is `{meant}`")]
    HostBits { text: String, meant: String },
    #[error(
        "`{text}` is in a range of IPv6 addresses that stand for the IPv4 addresses in them; name those instead"
    )]
    Embedding { text: String },
}

/// Of one family: `0.0.0.0/0` holds no IPv6 address, and `::/0` no IPv4 one, however it is written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    first: IpAddr,
    prefix: u8,
}

/// Written as a network, these would never hold an address: see [`canonical`]. Bits of the address, and how many count.
const EMBEDDING: [(u128, u8); 5] = [
    // Compatible, translated, NAT64, 6to4, Teredo. Of the mapped ones it is known which are meant.
    (0, 96),
    (0xffff << 48, 96),
    (0x0064_ff9b << 96, 96),
    (0x2002 << 112, 16),
    (0x2001_0000 << 96, 32),
];
const MAPPED: u128 = 0xffff << 32;

impl Network {
    /// The network of this length that the address is in.
    pub fn around(address: IpAddr, prefix: u8) -> Self {
        let address = canonical(address);
        match address {
            IpAddr::V4(v4) => {
                let prefix = prefix.min(32);
                Self { first: Ipv4Addr::from_bits(v4.to_bits() & mask_v4(prefix)).into(), prefix }
            }
            IpAddr::V6(v6) => {
                let prefix = prefix.min(128);
                Self { first: Ipv6Addr::from_bits(v6.to_bits() & mask_v6(prefix)).into(), prefix }
            }
        }
    }

    /// The address alone.
    pub fn single(address: IpAddr) -> Self {
        Self::around(address, 128)
    }

    pub fn first(self) -> IpAddr {
        self.first
    }

    pub fn last(self) -> IpAddr {
        match self.first {
            IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() | !mask_v4(self.prefix)).into(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() | !mask_v6(self.prefix)).into(),
        }
    }

    /// How many bits of an address count.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    pub fn contains(self, address: IpAddr) -> bool {
        match (self.first, canonical(address)) {
            (IpAddr::V4(first), IpAddr::V4(v4)) => v4.to_bits() & mask_v4(self.prefix) == first.to_bits(),
            (IpAddr::V6(first), IpAddr::V6(v6)) => v6.to_bits() & mask_v6(self.prefix) == first.to_bits(),
            _ => false,
        }
    }
}

/// What one owner is counted under, as a network.
impl From<AddressKey> for Network {
    fn from(key: AddressKey) -> Self {
        Self::around(key.address(), key.prefix())
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let text = text.trim();
        let no_address = || NetworkError::NoAddress { text: shortened(text) };
        let Some((address, length)) = text.split_once('/') else {
            let address: IpAddr = text.parse().map_err(|_| no_address())?;
            return Ok(Self::single(address));
        };
        let address: IpAddr = address.parse().map_err(|_| no_address())?;
        let max = if address.is_ipv4() { 32 } else { 128 };
        // Digits alone: `parse` would take a sign as well.
        let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = length.parse::<u8>().ok().filter(|prefix| digits && *prefix <= max);
        let prefix = prefix.ok_or_else(|| NetworkError::Length { text: shortened(text), max })?;
        let network = match address {
            IpAddr::V4(_) => Self::around(address, prefix),
            IpAddr::V6(v6) => Self::of_v6(v6, prefix).ok_or(NetworkError::Embedding { text: text.into() })?,
        };
        if network.first != canonical(address) {
            return Err(NetworkError::HostBits { text: text.into(), meant: network.to_string() });
        }
        Ok(network)
    }
}

impl Network {
    /// None: its addresses stand for others.
    fn of_v6(address: Ipv6Addr, prefix: u8) -> Option<Self> {
        let bits = address.to_bits();
        if prefix >= 96 && bits & mask_v6(96) == MAPPED {
            let v4 = Ipv4Addr::from_bits(bits as u32);
            return Some(Self::around(v4.into(), prefix - 96));
        }
        if prefix == 128 {
            return Some(Self::single(address.into()));
        }
        let within = |(range, length): (u128, u8)| prefix >= length && bits & mask_v6(length) == range;
        if EMBEDDING.into_iter().any(within) {
            return None;
        }
        Some(Self { first: Ipv6Addr::from_bits(bits & mask_v6(prefix)).into(), prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = if self.first.is_ipv4() { 32 } else { 128 };
        if self.prefix == whole {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}/{}", self.first, self.prefix)
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

pub(super) fn mask_v4(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

pub(super) fn mask_v6(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

/// What stands in an error is not as long as somebody likes.
fn shortened(text: &str) -> String {
    const CHARS_MAX: usize = 64;
    text.chars().take(CHARS_MAX).collect()
}
