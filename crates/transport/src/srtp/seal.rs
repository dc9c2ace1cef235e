//! Sealing what we send.

use std::fmt;

use aws_lc_rs::error::Unspecified;

use super::cipher::{Cipher, Of, gcm_seal, nonce};
use super::counter::{NoIndex, Streams};
use super::profile::Keys;
use super::window::Stale;
use super::{rtp_header_len, ssrc_at};

/// The keys of the direction towards the peer.
///
/// The caller keeps the following, because a key and an index must never protect two contents (with AES-GCM that
/// gives the authentication key away):
/// - A sequence number of an SSRC is sealed once. What is sent again goes as RTX, with an SSRC and sequence numbers
///   of its own; for a peer without RTX the sealed bytes are kept and sent again as they are. A second sealing is
///   refused with [`SealError::Repeated`].
/// - Sequence numbers of an SSRC move by less than 32,768 between two sealings, and never jump backwards by more than
///   the window (960); what is older is refused with [`SealError::Old`].
/// - A stream begins with a sequence number below 32,768, so that the peer finds the roll-over counter even if the
///   first packets are lost.
pub struct Sealer {
    rtp: Cipher,
    rtcp: Cipher,
    streams: Streams,
    /// One index for the RTCP of all our SSRCs: each of them sees it rise, which is all that is asked for.
    rtcp_index: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("not an RTP or RTCP packet")]
    Malformed,
    #[error("no room behind the packet for its tag")]
    NoRoom,
    #[error("this sequence number has been sealed already")]
    Repeated,
    #[error("this sequence number is too far behind its stream")]
    Old,
    #[error("too many SSRCs are sent already")]
    TooManyStreams,
    #[error("the keys are used up")]
    Exhausted,
    #[error("not connected")]
    NotConnected,
}

impl Sealer {
    /// `ssrcs_max` bounds how many streams can be sent.
    pub fn new(keys: &Keys<'_>, ssrcs_max: usize) -> Result<Self, Unspecified> {
        Ok(Self {
            rtp: Cipher::new(keys, Of::Rtp)?,
            rtcp: Cipher::new(keys, Of::Rtcp)?,
            streams: Streams::new(ssrcs_max),
            rtcp_index: 0,
        })
    }

    /// Seals the RTP packet in the first `len` bytes; its tag is put behind it. Gives the length of the result.
    pub fn seal_rtp(&mut self, packet: &mut [u8], len: usize) -> Result<usize, SealError> {
        let sealed = len + self.rtp.tag_len();
        let header = packet.get(..len).and_then(rtp_header_len).ok_or(SealError::Malformed)?;
        let packet = packet.get_mut(..sealed).ok_or(SealError::NoRoom)?;
        let ssrc = ssrc_at(packet, 8);
        let slot = self.streams.extend(ssrc, u16::from_be_bytes([packet[2], packet[3]]))?;
        let (text, tag) = packet.split_at_mut(len);
        match &self.rtp {
            Cipher::Gcm { key, salt } => {
                let (header, payload) = text.split_at_mut(header);
                let made = gcm_seal(key, nonce(salt, ssrc, slot.index), header, payload)?;
                tag.copy_from_slice(made.as_ref());
            }
            Cipher::Cm(cm) => {
                cm.crypt(ssrc, slot.index, &mut text[header..])?;
                tag.copy_from_slice(&cm.tag(text, Some((slot.index >> 16) as u32)));
            }
        }
        self.streams.mark(slot);
        Ok(sealed)
    }

