//! Elements of EBML (RFC 8794): an id, a size, and bytes or other elements.

/// Its place is known, its end is where the file ends.
pub(super) const UNKNOWN_SIZE: [u8; 8] = [0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

/// Ids are written as they stand in the specification, with their marker.
pub(super) type Id = u32;

pub(super) fn id(out: &mut Vec<u8>, id: Id) {
    let bytes = id.to_be_bytes();
    let skipped = (id.leading_zeros() / 8) as usize;
    out.extend_from_slice(&bytes[skipped..]);
}

pub(super) fn size(out: &mut Vec<u8>, size: usize) {
    let size = size as u64;
    // All ones would mean that it is unknown.
    let len = (1..8).find(|len| size < (1 << (7 * len)) - 1).unwrap_or(8);
    let marked = size | 1 << (7 * len);
    out.extend_from_slice(&marked.to_be_bytes()[8 - len as usize..]);
}

pub(super) fn bytes(out: &mut Vec<u8>, of: Id, value: &[u8]) {
    id(out, of);
    size(out, value.len());
    out.extend_from_slice(value);
}

pub(super) fn text(out: &mut Vec<u8>, of: Id, value: &str) {
    bytes(out, of, value.as_bytes());
}

pub(super) fn number(out: &mut Vec<u8>, of: Id, value: u64) {
    let skipped = (value.leading_zeros() / 8).min(7) as usize;
    bytes(out, of, &value.to_be_bytes()[skipped..]);
}

pub(super) fn real(out: &mut Vec<u8>, of: Id, value: f64) {
    bytes(out, of, &value.to_be_bytes());
}

pub(super) fn master(out: &mut Vec<u8>, of: Id, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    fill(&mut inner);
    bytes(out, of, &inner);
}

#[cfg(test)]
pub(super) mod reading {
    //! Enough of a reader to hold the writer against.

    #[derive(Debug, Clone, PartialEq)]
    pub(in crate::record) struct Element<'a> {
        pub(in crate::record) id: u32,
        /// None: it is unknown, and all that follows is within.
        pub(in crate::record) size: Option<usize>,
        pub(in crate::record) body: &'a [u8],
        /// From where it was read.
        pub(in crate::record) at: usize,
    }

    impl Element<'_> {
        pub(in crate::record) fn number(&self) -> u64 {
            self.body.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
        }

        pub(in crate::record) fn real(&self) -> f64 {
            f64::from_be_bytes(self.body.try_into().unwrap())
        }

        pub(in crate::record) fn text(&self) -> &str {
            std::str::from_utf8(self.body).unwrap()
        }
    }

    /// The elements of a body; what breaks off at its end is left out.
    pub(in crate::record) fn elements(bytes: &[u8]) -> Vec<Element<'_>> {
        let mut found = Vec::new();
        let mut at = 0;
        while let Some(element) = element(bytes, at) {
            at = (element.body.as_ptr() as usize - bytes.as_ptr() as usize) + element.body.len();
            found.push(element);
        }
        found
    }

    pub(in crate::record) fn find<'a>(bytes: &'a [u8], path: &[u32]) -> Option<Element<'a>> {
        let (first, rest) = path.split_first()?;
        let element = elements(bytes).into_iter().find(|element| element.id == *first)?;
        if rest.is_empty() { Some(element) } else { find(element.body, rest) }
    }

    fn element(bytes: &[u8], at: usize) -> Option<Element<'_>> {
        let first = *bytes.get(at)?;
        let id_len = first.leading_zeros() as usize + 1;
        assert!(id_len <= 4, "no id begins with {first:#x} at {at}");
        let id = bytes.get(at..at + id_len)?.iter().fold(0, |id, byte| id << 8 | u32::from(*byte));
        let size_at = at + id_len;
        let size_len = bytes.get(size_at)?.leading_zeros() as usize + 1;
        assert!(size_len <= 8);
        let marked = bytes.get(size_at..size_at + size_len)?;
        let value = marked.iter().fold(0_u64, |size, byte| size << 8 | u64::from(*byte));
        let mask = (1_u64 << (7 * size_len)) - 1;
        let size = (value & mask != mask).then_some((value & mask) as usize);
        let start = size_at + size_len;
        let body = match size {
            Some(size) => bytes.get(start..start + size)?,
            None => &bytes[start..],
        };
        Some(Element { id, size, body, at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_as_short_as_they_can_be() {
        for (value, written) in [
            (0, &[0x80][..]),
            (126, &[0xfe]),
            (127, &[0x40, 0x7f]),
            (16_382, &[0x7f, 0xfe]),
            (16_383, &[0x20, 0x3f, 0xff]),
        ] {
            let mut out = Vec::new();
            size(&mut out, value);
            assert_eq!(out, written, "{value}");
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let mut out = Vec::new();
        master(&mut out, 0x1654_ae6b, |out| {
            number(out, 0xd7, 0);
            number(out, 0x73c5, 70_000);
            text(out, 0x86, "V_VP8");
            real(out, 0x4489, 1.5);
        });
        let of = |id| reading::find(&out, &[0x1654_ae6b, id]).unwrap();
        assert_eq!(of(0xd7).number(), 0);
        assert_eq!(of(0xd7).size, Some(1));
        assert_eq!(of(0x73c5).number(), 70_000);
        assert_eq!(of(0x86).text(), "V_VP8");
        assert!((of(0x4489).real() - 1.5).abs() < 1e-9);
    }
}
