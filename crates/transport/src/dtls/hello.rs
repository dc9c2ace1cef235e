//! Which SRTP profiles a ClientHello offers. Read before the library sees it, because the answer chooses the
//! configuration that the library gets.

use crate::srtp::Profile;

const USE_SRTP: u16 = 14;

/// The profiles of `use_srtp` that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Offered(u16);

impl Offered {
    pub(super) fn has(self, profile: Profile) -> bool {
        self.0 >> profile as u16 & 1 == 1
    }
}

/// Reads the body of a ClientHello (RFC 6347 4.3.2). `None` if it is malformed; nothing offered if it has no
/// `use_srtp`.
pub(super) fn offered(body: &[u8]) -> Option<Offered> {
    // Version and random.
    let mut rest = body.get(34..)?;
    let _session = vector(&mut rest, 1)?;
    let _cookie = vector(&mut rest, 1)?;
    let _suites = vector(&mut rest, 2)?;
    let _compression = vector(&mut rest, 1)?;
    let mut offered = Offered::default();
    let mut extensions = vector(&mut rest, 2)?;
    while !extensions.is_empty() {
        let (kind, after) = extensions.split_at_checked(2)?;
        extensions = after;
        let mut value = vector(&mut extensions, 2)?;
        if kind == USE_SRTP.to_be_bytes() {
            for number in vector(&mut value, 2)?.chunks_exact(2) {
                let number = u16::from_be_bytes([number[0], number[1]]);
                if number < 16 {
                    offered.0 |= 1 << number;
                }
            }
        }
    }
    Some(offered)
}

/// Whether the body of a Certificate message is a list whose lengths fit: the library allocates what they say.
pub(super) fn certificates_fit(body: &[u8]) -> bool {
    let mut rest = body;
    let Some(mut list) = vector(&mut rest, 3) else { return false };
    let mut count = 0;
    while !list.is_empty() {
        count += 1;
        if count > CERTIFICATES_MAX || vector(&mut list, 3).is_none() {
            return false;
        }
    }
    rest.is_empty()
}

/// Certificates in a peer's chain. WebRTC peers send one.
const CERTIFICATES_MAX: usize = 8;

/// Takes a vector with a length of `width` bytes off the front.
fn vector<'b>(bytes: &mut &'b [u8], width: usize) -> Option<&'b [u8]> {
    let (length, rest) = bytes.split_at_checked(width)?;
    let length = length.iter().fold(0usize, |length, byte| length << 8 | usize::from(*byte));
    let (value, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(extensions: &[u8]) -> Vec<u8> {
        let mut body = vec![0xfe, 0xfd];
        body.extend([7; 32]);
        body.extend([0, 0, 0, 2, 0xc0, 0x2b, 1, 0]);
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
        body
    }

    #[test]
    fn profiles_whatever_their_order() {
        let chromium = [0, 23, 0, 0, 0, 14, 0, 9, 0, 6, 0, 1, 0, 8, 0, 7, 0];
        let offered = offered(&hello(&chromium)).unwrap();
        assert!(Profile::PREFERENCE.iter().all(|profile| offered.has(*profile)));
        let old = [0, 14, 0, 7, 0, 4, 0, 1, 0, 2, 0];
        let offered = super::offered(&hello(&old)).unwrap();
        assert!(offered.has(Profile::Aes128CmSha1_80) && !offered.has(Profile::AeadAes128Gcm));
        assert_eq!(super::offered(&hello(&[])), Some(Offered::default()));
    }

    #[test]
    fn every_truncation_is_refused() {
        let whole = hello(&[0, 14, 0, 7, 0, 4, 0, 1, 0, 7, 0]);
        for len in 0..whole.len() {
            assert_eq!(offered(&whole[..len]), None, "{len}");
        }
    }

    #[test]
    fn lengths_in_a_certificate_list() {
        assert!(certificates_fit(&[0, 0, 0]));
        assert!(certificates_fit(&[0, 0, 5, 0, 0, 2, 1, 2]));
        assert!(!certificates_fit(&[0, 0, 5, 0xff, 0xff, 0xff, 1, 2]));
        assert!(!certificates_fit(&[0, 0, 6, 0, 0, 2, 1, 2]));
        assert!(!certificates_fit(&[0, 0, 4, 0, 0, 2, 1, 2]));
        assert!(!certificates_fit(&[0]));
        let empty = [0; 3 * (CERTIFICATES_MAX + 1)];
        let mut list = vec![0, 0, empty.len() as u8];
        list.extend(empty);
        assert!(!certificates_fit(&list));
    }
}
