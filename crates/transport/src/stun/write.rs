//! Writing a STUN message. What is written is ours, so nothing here can fail.

use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::hmac;

use super::crc::crc32;
use super::{BINDING, Class, HEADER_BYTES, MAGIC_COOKIE, TransactionId, attribute};

/// Builds one binding message, attribute by attribute, and seals it with [`Writer::finish`].
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub fn new(class: Class, transaction: &TransactionId) -> Self {
        let class: u16 = match class {
            Class::Request => 0x0000,
            Class::Indication => 0x0010,
            Class::Success => 0x0100,
            Class::Error => 0x0110,
        };
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(&(BINDING | class).to_be_bytes());
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&MAGIC_COOKIE.to_be_bytes());
        bytes.extend_from_slice(transaction);
        Self { bytes }
    }

    /// `receiver:sender`, the two ufrags.
    pub fn username(self, receiver: &str, sender: &str) -> Self {
        let text = [receiver, ":", sender].concat();
        self.attribute(attribute::USERNAME, text.as_bytes())
    }

    pub fn priority(self, priority: u32) -> Self {
        self.attribute(attribute::PRIORITY, &priority.to_be_bytes())
    }

    pub fn use_candidate(self) -> Self {
        self.attribute(attribute::USE_CANDIDATE, &[])
    }

    pub fn controlling(self, tie_breaker: u64) -> Self {
        self.attribute(attribute::ICE_CONTROLLING, &tie_breaker.to_be_bytes())
    }

    pub fn controlled(self, tie_breaker: u64) -> Self {
        self.attribute(attribute::ICE_CONTROLLED, &tie_breaker.to_be_bytes())
    }

    /// Where we saw the other side (XOR-MAPPED-ADDRESS).
    pub fn mapped(self, address: SocketAddr) -> Self {
        let mut value = Vec::with_capacity(20);
        let port = address.port() ^ (MAGIC_COOKIE >> 16) as u16;
        // Of a path that is written as IPv6, the other side knows the address that it has.
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => {
                value.extend_from_slice(&[0, 1]);
                value.extend_from_slice(&port.to_be_bytes());
                value.extend_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                value.extend_from_slice(&[0, 2]);
                value.extend_from_slice(&port.to_be_bytes());
                value.extend_from_slice(&ip.octets());
            }
        }
        value[4..].iter_mut().zip(&self.bytes[4..HEADER_BYTES]).for_each(|(to, mask)| *to ^= mask);
        self.attribute(attribute::XOR_MAPPED_ADDRESS, &value)
    }

    pub fn error(self, code: u16, reason: &str) -> Self {
        let mut value = vec![0, 0, (code / 100) as u8, (code % 100) as u8];
        value.extend_from_slice(reason.as_bytes());
        self.attribute(attribute::ERROR_CODE, &value)
    }

    pub fn unknown_attributes(self, unknown: &[u16]) -> Self {
        let value: Vec<u8> = unknown.iter().flat_map(|kind| kind.to_be_bytes()).collect();
        self.attribute(attribute::UNKNOWN_ATTRIBUTES, &value)
    }

    /// Any attribute; padded with zeros to four bytes.
    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        self.bytes.extend_from_slice(&kind.to_be_bytes());
        self.bytes.extend_from_slice(&(value.len() as u16).to_be_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    /// Adds MESSAGE-INTEGRITY by `pwd` and FINGERPRINT.
    pub fn finish(mut self, pwd: &str) -> Vec<u8> {
        self.length(24);
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, pwd.as_bytes());
        let tag = hmac::sign(&key, &self.bytes);
        let mut message = self.attribute(attribute::MESSAGE_INTEGRITY, tag.as_ref());
        message.length(8);
        let crc = crc32(&message.bytes) ^ 0x5354_554e;
        message.attribute(attribute::FINGERPRINT, &crc.to_be_bytes()).bytes
    }

    /// Writes the length that the message has once `ahead` more bytes stand in it.
    fn length(&mut self, ahead: usize) {
        let length = (self.bytes.len() - HEADER_BYTES + ahead) as u16;
        self.bytes[2..4].copy_from_slice(&length.to_be_bytes());
    }
}
