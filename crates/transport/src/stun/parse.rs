//! Reading a STUN message in place. Every length comes from the network; nothing is copied or allocated.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use aws_lc_rs::{constant_time, hmac};

use super::crc::crc32;
use super::{HEADER_BYTES, MAGIC_COOKIE, TransactionId, attribute};

/// The four classes of STUN messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Request,
    Indication,
    Success,
    Error,
}

/// The datagram is not a STUN message, or its FINGERPRINT is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a well-formed STUN message")]
pub struct Malformed;

/// Unknown comprehension-required attributes that are named in a 420; more are not listed.
pub const UNKNOWN_LISTED_MAX: usize = 4;

/// A parsed message. Attributes behind MESSAGE-INTEGRITY are ignored, as RFC 8489 14.5 demands; FINGERPRINT, if
/// there is one, was right. Nothing is authenticated until [`Message::verify`] says so.
#[derive(Debug, Clone, Copy)]
pub struct Message<'d> {
    datagram: &'d [u8],
    class: Class,
    method: u16,
    integrity_at: Option<usize>,
    username: Option<&'d str>,
    priority: Option<u32>,
    use_candidate: bool,
    controlling: Option<u64>,
    controlled: Option<u64>,
    mapped: Option<SocketAddr>,
    error: Option<u16>,
    unknown: [u16; UNKNOWN_LISTED_MAX],
    unknown_listed: usize,
}

impl<'d> Message<'d> {
    /// Parses a whole datagram.
    pub fn parse(datagram: &'d [u8]) -> Result<Self, Malformed> {
        let header = datagram.get(..HEADER_BYTES).ok_or(Malformed)?;
        let kind = u16_at(header, 0);
        let length = usize::from(u16_at(header, 2));
        if kind & 0xc000 != 0
            || u32_at(header, 4) != MAGIC_COOKIE
            || length % 4 != 0
            || datagram.len() != HEADER_BYTES + length
        {
            return Err(Malformed);
        }
        let class = match kind & 0x0110 {
            0x0000 => Class::Request,
            0x0010 => Class::Indication,
            0x0100 => Class::Success,
            _ => Class::Error,
        };
        let method = kind & 0x000f | (kind & 0x00e0) >> 1 | (kind & 0x3e00) >> 2;
        let mut message = Self {
            datagram,
            class,
            method,
            integrity_at: None,
            username: None,
            priority: None,
            use_candidate: false,
            controlling: None,
            controlled: None,
            mapped: None,
            error: None,
            unknown: [0; UNKNOWN_LISTED_MAX],
            unknown_listed: 0,
        };
        let mut at = HEADER_BYTES;
        while at < datagram.len() {
            // The length is a multiple of four and so is every step, so four bytes are there.
            let kind = u16_at(datagram, at);
            let length = usize::from(u16_at(datagram, at + 2));
            let value = datagram.get(at + 4..at + 4 + length).ok_or(Malformed)?;
            if kind == attribute::FINGERPRINT {
                let last = at + 8 == datagram.len();
                if !last || length != 4 || u32_at(value, 0) != crc32(&datagram[..at]) ^ 0x5354_554e {
                    return Err(Malformed);
                }
            } else if message.integrity_at.is_none() {
                message.take(at, kind, value)?;
            }
            at += 4 + length.next_multiple_of(4);
        }
        // A padded attribute may not reach beyond the message.
        if at == datagram.len() { Ok(message) } else { Err(Malformed) }
    }