    /// Seals the RTCP compound in the first `len` bytes; tag and index are put behind it. Gives the length of the
    /// result.
    pub fn seal_rtcp(&mut self, packet: &mut [u8], len: usize) -> Result<usize, SealError> {
        if len < 8 || packet.len() < len || packet[0] >> 6 != 2 {
            return Err(SealError::Malformed);
        }
        let sealed = len + self.rtcp.tag_len() + 4;
        let packet = packet.get_mut(..sealed).ok_or(SealError::NoRoom)?;
        let index = self.rtcp_index;
        if index >> 31 != 0 {
            return Err(SealError::Exhausted);
        }
        let ssrc = ssrc_at(packet, 4);
        // The first bit says that the packet is encrypted.
        let word = (index | 1 << 31).to_be_bytes();
        match &self.rtcp {
            Cipher::Gcm { key, salt } => {
                let mut aad = [0; 12];
                aad[..8].copy_from_slice(&packet[..8]);
                aad[8..].copy_from_slice(&word);
                let (text, behind) = packet.split_at_mut(len);
                let made = gcm_seal(key, nonce(salt, ssrc, u64::from(index)), &aad, &mut text[8..])?;
                behind[..16].copy_from_slice(made.as_ref());
                behind[16..].copy_from_slice(&word);
            }
            Cipher::Cm(cm) => {
                cm.crypt(ssrc, u64::from(index), &mut packet[8..len])?;
                packet[len..len + 4].copy_from_slice(&word);
                let tag = cm.tag(&packet[..len + 4], None);
                packet[len + 4..].copy_from_slice(&tag);
            }
        }
        self.rtcp_index = index + 1;
        Ok(sealed)
    }
}

impl From<NoIndex> for SealError {
    fn from(reason: NoIndex) -> Self {
        match reason {
            NoIndex::Stale(Stale::Repeated) => Self::Repeated,
            NoIndex::Stale(Stale::Old) => Self::Old,
            NoIndex::TooMany => Self::TooManyStreams,
        }
    }
}

/// The cipher refuses only what is longer than its limits.
impl From<Unspecified> for SealError {
    fn from(_: Unspecified) -> Self {
        Self::Exhausted
    }
}

/// Keys are never printed.
impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("rtcp_index", &self.rtcp_index).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Algorithm, LessSafeKey, UnboundKey};

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap()).collect()
    }

    /// The RFC's vectors begin with session keys.
    fn sealer(algorithm: &'static Algorithm, key: &[u8]) -> Sealer {
        let cipher = || Cipher::Gcm {
            key: LessSafeKey::new(UnboundKey::new(algorithm, key).unwrap()),
            salt: hex("517569642070726f2071756f").try_into().unwrap(),
        };
        Sealer { rtp: cipher(), rtcp: cipher(), streams: Streams::new(1), rtcp_index: 0x5d4 }
    }

    const RTP: &str = "8040f17b8041f8d35501a0b2 47616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573";
    const RTCP: &str = "81c8000d4d617273 4e5450314e545032525450200000042a0000e9304c756e61\
                        deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";

    fn seal(text: &str, with: impl FnOnce(&mut [u8], usize) -> Result<usize, SealError>) -> Vec<u8> {
        let mut packet = hex(text);
        let len = packet.len();
        packet.resize(len + 20, 0);
        let len = with(&mut packet, len).unwrap();
        packet.truncate(len);
        packet
    }

    /// RFC 7714 16.1.1 and 17.1.
    #[test]
    fn aead_aes_128_gcm_of_rfc_7714() {
        let mut sealer = sealer(&AES_128_GCM, &hex("000102030405060708090a0b0c0d0e0f"));
        assert_eq!(
            seal(RTP, |packet, len| sealer.seal_rtp(packet, len)),
            hex(
                "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf\
                 8833899d7f27beb16a9152cf765ee4390cce"
            )
        );
        assert_eq!(
            seal(RTCP, |packet, len| sealer.seal_rtcp(packet, len)),
            hex(
                "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded\
                 0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4"
            )
        );
    }

    /// RFC 7714 16.2.1 and 17.3.
    #[test]
    fn aead_aes_256_gcm_of_rfc_7714() {
        let key = hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
        let mut sealer = sealer(&AES_256_GCM, &key);
        assert_eq!(
            seal(RTP, |packet, len| sealer.seal_rtp(packet, len)),
            hex(
                "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799\
                 b87b7aa3db36dfffd6b0f9bb7878d7a76c13"
            )
        );
        assert_eq!(
            seal(RTCP, |packet, len| sealer.seal_rtcp(packet, len)),
            hex(
                "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de047\
                 6f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be800005d4"
            )
        );
    }
}
