//! AV1 (RTP payload format for AV1, 4; AV1 bitstream specification, 5): the units of a picture, each with its size, without
//! what only separates pictures.

use turnpike_rtp::codec::av1::Aggregation;

use super::bits::Bits;
use crate::record::matroska::Format;

const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;
const TILE_LIST: u8 = 8;
const PADDING: u8 = 15;

const HAS_EXTENSION: u8 = 0x04;
const HAS_SIZE: u8 = 0x02;
/// No sequence header is longer.
const HEADER_BYTES_MAX: usize = 1_024;

#[derive(Debug, Default)]
pub(super) struct Parts {
    bytes: Vec<u8>,
    /// A unit that goes on in the next packet.
    unit: Option<Vec<u8>>,
    /// The latest, as it stands in the picture.
    header: Vec<u8>,
}

impl Parts {
    pub(super) fn push(&mut self, payload: &[u8]) -> Option<()> {
        let aggregation = Aggregation::parse(payload)?;
        let mut rest = &payload[1..];
        if aggregation.continues != self.unit.is_some() {
            return None;
        }
        let mut index = 0;
        while !rest.is_empty() {
            index += 1;
            let element;
            if index == usize::from(aggregation.elements) {
                (element, rest) = (rest, &[][..]);
            } else {
                let (len, after) = leb128(rest)?;
                (element, rest) = after.split_at_checked(len)?;
            }
            let mut unit = self.unit.take().unwrap_or_default();
            unit.extend_from_slice(element);
            if rest.is_empty() && aggregation.continued {
                self.unit = Some(unit);
            } else {
                self.unit(&unit)?;
            }
        }
        Some(())
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() + self.unit.as_ref().map_or(0, Vec::len)
    }

    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        let is_whole = self.unit.take().is_none();
        let bytes = std::mem::take(&mut self.bytes);
        is_whole.then_some(bytes)
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.unit = None;
    }

    fn unit(&mut self, unit: &[u8]) -> Option<()> {
        let head = *unit.first()?;
        let header = unit.get(..if head & HAS_EXTENSION != 0 { 2 } else { 1 })?;
        let mut body = &unit[header.len()..];
        if head & HAS_SIZE != 0 {
            let (len, after) = leb128(body)?;
            body = after.get(..len)?;
        }
        let kind = head >> 3 & 0x0f;
        if matches!(kind, TEMPORAL_DELIMITER | TILE_LIST | PADDING) {
            return Some(());
        }
        let begins = self.bytes.len();
        self.bytes.push(head | HAS_SIZE);
        self.bytes.extend_from_slice(&header[1..]);
        put_leb128(&mut self.bytes, body.len());
        self.bytes.extend_from_slice(body);
        if kind == SEQUENCE_HEADER && self.bytes.len() - begins <= HEADER_BYTES_MAX {
            self.header = self.bytes[begins..].to_vec();
        }
        Some(())
    }

    /// AV1 in ISO base media files, 2.3: what Matroska has as well.
    pub(super) fn format(&self) -> Option<Format> {
        let body = self.header.get(if self.header.first()? & HAS_EXTENSION != 0 { 2 } else { 1 }..)?;
        let (_, body) = leb128(body)?;
        let sequence = Sequence::parse(body)?;
        let mut av1c = vec![0x81, sequence.profile << 5 | sequence.level, sequence.colors, 0];
        av1c.extend_from_slice(&self.header);
        Some(Format::Av1 { width: sequence.width, height: sequence.height, av1c })
    }
}

/// What a sequence header says (5.5).
struct Sequence {
    profile: u8,
    level: u8,
    /// Tier, depth and sampling, as the configuration has them.
    colors: u8,
    width: u16,
    height: u16,
}

impl Sequence {
    fn parse(body: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(body);
        let profile = bits.take(3)? as u8;
        bits.skip(1)?;
        let is_reduced = bits.bit()?;
        let (mut level, mut tier) = (0, 0);
        if is_reduced {
            level = bits.take(5)? as u8;
        } else {
            let mut has_model = false;
            let mut delay_bits = 0;
            if bits.bit()? {
                bits.skip(64)?;
                if bits.bit()? {
                    bits.golomb()?;
                }
                has_model = bits.bit()?;
                if has_model {
                    delay_bits = bits.take(5)? + 1;
                    bits.skip(32 + 5 + 5)?;
                }
            }
            let has_delay = bits.bit()?;
            for point in 0..=bits.take(5)? {
                bits.skip(12)?;
                let this_level = bits.take(5)? as u8;
                let this_tier = if this_level > 7 { bits.take(1)? as u8 } else { 0 };
                if point == 0 {
                    (level, tier) = (this_level, this_tier);
                }
                if has_model && bits.bit()? {
                    bits.skip(2 * delay_bits + 1)?;
                }
                if has_delay && bits.bit()? {
                    bits.skip(4)?;
                }
            }
        }
        let (width_bits, height_bits) = (bits.take(4)? + 1, bits.take(4)? + 1);
        let mut side = |count| u16::try_from(bits.take(count)? + 1).ok();
        let (width, height) = (side(width_bits)?, side(height_bits)?);
        if !is_reduced && bits.bit()? {
            bits.skip(7)?;
        }
        bits.skip(3)?;
        if !is_reduced {
            bits.skip(4)?;
            let has_order = bits.bit()?;
            if has_order {
                bits.skip(2)?;
            }
            let screen = if bits.bit()? { 2 } else { bits.take(1)? };
            if screen > 0 && !bits.bit()? {
                bits.skip(1)?;
            }
            if has_order {
                bits.skip(3)?;
            }
        }
        bits.skip(3)?;
        let colors = colors(&mut bits, profile)? | tier << 7;
        Some(Self { profile, level, colors, width, height })
    }
}

/// 5.5.2.
fn colors(bits: &mut Bits<'_>, profile: u8) -> Option<u8> {
    let is_deep = bits.bit()?;
    let is_deeper = profile == 2 && is_deep && bits.bit()?;
    let is_mono = profile != 1 && bits.bit()?;
    let mut described = [2; 3];
    if bits.bit()? {
        for value in &mut described {
            *value = bits.take(8)?;
        }
    }
    let (mut x, mut y, mut position) = (1, 1, 0);
    if is_mono {
        bits.skip(1)?;
    } else if described == [1, 13, 0] {
        (x, y) = (0, 0);
    } else {
        bits.skip(1)?;
        (x, y) = match profile {
            0 => (1, 1),
            1 => (0, 0),
            _ if is_deeper => {
                let x = bits.take(1)? as u8;
                (x, if x == 1 { bits.take(1)? as u8 } else { 0 })
            }
            _ => (1, 0),
        };
        if (x, y) == (1, 1) {
            position = bits.take(2)? as u8;
        }
    }
    let flags = u8::from(is_deep) << 6 | u8::from(is_deeper) << 5 | u8::from(is_mono) << 4;
    Some(flags | x << 3 | y << 2 | position)
}

/// A length of at most four groups of seven bits; no picture has longer units.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

fn put_leb128(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
