//! A socket address in the form in which the kernel reads and writes it: `sockaddr_in` and `sockaddr_in6` of Linux,
//! as bytes. That form is part of the kernel's ABI, so it can be made and read without unsafe code.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Room for the larger of the two forms.
pub(crate) const ADDRESS_BYTES: usize = 28;
const V4_BYTES: usize = 16;

/// Which addresses a socket takes. One of IPv6 reaches IPv4 by mapped addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) fn of(addr: SocketAddr) -> Self {
        if addr.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

#[repr(C, align(4))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    bytes: [u8; ADDRESS_BYTES],
    len: u32,
}

impl Address {
    /// The address as a socket of this family must be given it.
    pub(crate) fn new(addr: SocketAddr, family: Family) -> Self {
        match (addr, family) {
            (SocketAddr::V4(addr), Family::V4) => Self::v4(addr),
            (SocketAddr::V4(addr), Family::V6) => {
                Self::v6(SocketAddrV6::new(addr.ip().to_ipv6_mapped(), addr.port(), 0, 0))
            }
            // For a socket of IPv4 that is an address of another family: the kernel refuses that one datagram.
            (SocketAddr::V6(addr), _) => Self::v6(addr),
        }
    }

    fn v4(addr: SocketAddrV4) -> Self {
        let mut bytes = [0; ADDRESS_BYTES];
        bytes[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
        bytes[2..4].copy_from_slice(&addr.port().to_be_bytes());
        bytes[4..8].copy_from_slice(&addr.ip().octets());
        Self { bytes, len: V4_BYTES as u32 }
    }

    fn v6(addr: SocketAddrV6) -> Self {
        let mut bytes = [0; ADDRESS_BYTES];
        bytes[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
        bytes[2..4].copy_from_slice(&addr.port().to_be_bytes());
        bytes[8..24].copy_from_slice(&addr.ip().octets());
        bytes[24..28].copy_from_slice(&addr.scope_id().to_ne_bytes());
        Self { bytes, len: ADDRESS_BYTES as u32 }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }
}

/// What the kernel wrote as a sender's address. Mapped addresses of IPv4 come out as IPv4, so that a peer has one
/// address whatever the socket; `None` for other families and cut-off forms.
pub(crate) fn read(bytes: &[u8]) -> Option<SocketAddr> {
    let family = i32::from(u16::from_ne_bytes(bytes.first_chunk().copied()?));
    let port = u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?);
    if family == libc::AF_INET {
        let octets: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
        Some(SocketAddrV4::new(Ipv4Addr::from(octets), port).into())
    } else if family == libc::AF_INET6 {
        let octets: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
        let scope = u32::from_ne_bytes(bytes.get(24..28)?.try_into().ok()?);
        let ip = Ipv6Addr::from(octets);
        Some(match ip.to_ipv4_mapped() {
            Some(ip) => SocketAddrV4::new(ip, port).into(),
            None => SocketAddrV6::new(ip, port, 0, scope).into(),
        })
    } else {
        None
    }
}

/// The address alone, in the form of IPv6.
pub(crate) fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for text in ["192.0.2.7:3020", "[2001:db8::7]:65535", "[fe80::1%3]:9"] {
            let addr: SocketAddr = text.parse().unwrap();
            assert_eq!(read(Address::new(addr, Family::of(addr)).as_bytes()), Some(addr));
        }
    }

    #[test]
    fn v4_over_a_socket_of_v6_is_mapped_and_comes_back_as_v4() {
        let addr: SocketAddr = "192.0.2.7:3020".parse().unwrap();
        let address = Address::new(addr, Family::V6);
        assert_eq!(address.as_bytes().len(), ADDRESS_BYTES);
        assert_eq!(read(address.as_bytes()), Some(addr));
    }

    #[test]
    fn the_form_is_the_standard_librarys() {
        // socket2 makes the same from the C structs.
        for text in ["192.0.2.7:3020", "[2001:db8::7]:3020", "[fe80::1%3]:9"] {
            let addr: SocketAddr = text.parse().unwrap();
            let theirs = socket2::SockAddr::from(addr);
            assert_eq!(Address::new(addr, Family::of(addr)).as_bytes().len(), theirs.len() as usize);
            assert_eq!(theirs.as_socket(), read(Address::new(addr, Family::of(addr)).as_bytes()));
        }
    }

    #[test]
    fn cut_off_forms_are_none() {
        let whole = Address::new("[2001:db8::7]:3020".parse().unwrap(), Family::V6);
        for len in 0..ADDRESS_BYTES {
            assert_eq!(read(&whole.as_bytes()[..len]), None);
        }
    }
}
