//! Where the frames of a websocket end (RFC 6455 5.2), and which of them are a whole text. Bytes in, places out; what is wrong with
//! a frame is for others to say.

use std::ops::Range;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Its end has not come yet.
    Part,
    /// So long that nobody here waits for its end.
    TooLong,
    Whole {
        bytes: usize,
        /// Where the text is, of a frame that is one message of text.
        text: Option<Range<usize>>,
    },
}

/// A text that is all of a message, as servers send it: nothing reserved, not masked.
const WHOLE_TEXT: u8 = 0x81;
const MASKED: u8 = 0x80;

/// The frame at the beginning.
pub(super) fn first(bytes: &[u8], frame_bytes_max: usize) -> Found {
    let [kind, length, rest @ ..] = bytes else { return Found::Part };
    let (payload, start) = match length & !MASKED {
        126 => match rest.first_chunk() {
            Some(long) => (u64::from(u16::from_be_bytes(*long)), 4),
            None => return Found::Part,
        },
        127 => match rest.first_chunk() {
            Some(longer) => (u64::from_be_bytes(*longer), 10),
            None => return Found::Part,
        },
        short => (u64::from(short), 2),
    };
    let is_masked = length & MASKED != 0;
    let start = if is_masked { start + 4 } else { start };
    let payload = match usize::try_from(payload) {
        Ok(payload) if payload <= frame_bytes_max => payload,
        _ => return Found::TooLong,
    };
    let end = start + payload;
    if bytes.len() < end {
        return Found::Part;
    }
    Found::Whole { bytes: end, text: (*kind == WHOLE_TEXT && !is_masked).then_some(start..end) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let mut frame = vec![kind];
        match payload {
            0..=125 => frame.push(payload as u8),
            126..=0xffff => {
                frame.push(126);
                frame.extend((payload as u16).to_be_bytes());
            }
            _ => {
                frame.push(127);
                frame.extend((payload as u64).to_be_bytes());
            }
        }
        frame.resize(frame.len() + payload, b'x');
        frame
    }

    #[test]
    fn every_frame_ends_where_it_ends() {
        for payload in [0, 1, 125, 126, 127, 0xffff, 0x1_0000] {
            let mut bytes = frame(WHOLE_TEXT, payload);
            let length = bytes.len();
            for short in [0, 1, length / 2, length - 1] {
                assert_eq!(first(&bytes[..short], 1 << 20), Found::Part, "{short} of {length}");
            }
            bytes.extend(b"more");
            let text = Some(length - payload..length);
            assert_eq!(first(&bytes, 1 << 20), Found::Whole { bytes: length, text });
        }
    }

    #[test]
    fn only_a_whole_text_is_one() {
        for kind in [0x01, 0x00, 0x80, 0x82, 0x88, 0x89, 0x8a, 0xc1] {
            assert_eq!(first(&frame(kind, 3), 10), Found::Whole { bytes: 5, text: None }, "{kind:x}");
        }
        let masked = [WHOLE_TEXT, 0x83, 1, 2, 3, 4, 5, 6, 7];
        assert_eq!(first(&masked, 10), Found::Whole { bytes: 9, text: None });
    }

    #[test]
    fn nobody_waits_for_what_is_too_long() {
        assert_eq!(first(&frame(WHOLE_TEXT, 11), 10), Found::TooLong);
        assert_eq!(first(&[WHOLE_TEXT, 127, 255, 255, 255, 255, 255, 255, 255, 255], 10), Found::TooLong);
    }
}
