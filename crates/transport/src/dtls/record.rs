//! The records of a datagram (RFC 6347 4.1), as far as the guard must know them.

pub(super) const HEADER_BYTES: usize = 13;
pub(super) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;

/// One record: header and body in place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'d> {
    pub(super) kind: u8,
    pub(super) epoch: u16,
    pub(super) whole: &'d [u8],
}

impl<'d> Record<'d> {
    pub(super) fn body(&self) -> &'d [u8] {
        &self.whole[HEADER_BYTES..]
    }
}

/// The records of a datagram; ends at the first that is cut off or has a version that is not DTLS 1.0 or 1.2, and
/// what comes behind it is ignored (RFC 6347 4.1.2.7).
pub(super) fn records(mut datagram: &[u8]) -> impl Iterator<Item = Record<'_>> {
    std::iter::from_fn(move || {
        let header = datagram.get(..HEADER_BYTES)?;
        if header[1] != 0xfe || !matches!(header[2], 0xfd | 0xff) {
            return None;
        }
        let body = usize::from(u16::from_be_bytes([header[11], header[12]]));
        let (whole, rest) = datagram.split_at_checked(HEADER_BYTES + body)?;
        datagram = rest;
        Some(Record { kind: header[0], epoch: u16::from_be_bytes([header[3], header[4]]), whole })
    })
}

/// Appends a record of epoch 0.
pub(super) fn write(to: &mut Vec<u8>, kind: u8, sequence: u64, body: &[u8]) {
    to.push(kind);
    to.extend_from_slice(&[0xfe, 0xfd, 0, 0]);
    to.extend_from_slice(&sequence.to_be_bytes()[2..]);
    to.extend_from_slice(&(body.len() as u16).to_be_bytes());
    to.extend_from_slice(body);
}
