//! SRTP and SRTCP in place: sealing what is sent, opening what comes (RFC 3711, RFC 7714).
//!
//! It must not know where keys and packets come from, nor what a payload means. Three protection profiles:
//! AES-GCM with 128 or 256 bits, and AES-CM with HMAC-SHA1-80 for peers that have nothing better.

mod cipher;
mod counter;
mod derive;
mod open;
mod profile;
mod seal;
mod window;

pub use open::{OpenError, Opener};
pub use profile::{Keys, Profile};
pub use seal::{SealError, Sealer};

/// Room that a caller leaves behind a packet for the longest tag and the SRTCP index.
pub const OVERHEAD_BYTES_MAX: usize = 20;

/// Where the payload of an RTP packet begins: behind fixed header, CSRCs and extension. `None` if `packet` is no
/// RTP packet of version 2 that holds its own header.
fn rtp_header_len(packet: &[u8]) -> Option<usize> {
    let first = *packet.first()?;
    if first >> 6 != 2 || packet.len() < 12 {
        return None;
    }
    let mut len = 12 + usize::from(first & 0x0f) * 4;
    if first & 0x10 != 0 {
        let words = packet.get(len + 2..len + 4)?;
        len += 4 + usize::from(u16::from_be_bytes([words[0], words[1]])) * 4;
    }
    (len <= packet.len()).then_some(len)
}

fn ssrc_at(packet: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]])
}
