//! The PROXY protocol, version 2: a header in front of a connection by which a balancer says whose it is.
//!
//! Version 1 is refused. It is text, and a request can be made to look like the beginning of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::canonical::canonical;

/// The header with all that balancers add to it. Their additions are a few hundred bytes, and a certificate at most.
pub const PROXY_HEADER_BYTES_MAX: usize = 4096;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and protocol, and the length of the rest.
const FIXED_BYTES: usize = 16;
const V1: &[u8] = b"PROXY ";

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyHeaderError {
    #[error("the connection does not begin with a PROXY header, and must from there")]
    Missing,
    #[error("the connection begins with a PROXY header of version 1; only version 2 is understood")]
    VersionOne,
    #[error("the PROXY header is of version {version}")]
    Version { version: u8 },
    #[error("the PROXY header has the command {command}")]
    Command { command: u8 },
    #[error("the PROXY header is not of a TCP connection: {family:#04x}")]
    Family { family: u8 },
    #[error("the PROXY header announces {bytes} bytes, at most {PROXY_HEADER_BYTES_MAX} are read")]
    TooLong { bytes: usize },
    #[error("the PROXY header is too short for its addresses")]
    Short,
    #[error("the PROXY header has additions that do not fit into it")]
    Additions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyHeader {
    /// It has as many bytes in sum, as far as can be told.
    Incomplete { bytes: usize },
    Complete {
        /// How many bytes it has. What stands behind them is the connection's own.
        bytes: usize,
        /// None: the balancer speaks for itself, as when it looks whether we live, or cannot say for whom.
        client: Option<SocketAddr>,
    },
}

/// Reads the beginning of a connection.
pub fn read_proxy_header(bytes: &[u8]) -> Result<ProxyHeader, ProxyHeaderError> {
    let seen = bytes.len().min(SIGNATURE.len());
    if bytes[..seen] != SIGNATURE[..seen] {
        let seen = bytes.len().min(V1.len());
        return Err(if bytes[..seen] == V1[..seen] {
            ProxyHeaderError::VersionOne
        } else {
            ProxyHeaderError::Missing
        });
    }
    let Some((&fixed, rest)) = bytes.split_first_chunk::<FIXED_BYTES>() else {
        return Ok(ProxyHeader::Incomplete { bytes: FIXED_BYTES });
    };
    let (version, command, family) = (fixed[12] >> 4, fixed[12] & 0xf, fixed[13]);
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if version != 2 {
        return Err(ProxyHeaderError::Version { version });
    }
    if command > 1 {
        return Err(ProxyHeaderError::Command { command });
    }
    let whole = FIXED_BYTES + length;
    if whole > PROXY_HEADER_BYTES_MAX {
        return Err(ProxyHeaderError::TooLong { bytes: whole });
    }
    let Some(rest) = rest.get(..length) else {
        return Ok(ProxyHeader::Incomplete { bytes: whole });
    };
    if command == 0 {
        // LOCAL: whatever else it says is to be ignored.
        return Ok(ProxyHeader::Complete { bytes: whole, client: None });
    }
    let (client, additions) = source(family, rest)?;
    check_additions(additions)?;
    Ok(ProxyHeader::Complete { bytes: whole, client })
}

/// The client's end, and what stands behind the addresses.
fn source(family: u8, rest: &[u8]) -> Result<(Option<SocketAddr>, &[u8]), ProxyHeaderError> {
    let port = |high: u8, low: u8| u16::from_be_bytes([high, low]);
    match family {
        // Of no kind that has addresses: a client that nobody knows.
        0x00 => Ok((None, rest)),
        0x11 => {
            let (ends, rest) = rest.split_first_chunk::<12>().ok_or(ProxyHeaderError::Short)?;
            let [a, b, c, d, _, _, _, _, high, low, _, _] = *ends;
            Ok((Some(client(Ipv4Addr::new(a, b, c, d).into(), port(high, low))), rest))
        }
        0x21 => {
            let (ends, rest) = rest.split_first_chunk::<36>().ok_or(ProxyHeaderError::Short)?;
            let address: [u8; 16] = *ends.first_chunk().expect("there are 36");
            Ok((Some(client(Ipv6Addr::from(address).into(), port(ends[32], ends[33]))), rest))
        }
        // A client on the balancer's own machine.
        0x31 => Ok((None, rest.get(216..).ok_or(ProxyHeaderError::Short)?)),
        family => Err(ProxyHeaderError::Family { family }),
    }
}

fn client(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(canonical(address), port)
}

/// Type, length and value, one behind the other. Nothing of them is used, but a header that is not well made is none.
fn check_additions(mut rest: &[u8]) -> Result<(), ProxyHeaderError> {
    while let Some((&[_, high, low], behind)) = rest.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        rest = behind.get(length..).ok_or(ProxyHeaderError::Additions)?;
    }
    if rest.is_empty() { Ok(()) } else { Err(ProxyHeaderError::Additions) }
}
