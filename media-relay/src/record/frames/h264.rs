//! H.264 (RFC 6184) as files have it (ISO/IEC 14496-15): each unit with its length before it, and the parameter sets apart.

use super::bits::Bits;
use crate::record::matroska::Format;

const SPS: u8 = 7;
const PPS: u8 = 8;
const DELIMITER: u8 = 9;
const FILLER: u8 = 12;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;
/// Of one sequence. Browsers have one or two.
const PPS_MAX: usize = 16;
/// No parameter set is longer.
const SET_BYTES_MAX: usize = 1_024;

#[derive(Debug, Default)]
pub(super) struct Parts {
    bytes: Vec<u8>,
    /// A unit that is not whole yet.
    unit: Option<Vec<u8>>,
    sps: Vec<u8>,
    pps: Vec<Vec<u8>>,
}

impl Parts {
    pub(super) fn push(&mut self, payload: &[u8]) -> Option<()> {
        let head = *payload.first()?;
        match head & 0x1f {
            STAP_A => {
                let mut rest = &payload[1..];
                while let Some((len, after)) = rest.split_first_chunk::<2>() {
                    let (unit, after) = after.split_at_checked(u16::from_be_bytes(*len).into())?;
                    self.unit(unit);
                    rest = after;
                }
            }
            FU_A => {
                let (fragment, body) = payload.get(1..)?.split_first()?;
                if fragment & 0x80 != 0 {
                    self.unit = Some(vec![head & 0xe0 | fragment & 0x1f]);
                }
                let unit = self.unit.as_mut()?;
                unit.extend_from_slice(body);
                if fragment & 0x40 != 0 {
                    let unit = self.unit.take()?;
                    self.unit(&unit);
                }
            }
            1..=23 => self.unit(payload),
            _ => return None,
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

    /// The parameter sets stay: they hold until others come.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.unit = None;
    }

    fn unit(&mut self, unit: &[u8]) {
        let Some(head) = unit.first() else { return };
        match head & 0x1f {
            SPS | PPS if unit.len() > SET_BYTES_MAX => {}
            SPS => {
                if self.sps != unit {
                    self.sps = unit.to_vec();
                    self.pps.clear();
                }
            }
            PPS => {
                let number = |unit: &[u8]| Bits::new(unit.get(1..)?).golomb();
                match self.pps.iter().position(|known| number(known) == number(unit)) {
                    Some(known) => self.pps[known] = unit.to_vec(),
                    None if self.pps.len() < PPS_MAX => self.pps.push(unit.to_vec()),
                    None => {}
                }
            }
            DELIMITER | FILLER => {}
            _ => {
                self.bytes.extend_from_slice(&(unit.len() as u32).to_be_bytes());
                self.bytes.extend_from_slice(unit);
            }
        }
    }

    pub(super) fn format(&self) -> Option<Format> {
        let &[_, profile, constraints, level, ..] = self.sps.get(..)? else { return None };
        if self.pps.is_empty() {
            return None;
        }
        let picture = Picture::parse(&self.sps)?;
        let mut avcc = vec![1, profile, constraints, level, 0xff, 0xe1];
        let mut put = |set: &[u8], before: Option<u8>| {
            avcc.extend(before);
            avcc.extend_from_slice(&(set.len() as u16).to_be_bytes());
            avcc.extend_from_slice(set);
        };
        put(&self.sps, None);
        for (index, pps) in self.pps.iter().enumerate() {
            put(pps, (index == 0).then_some(self.pps.len() as u8));
        }
        if has_chroma(profile) {
            avcc.extend_from_slice(&[
                0xfc | picture.chroma,
                0xf8 | picture.luma_depth,
                0xf8 | picture.chroma_depth,
                0,
            ]);
        }
        Some(Format::H264 { width: picture.width, height: picture.height, avcc })
    }
}

/// Whether a sequence parameter set of that profile speaks of colors.
fn has_chroma(profile: u8) -> bool {
    matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135)
}

#[derive(Debug, PartialEq, Eq)]
struct Picture {
    width: u16,
    height: u16,
    chroma: u8,
    luma_depth: u8,
    chroma_depth: u8,
}

impl Picture {
    /// H.264 7.3.2.1.1.
    fn parse(sps: &[u8]) -> Option<Self> {
        let plain = without_emulation(sps.get(1..)?);
        let profile = *plain.first()?;
        let mut bits = Bits::new(plain.get(3..)?);
        bits.golomb()?;
        let (mut chroma, mut luma_depth, mut chroma_depth) = (1, 0, 0);
        if has_chroma(profile) {
            chroma = bits.golomb()?;
            if chroma == 3 {
                bits.skip(1)?;
            }
            (luma_depth, chroma_depth) = (bits.golomb()?, bits.golomb()?);
            bits.skip(1)?;
            if bits.bit()? {
                for list in 0..if chroma == 3 { 12 } else { 8 } {
                    if bits.bit()? {
                        skip_scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                    }
                }
            }
        }
        bits.golomb()?;
        match bits.golomb()? {
            0 => {
                bits.golomb()?;
            }
            1 => {
                bits.skip(1)?;
                bits.signed_golomb()?;
                bits.signed_golomb()?;
                for _ in 0..bits.golomb()?.min(255) {
                    bits.signed_golomb()?;
                }
            }
            _ => {}
        }
        bits.golomb()?;
        bits.skip(1)?;
        let columns = bits.golomb()?.checked_add(1)?;
        let rows = bits.golomb()?.checked_add(1)?;
        let is_frames_only = bits.bit()?;
        if !is_frames_only {
            bits.skip(1)?;
        }
        bits.skip(1)?;
        let mut cut = [0; 4];
        if bits.bit()? {
            for side in &mut cut {
                *side = bits.golomb()?;
            }
        }
        let fields = if is_frames_only { 1 } else { 2 };
        let (unit_x, unit_y) = (if matches!(chroma, 1 | 2) { 2 } else { 1 }, if chroma == 1 { 2 } else { 1 });
        let side = |blocks: u32, unit: u32, cut: [u32; 2]| {
            let cut = cut[0].checked_add(cut[1])?.checked_mul(unit)?;
            u16::try_from(blocks.checked_mul(16)?.checked_sub(cut)?).ok()
        };
        Some(Self {
            width: side(columns, unit_x, [cut[0], cut[1]])?,
            height: side(rows.checked_mul(fields)?, unit_y * fields, [cut[2], cut[3]])?,
            chroma: chroma as u8 & 3,
            luma_depth: luma_depth as u8 & 7,
            chroma_depth: chroma_depth as u8 & 7,
        })
    }
}

fn skip_scaling_list(bits: &mut Bits<'_>, len: usize) -> Option<()> {
    let (mut last, mut next) = (8_i64, 8_i64);
    for _ in 0..len {
        if next != 0 {
            next = (last + i64::from(bits.signed_golomb()?)).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

/// A three behind two zeros only keeps a start code from appearing (H.264 7.4.1).
fn without_emulation(unit: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(unit.len());
    let mut zeros = 0;
    for byte in unit {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        plain.push(*byte);
    }
    plain
}
