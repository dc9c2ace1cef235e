//! The one hash by which names are spread: the same on every machine, in every run and in every version, which the standard
//! library's are not. What is kept by it (lanes, buckets) must be found again by a later release.

/// FNV-1a.
pub(crate) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// FNV-1a leaves names that differ in their last characters close together, so its bits are mixed once more. The upper half
/// is good.
pub(crate) fn mixed(text: &str) -> u64 {
    let hash = hash(text);
    (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd)
}
