//! VP9 (RFC 9628): the frames of all spatial layers of a picture, with an index behind them when there are several.

use super::bits::Bits;
use crate::record::matroska::Format;

const LAYERS_MAX: usize = 8;
const REFERENCES_MAX: usize = 3;

#[derive(Debug, Default)]
pub(super) struct Parts {
    bytes: Vec<u8>,
    /// Where the frames of the layers begin.
    begins: Vec<usize>,
}

impl Parts {
    pub(super) fn push(&mut self, payload: &[u8]) -> Option<()> {
        let body = payload.get(descriptor_bytes(payload)?..).filter(|body| !body.is_empty())?;
        if payload[0] & 0x08 != 0 && self.begins.len() < LAYERS_MAX {
            self.begins.push(self.bytes.len());
        }
        self.bytes.extend_from_slice(body);
        Some(())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        let begins = std::mem::take(&mut self.begins);
        if begins.len() > 1 {
            // VP9 bitstream specification, annex B.
            let mark = 0xc0 | 3 << 3 | (begins.len() - 1) as u8;
            let end = bytes.len();
            bytes.push(mark);
            for (index, begin) in begins.iter().enumerate() {
                let size = begins.get(index + 1).copied().unwrap_or(end) - begin;
                bytes.extend_from_slice(&(size as u32).to_le_bytes());
            }
            bytes.push(mark);
        }
        bytes
    }
}

/// How long the descriptor is (RFC 9628 4.2).
fn descriptor_bytes(payload: &[u8]) -> Option<usize> {
    let first = *payload.first()?;
    let has = |bit: u8| first >> bit & 1 == 1;
    let is_flexible = has(4);
    let mut at = 1;
    if has(7) {
        at += if payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
    }
    if has(5) {
        at += if is_flexible { 1 } else { 2 };
    }
    if is_flexible && has(6) {
        for _ in 0..REFERENCES_MAX {
            at += 1;
            if payload.get(at - 1)? & 1 == 0 {
                break;
            }
        }
    }
    if has(1) {
        let structure = *payload.get(at)?;
        at += 1;
        if structure & 0x10 != 0 {
            at += 4 * (usize::from(structure >> 5) + 1);
        }
        if structure & 0x08 != 0 {
            let pictures = *payload.get(at)?;
            at += 1;
            for _ in 0..pictures {
                at += 1 + usize::from(payload.get(at)? >> 2 & 3);
            }
        }
    }
    Some(at)
}

/// From the uncompressed header (VP9 bitstream specification 6.2). Of several layers this is the least: decoders go by
/// the frames themselves.
pub(super) fn format(keyframe: &[u8]) -> Option<Format> {
    let mut bits = Bits::new(keyframe);
    if bits.take(2)? != 2 {
        return None;
    }
    let (low, high) = (bits.take(1)?, bits.take(1)?);
    let profile = high << 1 | low;
    if profile == 3 {
        bits.skip(1)?;
    }
    // Shown again; not a keyframe.
    if bits.bit()? || bits.bit()? {
        return None;
    }
    bits.skip(2)?;
    if bits.take(24)? != 0x49_8342 {
        return None;
    }
    if profile >= 2 {
        bits.skip(1)?;
    }
    let is_rgb = bits.take(3)? == 7;
    if !is_rgb {
        bits.skip(1)?;
    }
    if profile == 1 || profile == 3 {
        bits.skip(if is_rgb { 1 } else { 3 })?;
    }
    let mut side = || Some((bits.take(16)? as u16).saturating_add(1));
    Some(Format::Vp9 { width: side()?, height: side()? })
}
