//! Redundant audio (RFC 2198): a packet that carries older frames again before its own.

/// Browsers send two generations at most. What names more is taken for broken.
pub const BLOCKS_MAX: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block<'a> {
    pub payload_type: u8,
    /// How much older than the packet's timestamp; zero for the packet's own.
    pub timestamp_offset: u16,
    pub payload: &'a [u8],
}

/// The blocks of a payload, the oldest first and the packet's own last.
#[derive(Debug, Clone)]
pub struct Red<'a> {
    heads: &'a [u8],
    bodies: &'a [u8],
}

impl<'a> Red<'a> {
    /// Checks that every block has its bytes.
    pub fn parse(payload: &'a [u8]) -> Option<Self> {
        let mut at = 0;
        let mut redundant = 0;
        let mut blocks = 0;
        while *payload.get(at)? & 0x80 != 0 {
            let &[_, _, high, low] = payload.get(at..)?.first_chunk()?;
            redundant += usize::from(u16::from_be_bytes([high & 3, low]));
            at += 4;
            blocks += 1;
            if blocks == BLOCKS_MAX {
                return None;
            }
        }
        let (heads, bodies) = payload.split_at(at + 1);
        (redundant <= bodies.len()).then_some(Self { heads, bodies })
    }

    /// The packet's own block, for receivers that want no redundancy.
    pub fn primary(&self) -> Option<Block<'a>> {
        self.clone().last()
    }
}

impl<'a> Iterator for Red<'a> {
    type Item = Block<'a>;

    fn next(&mut self) -> Option<Block<'a>> {
        let first = *self.heads.first()?;
        if first & 0x80 == 0 {
            self.heads = &[];
            return Some(Block { payload_type: first, timestamp_offset: 0, payload: self.bodies });
        }
        let (&[_, high, middle, low], rest) = self.heads.split_first_chunk()?;
        let bits = u32::from_be_bytes([0, high, middle, low]);
        let (payload, bodies) = self.bodies.split_at_checked((bits & 0x3ff) as usize)?;
        self.heads = rest;
        self.bodies = bodies;
        Some(Block { payload_type: first & 0x7f, timestamp_offset: (bits >> 10) as u16, payload })
    }
}
