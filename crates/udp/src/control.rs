//! Control messages beside a datagram: which of our addresses it came to or shall leave from, and how the kernel
//! shall cut it or has joined it. Written and read as bytes in the form of the kernel's ABI (`struct cmsghdr` with a
//! length of machine size, each message aligned to that size).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use crate::address::{Family, mapped};

const ALIGN: usize = size_of::<usize>();
/// Length, level and kind; a multiple of the alignment on 32 and 64 bits alike.
const HEADER_BYTES: usize = size_of::<usize>() + 8;
/// Enough for an address of IPv6 (20 bytes), a segment's size and a time.
pub(crate) const CONTROL_BYTES: usize = 104;

/// Room for the control messages of one datagram, aligned as the kernel's structs are.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(crate) struct Space(pub(crate) [u8; CONTROL_BYTES]);

/// What the kernel said about a received datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) local: Option<IpAddr>,
    /// Several datagrams of this many bytes (the last may be shorter) that were joined.
    pub(crate) segment: Option<usize>,
    /// When it came, by the system's clock.
    pub(crate) time: Option<SystemTime>,
}

/// Writes what goes with a message and gives its length; zero if there is nothing to say.
pub(crate) fn write(space: &mut Space, segment: Option<u16>, from: Option<IpAddr>, family: Family) -> usize {
    let mut at = 0;
    if let Some(segment) = segment {
        at = put(space, at, libc::SOL_UDP, libc::UDP_SEGMENT, &segment.to_ne_bytes());
    }
    match (from, family) {
        (Some(IpAddr::V4(from)), Family::V4) => {
            // in_pktinfo: the interface is the route's choice, then the source, then a field only read by us.
            let mut info = [0; 12];
            info[4..8].copy_from_slice(&from.octets());
            put(space, at, libc::IPPROTO_IP, libc::IP_PKTINFO, &info)
        }
        (Some(from), Family::V6) => {
            // in6_pktinfo: the source, then the interface.
            let mut info = [0; 20];
            info[..16].copy_from_slice(&mapped(from).octets());
            put(space, at, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info)
        }
        (Some(IpAddr::V6(_)), Family::V4) | (None, _) => at,
    }
}

fn put(space: &mut Space, at: usize, level: i32, kind: i32, data: &[u8]) -> usize {
    let len = HEADER_BYTES + data.len();
    let message = &mut space.0[at..at + len.next_multiple_of(ALIGN)];
    message.fill(0);
    message[..ALIGN].copy_from_slice(&len.to_ne_bytes());
    message[ALIGN..ALIGN + 4].copy_from_slice(&level.to_ne_bytes());
    message[ALIGN + 4..HEADER_BYTES].copy_from_slice(&kind.to_ne_bytes());
    message[HEADER_BYTES..len].copy_from_slice(data);
    at + message.len()
}

/// Reads what the kernel wrote. Kinds that are not asked for are passed over.
pub(crate) fn read(mut bytes: &[u8]) -> Arrival {
    let mut arrival = Arrival::default();
    while let Some((level, kind, data, rest)) = split(bytes) {
        bytes = rest;
        if level == libc::IPPROTO_IP && kind == libc::IP_PKTINFO {
            // The second field is the address of ours that answers to the one the datagram was sent to.
            let octets = data.get(4..8).and_then(|octets| <[u8; 4]>::try_from(octets).ok());
            arrival.local = octets.map(|octets| Ipv4Addr::from(octets).into());
        } else if level == libc::IPPROTO_IPV6 && kind == libc::IPV6_PKTINFO {
            let octets = data.first_chunk().copied().map(|octets: [u8; 16]| Ipv6Addr::from(octets));
            arrival.local = octets.map(|ip| IpAddr::V6(ip).to_canonical());
        } else if level == libc::SOL_UDP && kind == libc::UDP_GRO {
            let segment = data.first_chunk().copied().map(i32::from_ne_bytes);
            arrival.segment =
                segment.and_then(|segment| usize::try_from(segment).ok()).filter(|&bytes| bytes > 0);
        } else if level == libc::SOL_SOCKET && kind == libc::SCM_TIMESTAMPNS {
            arrival.time = time(data);
        }
    }
    arrival
}

/// A `timespec`: two machine words.
fn time(data: &[u8]) -> Option<SystemTime> {
    let seconds = isize::from_ne_bytes(*data.first_chunk()?);
    let nanos = isize::from_ne_bytes(*data.get(ALIGN..)?.first_chunk()?);
    let since = Duration::new(u64::try_from(seconds).ok()?, u32::try_from(nanos).ok()?);
    SystemTime::UNIX_EPOCH.checked_add(since)
}

fn split(bytes: &[u8]) -> Option<(i32, i32, &[u8], &[u8])> {
    let len = usize::from_ne_bytes(*bytes.first_chunk()?);
    let level = i32::from_ne_bytes(bytes.get(ALIGN..ALIGN + 4)?.try_into().ok()?);
    let kind = i32::from_ne_bytes(bytes.get(ALIGN + 4..HEADER_BYTES)?.try_into().ok()?);
    let data = bytes.get(HEADER_BYTES..len)?;
    let next = len.checked_next_multiple_of(ALIGN)?;
    Some((level, kind, data, bytes.get(next..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(from: &str, family: Family) -> Arrival {
        let mut space = Space([0xff; CONTROL_BYTES]);
        let len = write(&mut space, Some(1_200), Some(from.parse().unwrap()), family);
        read(&space.0[..len])
    }

    #[test]
    fn addresses_are_read_as_they_were_written() {
        for (from, family) in
            [("192.0.2.7", Family::V4), ("192.0.2.7", Family::V6), ("2001:db8::7", Family::V6)]
        {
            assert_eq!(round(from, family).local, Some(from.parse().unwrap()), "{from} {family:?}");
        }
    }

    #[test]
    fn nothing_to_say_is_nothing() {
        let mut space = Space([0; CONTROL_BYTES]);
        assert_eq!(write(&mut space, None, None, Family::V6), 0);
        assert_eq!(read(&[]), Arrival::default());
    }

    #[test]
    fn the_form_is_the_kernels() {
        // CMSG_SPACE of two bytes, and of them and 20.
        let mut space = Space([0; CONTROL_BYTES]);
        assert_eq!(write(&mut space, Some(1_200), None, Family::V6), 24);
        assert_eq!(space.0[..8], 18_usize.to_ne_bytes());
        assert_eq!(write(&mut space, Some(1_200), Some(Ipv6Addr::LOCALHOST.into()), Family::V6), 64);
    }

    #[test]
    fn lengths_that_cannot_be_end_the_reading() {
        let mut space = Space([0; CONTROL_BYTES]);
        let len = write(&mut space, Some(1_200), Some(Ipv4Addr::LOCALHOST.into()), Family::V4);
        for wrong in [0, 1, HEADER_BYTES - 1, 1_000, usize::MAX, usize::MAX - 3] {
            space.0[24..32].copy_from_slice(&wrong.to_ne_bytes());
            assert_eq!(read(&space.0[..len]), Arrival::default(), "{wrong}");
        }
    }
}
