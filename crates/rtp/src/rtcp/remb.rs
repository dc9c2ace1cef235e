//! A receiver's estimate of its path (draft-alvestrand-rmcat-remb-03), from clients that know no transport-wide feedback.

use crate::bytes::be32;

pub(super) const NAME: [u8; 4] = *b"REMB";

#[derive(Debug, Clone, Copy)]
pub struct Remb<'a> {
    pub sender: u32,
    pub bits_per_second: u64,
    ssrcs: &'a [u8],
}

impl<'a> Remb<'a> {
    pub(super) fn is_in(body: &[u8]) -> bool {
        body.get(8..12) == Some(&NAME)
    }

    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        let rate = be32(body, 12)?;
        let exponent = rate >> 18 & 0x3f;
        let mantissa = u64::from(rate & 0x3_ffff);
        // An exponent can ask for more bits than a number has; then the path is said to be without limit.
        let fits = exponent <= mantissa.leading_zeros();
        let bits_per_second = if fits { mantissa << exponent.min(63) } else { u64::MAX };
        let ssrcs = body.get(16..16 + 4 * (rate >> 24) as usize)?;
        Some(Self { sender: be32(body, 0)?, bits_per_second, ssrcs })
    }

    pub fn ssrcs(&self) -> impl Iterator<Item = u32> + 'a {
        let ssrcs = self.ssrcs;
        (0..ssrcs.len() / 4).filter_map(move |index| be32(ssrcs, 4 * index))
    }
}

/// Exponent and mantissa, rounded down.
pub(super) fn rate(bits_per_second: u64) -> u32 {
    let exponent = 46_u32.saturating_sub(bits_per_second.leading_zeros());
    exponent << 18 | (bits_per_second >> exponent) as u32
}