    fn take(&mut self, at: usize, kind: u16, value: &'d [u8]) -> Result<(), Malformed> {
        match (kind, value.len()) {
            (attribute::USERNAME, 1..=513) => {
                self.username = Some(str::from_utf8(value).map_err(|_| Malformed)?);
            }
            (attribute::MESSAGE_INTEGRITY, 20) => self.integrity_at = Some(at),
            (attribute::PRIORITY, 4) => self.priority = Some(u32_at(value, 0)),
            (attribute::USE_CANDIDATE, 0) => self.use_candidate = true,
            (attribute::ICE_CONTROLLING, 8) => self.controlling = Some(u64_at(value)),
            (attribute::ICE_CONTROLLED, 8) => self.controlled = Some(u64_at(value)),
            (attribute::XOR_MAPPED_ADDRESS, _) => self.mapped = Some(self.xor_address(value)?),
            (attribute::ERROR_CODE, 4..) => {
                self.error = Some(u16::from(value[2] & 7) * 100 + u16::from(value[3] % 100));
            }
            (
                attribute::USERNAME
                | attribute::MESSAGE_INTEGRITY
                | attribute::PRIORITY
                | attribute::USE_CANDIDATE
                | attribute::ICE_CONTROLLING
                | attribute::ICE_CONTROLLED
                | attribute::ERROR_CODE,
                _,
            ) => return Err(Malformed),
            // Known, and of no use between peers.
            (
                attribute::MAPPED_ADDRESS
                | attribute::MESSAGE_INTEGRITY_SHA256
                | attribute::UNKNOWN_ATTRIBUTES,
                _,
            ) => {}
            (unknown, _) if unknown < attribute::COMPREHENSION_OPTIONAL => {
                if let Some(slot) = self.unknown.get_mut(self.unknown_listed) {
                    *slot = unknown;
                    self.unknown_listed += 1;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn xor_address(&self, value: &[u8]) -> Result<SocketAddr, Malformed> {
        let cookie = MAGIC_COOKIE.to_be_bytes();
        let (family, port) = match value {
            [_, family, high, low, ..] => (*family, u16::from_be_bytes([high ^ cookie[0], low ^ cookie[1]])),
            _ => return Err(Malformed),
        };
        // The mask of an address is the cookie followed by the transaction id: bytes 4 to 20 of the header.
        let mask = &self.datagram[4..HEADER_BYTES];
        let ip = match (family, value.len()) {
            (1, 8) => {
                let mut octets = [0; 4];
                octets.iter_mut().zip(&value[4..]).zip(mask).for_each(|((to, from), mask)| *to = from ^ mask);
                IpAddr::V4(Ipv4Addr::from(octets))
            }
            (2, 20) => {
                let mut octets = [0; 16];
                octets.iter_mut().zip(&value[4..]).zip(mask).for_each(|((to, from), mask)| *to = from ^ mask);
                IpAddr::V6(Ipv6Addr::from(octets))
            }
            _ => return Err(Malformed),
        };
        Ok(SocketAddr::new(ip, port))
    }

    /// Whether MESSAGE-INTEGRITY is there and was made with `pwd` (short-term credentials: the password is the
    /// key). FINGERPRINT and all else behind it does not count.
    pub fn verify(&self, pwd: &str) -> bool {
        let Some(at) = self.integrity_at else { return false };
        let mut mac =
            hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, pwd.as_bytes()));
        // The length that was hashed ends with MESSAGE-INTEGRITY itself.
        let length = (at + 24 - HEADER_BYTES) as u16;
        mac.update(&self.datagram[..2]);
        mac.update(&length.to_be_bytes());
        mac.update(&self.datagram[4..at]);
        constant_time::verify_slices_are_equal(mac.sign().as_ref(), &self.datagram[at + 4..at + 24]).is_ok()
    }

    pub fn class(&self) -> Class {
        self.class
    }

    pub fn method(&self) -> u16 {
        self.method
    }

    pub fn transaction(&self) -> TransactionId {
        let mut id = [0; 12];
        id.copy_from_slice(&self.datagram[8..HEADER_BYTES]);
        id
    }

    pub fn username(&self) -> Option<&'d str> {
        self.username
    }

    pub fn priority(&self) -> Option<u32> {
        self.priority
    }

    pub fn use_candidate(&self) -> bool {
        self.use_candidate
    }

    /// The tie-breaker of a sender that believes to be controlling.
    pub fn controlling(&self) -> Option<u64> {
        self.controlling
    }

    /// The tie-breaker of a sender that believes to be controlled.
    pub fn controlled(&self) -> Option<u64> {
        self.controlled
    }

    /// Where the other side saw us (XOR-MAPPED-ADDRESS).
    pub fn mapped(&self) -> Option<SocketAddr> {
        self.mapped
    }

    pub fn error(&self) -> Option<u16> {
        self.error
    }

    /// Comprehension-required attributes that we do not know, at most [`UNKNOWN_LISTED_MAX`] of them.
    pub fn unknown(&self) -> &[u16] {
        &self.unknown[..self.unknown_listed]
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8]) -> u64 {
    u64::from(u32_at(bytes, 0)) << 32 | u64::from(u32_at(bytes, 4))
}
