//! Opening what comes from the peer.

use std::fmt;

use aws_lc_rs::aead::Aad;
use aws_lc_rs::error::Unspecified;

use super::cipher::{Cipher, Of, nonce};
use super::counter::{NoIndex, Streams};
use super::profile::Keys;
use super::{rtp_header_len, ssrc_at};

/// The keys of the direction from the peer, with a window against replay for each SSRC, of RTP and of RTCP apart.
pub struct Opener {
    rtp: Cipher,
    rtcp: Cipher,
    rtp_streams: Streams,
    rtcp_streams: Streams,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("not an SRTP or SRTCP packet")]
    Malformed,
    #[error("the packet was seen before, or is too old to tell")]
    Replayed,
    #[error("the peer sends more SSRCs than it may")]
    TooManyStreams,
    #[error("the packet was not made with the peer's keys")]
    Forged,
}

impl Opener {
    /// `ssrcs_max` bounds how many streams can be received.
    pub fn new(keys: &Keys<'_>, ssrcs_max: usize) -> Result<Self, Unspecified> {
        Ok(Self {
            rtp: Cipher::new(keys, Of::Rtp)?,
            rtcp: Cipher::new(keys, Of::Rtcp)?,
            rtp_streams: Streams::new(ssrcs_max),
            rtcp_streams: Streams::new(ssrcs_max),
        })
    }

    /// Opens an SRTP packet in place. After an error the bytes are worth nothing.
    pub fn open_rtp<'p>(&mut self, packet: &'p mut [u8]) -> Result<&'p mut [u8], OpenError> {
        let header = rtp_header_len(packet).ok_or(OpenError::Malformed)?;
        let len = packet.len().checked_sub(self.rtp.tag_len()).ok_or(OpenError::Malformed)?;
        if len < header {
            return Err(OpenError::Malformed);
        }
        let ssrc = ssrc_at(packet, 8);
        let slot = self.rtp_streams.extend(ssrc, u16::from_be_bytes([packet[2], packet[3]]))?;
        match &self.rtp {
            Cipher::Gcm { key, salt } => {
                let (header, text) = packet.split_at_mut(header);
                key.open_in_place(nonce(salt, ssrc, slot.index), Aad::from(&*header), text)?;
            }
            Cipher::Cm(cm) => {
                let (text, tag) = packet.split_at_mut(len);
                cm.verify(text, Some((slot.index >> 16) as u32), tag)?;
                cm.crypt(ssrc, slot.index, &mut text[header..])?;
            }
        }
        self.rtp_streams.mark(slot);
        Ok(&mut packet[..len])
    }

    /// Opens an SRTCP packet in place. After an error the bytes are worth nothing. What is not encrypted is refused:
    /// no profile of WebRTC allows it.
    pub fn open_rtcp<'p>(&mut self, packet: &'p mut [u8]) -> Result<&'p mut [u8], OpenError> {
        let len = packet.len().checked_sub(self.rtcp.tag_len() + 4).ok_or(OpenError::Malformed)?;
        if len < 8 || packet[0] >> 6 != 2 {
            return Err(OpenError::Malformed);
        }
        let word_at = match self.rtcp {
            Cipher::Gcm { .. } => packet.len() - 4,
            Cipher::Cm(_) => len,
        };
        let word = ssrc_at(packet, word_at);
        if word >> 31 == 0 {
            return Err(OpenError::Malformed);
        }
        let ssrc = ssrc_at(packet, 4);
        let slot = self.rtcp_streams.explicit(ssrc, u64::from(word & !(1 << 31)))?;
        match &self.rtcp {
            Cipher::Gcm { key, salt } => {
                let mut aad = [0; 12];
                aad[..8].copy_from_slice(&packet[..8]);
                aad[8..].copy_from_slice(&packet[word_at..]);
                let text = &mut packet[8..word_at];
                key.open_in_place(nonce(salt, ssrc, slot.index), Aad::from(aad), text)?;
            }
            Cipher::Cm(cm) => {
                let (signed, tag) = packet.split_at_mut(len + 4);
                cm.verify(signed, None, tag)?;
                cm.crypt(ssrc, slot.index, &mut signed[8..len])?;
            }
        }
        self.rtcp_streams.mark(slot);
        Ok(&mut packet[..len])
    }
}

impl From<NoIndex> for OpenError {
    fn from(reason: NoIndex) -> Self {
        match reason {
            NoIndex::Stale(_) => Self::Replayed,
            NoIndex::TooMany => Self::TooManyStreams,
        }
    }
}

impl From<Unspecified> for OpenError {
    fn from(_: Unspecified) -> Self {
        Self::Forged
    }
}

/// Keys are never printed.
impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").finish_non_exhaustive()
    }
}
