//! Frames that nobody decodes: VP8 in form, so that every server forwards them, and within each packet of which frame it is,
//! how many there are of it, and when it was due. Numbers in, bytes out, and back.

/// With everything around it a packet of this size fills what the paths of the internet carry.
const PAYLOAD_BYTES_MAX: usize = 1_100;
const MARK: [u8; 4] = *b"tp!v";
/// Mark, run, frame, index, count, due.
const LABEL_BYTES: usize = 4 + 4 + 4 + 2 + 2 + 8;
/// The descriptor (RFC 7741 4.2): this packet begins the frame, or goes on with it.
const FIRST: u8 = 0x10;
const FURTHER: u8 = 0x00;
/// A keyframe's head (RFC 6386 9.1): shown, of 320 by 240.
const KEYFRAME: [u8; 10] = [0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xf0, 0x00];
const INTERFRAME: [u8; 3] = [0x11, 0x02, 0x00];

/// What a packet says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) run: u32,
    pub(super) frame: u32,
    pub(super) index: u16,
    pub(super) count: u16,
    pub(super) due_us: u64,
}

/// The payloads of a frame of about so many bytes.
pub(super) fn frame(run: u32, frame: u32, due_us: u64, bytes: usize, is_key: bool) -> Vec<Vec<u8>> {
    let count = bytes.div_ceil(PAYLOAD_BYTES_MAX).clamp(1, usize::from(u16::MAX)) as u16;
    let each = (bytes / usize::from(count)).max(1 + KEYFRAME.len() + LABEL_BYTES);
    (0..count)
        .map(|index| {
            let mut payload = Vec::with_capacity(each);
            payload.push(if index == 0 { FIRST } else { FURTHER });
            if index == 0 {
                payload.extend_from_slice(if is_key { &KEYFRAME } else { &INTERFRAME });
            }
            payload.resize(each - LABEL_BYTES, 0x55);
            payload.extend_from_slice(&MARK);
            payload.extend_from_slice(&run.to_be_bytes());
            payload.extend_from_slice(&frame.to_be_bytes());
            payload.extend_from_slice(&index.to_be_bytes());
            payload.extend_from_slice(&count.to_be_bytes());
            payload.extend_from_slice(&due_us.to_be_bytes());
            payload
        })
        .collect()
}

/// Of a payload, whatever the server made of its beginning.
pub(super) fn label(payload: &[u8]) -> Option<Label> {
    let (_, label) = payload.split_at_checked(payload.len().checked_sub(LABEL_BYTES)?)?;
    let rest = label.strip_prefix(&MARK)?;
    let (run, rest) = rest.split_first_chunk()?;
    let (frame, rest) = rest.split_first_chunk()?;
    let (index, rest) = rest.split_first_chunk()?;
    let (count, rest) = rest.split_first_chunk()?;
    let (due, _) = rest.split_first_chunk()?;
    let label = Label {
        run: u32::from_be_bytes(*run),
        frame: u32::from_be_bytes(*frame),
        index: u16::from_be_bytes(*index),
        count: u16::from_be_bytes(*count),
        due_us: u64::from_be_bytes(*due),
    };
    (label.index < label.count).then_some(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_is_read() {
        for (bytes, count) in [(10, 1), (1_100, 1), (1_101, 2), (9_000, 9)] {
            let payloads = frame(7, 42, 1_795_284_000_123_456, bytes, true);
            assert_eq!(payloads.len(), count, "{bytes}");
            for (index, payload) in payloads.iter().enumerate() {
                let due_us = 1_795_284_000_123_456;
                let expected = Label { run: 7, frame: 42, index: index as u16, count: count as u16, due_us };
                assert_eq!(label(payload), Some(expected));
                assert!(payload.len() <= PAYLOAD_BYTES_MAX);
            }
        }
        for payload in [&b""[..], b"tp!v", &[0; 64]] {
            assert_eq!(label(payload), None);
        }
    }
}
