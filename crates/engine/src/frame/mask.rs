//! Masking of payloads (RFC 6455 5.3). It is its own inverse.

/// Applies `key` in place. `offset` is the position of the first byte within its frame's payload.
pub(super) fn apply(bytes: &mut [u8], key: [u8; 4], offset: usize) {
    if key == [0; 4] {
        return;
    }
    let turned = u32::from_ne_bytes(std::array::from_fn(|at| key[(offset + at) & 3]));
    let wide = (u64::from(turned) << 32) | u64::from(turned);
    // Blocks of 8 that do not depend on each other: LLVM turns this loop into vector instructions.
    let (blocks, tail) = bytes.as_chunks_mut::<8>();
    for block in blocks {
        *block = (u64::from_ne_bytes(*block) ^ wide).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(turned.to_ne_bytes().into_iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::apply;

    #[test]
    fn equals_the_formula_of_the_rfc() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for len in 0..70 {
            for offset in 0..9 {
                let plain: Vec<u8> = (0..len).map(|at| at as u8).collect();
                let mut bytes = plain.clone();
                apply(&mut bytes, key, offset);
                let expected: Vec<u8> =
                    plain.iter().enumerate().map(|(at, byte)| byte ^ key[(at + offset) % 4]).collect();
                assert_eq!(bytes, expected, "len {len}, offset {offset}");
            }
        }
    }

    #[test]
    fn example_of_the_rfc() {
        // RFC 6455 5.7: a single-frame masked text message "Hello".
        let mut bytes = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        apply(&mut bytes, [0x37, 0xfa, 0x21, 0x3d], 0);
        assert_eq!(&bytes, b"Hello");
    }
}
