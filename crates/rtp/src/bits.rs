//! Bits, most significant first, as the descriptors of AV1 write them.

/// Reads run out with `None`; nothing is read past the end.
#[derive(Debug, Clone)]
pub(crate) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn bit(&mut self) -> Option<bool> {
        let byte = *self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// At most 32 bits.
    pub(crate) fn take(&mut self, count: u32) -> Option<u32> {
        debug_assert!(count <= 32, "a u32 holds 32 bits");
        let end = self.at + count as usize;
        let mut window = 0_u64;
        for byte in self.bytes.get(self.at / 8..end.div_ceil(8))? {
            window = window << 8 | u64::from(*byte);
        }
        window >>= end.next_multiple_of(8) - end;
        self.at = end;
        Some((window & ((1 << count) - 1)) as u32)
    }

    /// A number below `count`, in one of two lengths: `ns(n)` of the AV1 specification, 4.10.10.
    pub(crate) fn below(&mut self, count: u32) -> Option<u32> {
        if count <= 1 {
            return Some(0);
        }
        let width = u32::BITS - count.leading_zeros();
        let short = (1_u64 << width) - u64::from(count);
        let value = self.take(width - 1)?;
        if u64::from(value) < short {
            return Some(value);
        }
        let long = (u64::from(value) << 1 | u64::from(self.bit()?)) - short;
        u32::try_from(long).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_end_where_the_bytes_do() {
        let mut bits = Bits::new(&[0b1010_0000, 0xff]);
        assert_eq!(bits.take(3), Some(0b101));
        assert_eq!(bits.take(13), Some(0xff));
        assert_eq!(bits.bit(), None);
    }

    #[test]
    fn a_number_below_five_takes_two_or_three_bits() {
        let mut bits = Bits::new(&[0b0001_1011, 0b0111_0000]);
        let values: Vec<_> = (0..5).map(|_| bits.below(5)).collect();
        assert_eq!(values, [Some(0), Some(1), Some(2), Some(3), Some(4)]);
        assert_eq!(Bits::new(&[]).below(1), Some(0));
    }
}
