//! Datagrams on a stream, each behind its length (RFC 4571 2). Pure.

/// More than any packet of media or of a handshake. Whoever announces a longer one speaks something else.
pub(super) const DATAGRAM_BYTES_MAX: usize = 2_048;

const LENGTH_BYTES: usize = 2;

/// What has come of a stream and is not whole yet.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    bytes: Vec<u8>,
    /// Up to here it was taken.
    taken: usize,
}

/// It is no stream of ours.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Incoming {
    /// Adds what was read.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        // What is left is less than a datagram, so this moves little.
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next datagram that is whole.
    pub(super) fn next(&mut self) -> Result<Option<&mut [u8]>, TooLong> {
        let Some((length, rest)) = self.bytes[self.taken..].split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes(*length));
        if length > DATAGRAM_BYTES_MAX {
            return Err(TooLong);
        }
        if rest.len() < length {
            return Ok(None);
        }
        let from = self.taken + LENGTH_BYTES;
        self.taken = from + length;
        Ok(Some(&mut self.bytes[from..self.taken]))
    }
}

/// Puts a datagram behind what waits.
pub(super) fn frame(to: &mut Vec<u8>, datagram: &[u8]) {
    let length = u16::try_from(datagram.len()).expect("no packet of ours is longer than 64 KB");
    to.extend_from_slice(&length.to_be_bytes());
    to.extend_from_slice(datagram);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_come_out_as_they_went_in_however_the_stream_is_cut() {
        let sent: Vec<Vec<u8>> = (0..40_usize).map(|n| vec![n as u8; n * 51]).collect();
        let mut stream = Vec::new();
        for datagram in &sent {
            frame(&mut stream, datagram);
        }
        for piece in [1, 2, 3, 7, 500, 2_049, stream.len()] {
            let (mut incoming, mut got) = (Incoming::default(), Vec::new());
            for bytes in stream.chunks(piece) {
                incoming.add(bytes);
                while let Some(datagram) = incoming.next().unwrap() {
                    got.push(datagram.to_vec());
                }
                assert!(incoming.bytes.len() <= DATAGRAM_BYTES_MAX + LENGTH_BYTES + piece);
            }
            assert!(got == sent, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_length_that_no_datagram_has_is_refused_before_anything_is_kept_for_it() {
        let mut incoming = Incoming::default();
        incoming.add(b"GET / HTTP/1.1\r\n");
        assert_eq!(incoming.next(), Err(TooLong));
    }
}
