//! The recovery offset: how far a client has got, in one short text that it keeps and gives back.
//!
//! Rooms are spread over lanes, and a lane counts its messages. So one number a lane says for all rooms at once what a
//! client has, and every member of a room can be sent the very same bytes. The client never looks inside.
//!
//! Pure: positions in, text out, and the reverse.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use turnpike_wire::RoomId;
use turnpike_wire::limits::INTEGER_MAX;

/// How many lanes there are. Each has a lock of its own, so this bounds how many publishers go on side by side.
pub(crate) const LANES: usize = 16;

/// The lane of a room: the same on every node and in every run.
pub(crate) fn lane_of(room: &RoomId) -> usize {
    // FNV-1a leaves names that differ in their last characters close together, so its bits are mixed once more.
    let hash = room.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (mixed >> 60) as usize % LANES
}

/// Position in every lane: what somebody has been given so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Vector(pub(crate) [u64; LANES]);

impl Vector {
    pub(crate) fn at(&self, lane: usize) -> u64 {
        self.0[lane]
    }

    pub(crate) fn set(&mut self, lane: usize, position: u64) {
        self.0[lane] = position;
    }

    /// Whether nothing in here is beyond `other`.
    #[cfg(test)]
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(ours, theirs)| ours <= theirs)
    }
}

/// Positions count from the start of a process, so an offset names the process: those of another mean nothing here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Boot(pub(crate) u32);

const VERSION: u8 = 1;

/// Version, boot, which lanes follow, and 17 numbers of at most 8 bytes.
const BYTES_MAX: usize = 1 + 4 + 2 + 17 * 8;
const TEXT_BYTES_MAX: usize = BYTES_MAX.div_ceil(3) * 4;

/// An offset as text, on the stack: one is written for every message.
pub(crate) struct OffsetText {
    bytes: [u8; TEXT_BYTES_MAX],
    length: usize,
}

impl OffsetText {
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).expect("base64 is ASCII")
    }
}

/// All lanes move at a like pace when rooms are many, and most stand still when rooms are few. So: the smallest
/// position, which lanes are beyond it, and by how much. A node with one busy room writes 14 characters, one with
/// millions of messages in all lanes about 60.
pub(crate) fn write(boot: Boot, vector: &Vector) -> OffsetText {
    let least = vector.0.iter().copied().min().unwrap_or(0);
    let mut bytes = [0; BYTES_MAX];
    bytes[0] = VERSION;
    bytes[1..5].copy_from_slice(&boot.0.to_le_bytes());
    let mut length = 7;
    write_number(&mut bytes, &mut length, least);
    let mut beyond = 0u16;
    for (lane, position) in vector.0.iter().enumerate().filter(|(_, position)| **position > least) {
        beyond |= 1 << lane;
        write_number(&mut bytes, &mut length, position - least);
    }
    bytes[5..7].copy_from_slice(&beyond.to_le_bytes());
    let mut text = OffsetText { bytes: [0; TEXT_BYTES_MAX], length: 0 };
    text.length = URL_SAFE_NO_PAD
        .encode_slice(&bytes[..length], &mut text.bytes)
        .expect("the buffer has room for the longest offset");
    text
}

/// Seven bits a byte, the lowest first; a set high bit says that more follow. Positions end at 2^53: eight bytes.
fn write_number(bytes: &mut [u8; BYTES_MAX], length: &mut usize, mut number: u64) {
    debug_assert!(number <= INTEGER_MAX);
    while number >= 0x80 {
        bytes[*length] = number as u8 | 0x80;
        number >>= 7;
        *length += 1;
    }
    bytes[*length] = number as u8;
    *length += 1;
}

/// What a client gave back, if it is an offset at all.
pub(crate) fn read(text: &str) -> Option<(Boot, Vector)> {
    let mut buffer = [0; BYTES_MAX];
    let length = URL_SAFE_NO_PAD.decode_slice(text, &mut buffer).ok()?;
    let bytes = &buffer[..length];
    let (head, mut rest) = bytes.split_at_checked(7)?;
    if head[0] != VERSION {
        return None;
    }
    let boot = Boot(u32::from_le_bytes(head[1..5].try_into().ok()?));
    let beyond = u16::from_le_bytes(head[5..7].try_into().ok()?);
    let least = read_number(&mut rest)?;
    let mut vector = Vector([least; LANES]);
    for lane in (0..LANES).filter(|lane| beyond & (1 << lane) != 0) {
        let position = least + read_number(&mut rest)?;
        if position > INTEGER_MAX {
            return None;
        }
        vector.set(lane, position);
    }
    rest.is_empty().then_some((boot, vector))
}

fn read_number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..56).step_by(7) {
        let (byte, more) = rest.split_first()?;
        *rest = more;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return (number <= INTEGER_MAX).then_some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vector_of(positions: &[(usize, u64)]) -> Vector {
        let mut vector = Vector::default();
        for (lane, position) in positions {
            vector.set(*lane, *position);
        }
        vector
    }

    #[test]
    fn offsets_are_short() {
        let length = |vector: &Vector| write(Boot(u32::MAX), vector).as_str().len();
        assert_eq!(length(&Vector::default()), 11);
        assert_eq!(length(&vector_of(&[(3, 100)])), 12);
        assert_eq!(length(&vector_of(&[(3, 1_000_000)])), 15);
        let mut even = Vector([1_000_000; LANES]);
        for lane in 0..LANES {
            even.set(lane, 1_000_000 + lane as u64 * 37);
        }
        assert!(length(&even) <= 56, "{}", length(&even));
        // Frames of 128 bytes should not double even at the end of time.
        assert!(length(&Vector([INTEGER_MAX; LANES])) < 24);
    }

    #[test]
    fn rooms_spread_over_all_lanes() {
        let mut counts = [0; LANES];
        for number in 0..1_600 {
            counts[lane_of(&RoomId::parse(&format!("chat:room-{number}")).unwrap())] += 1;
        }
        assert!(counts.iter().all(|count| (60..150).contains(count)), "{counts:?}");
        // A room must not change its lane from one release to the next.
        assert_eq!(lane_of(&RoomId::parse("chat:general").unwrap()), 12);
    }

    #[test]
    fn what_is_no_offset() {
        let sound = write(Boot(7), &vector_of(&[(0, 5), (9, 300)])).as_str().to_owned();
        assert!(read(&sound).is_some());
        for bad in [
            String::new(),
            "x".to_owned(),
            "null".to_owned(),
            format!("{sound}A"),
            format!("{sound}AAAA"),
            sound[..sound.len() - 2].to_owned(),
            format!("C{}", &sound[1..]),
            URL_SAFE_NO_PAD
                .encode([VERSION, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
            "A".repeat(4_000),
        ] {
            assert_eq!(read(&bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn written_and_read_again(boot: u32, base in 0..=INTEGER_MAX / 2, spread in proptest::array::uniform16(0u64..1 << 40)) {
            let vector = Vector(spread.map(|more| base + more % (1 << (more % 41))));
            let text = write(Boot(boot), &vector);
            prop_assert_eq!(read(text.as_str()), Some((Boot(boot), vector)));
        }

        #[test]
        fn no_text_panics(text in "[A-Za-z0-9_-]{0,200}") {
            if let Some((boot, vector)) = read(&text) {
                // Whatever is accepted means one thing.
                let again = write(boot, &vector);
                prop_assert_eq!(read(again.as_str()), Some((boot, vector)));
            }
        }
    }
}
