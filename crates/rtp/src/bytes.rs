//! Numbers in network order, read with their bounds checked.

pub(crate) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..)?.first_chunk().copied()?))
}

pub(crate) fn be24(bytes: &[u8], at: usize) -> Option<u32> {
    let [high, middle, low] = bytes.get(at..)?.first_chunk().copied()?;
    Some(u32::from_be_bytes([0, high, middle, low]))
}

pub(crate) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..)?.first_chunk().copied()?))
}

pub(crate) fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(at..)?.first_chunk().copied()?))
}
