//! The recovery offset: how far a client has got, in one short text that it keeps and gives back.
//!
//! One number a lane says for all rooms at once what a client has, and every member of a room can be sent the very same
//! bytes. Those numbers are long and change little, so a node writes them down once in a while (a base, known to every
//! node) and an offset says only how far each lane has moved since. The client never looks inside.
//!
//! When a lane goes on in another epoch, members of rooms that lost something are told before the lane's place is one of that
//! epoch: a place of the new one would claim that they were told of all their rooms. Meanwhile an offset says beside the place
//! which epoch its bearer has heard of, so that no node that has not gives them what they know to be lost.
//!
//! Pure: positions in, text out, and the reverse.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use turnpike_cluster::{Base, BaseId, LANES, Lane, LanePosition};
use turnpike_wire::limits::INTEGER_MAX;

/// Position in every lane: what somebody has been given so far. Which epochs they are of, a base says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Vector(pub(crate) [u64; LANES]);

impl Vector {
    pub(crate) fn of(base: &Base) -> Self {
        Self(base.0.map(|position| position.pos))
    }

    pub(crate) fn at(&self, lane: Lane) -> u64 {
        self.0[lane.index()]
    }

    pub(crate) fn set(&mut self, lane: Lane, position: u64) {
        self.0[lane.index()] = position;
    }

    /// Whether nothing in here is beyond `other`.
    #[cfg(test)]
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(ours, theirs)| ours <= theirs)
    }
}

/// What offsets are written against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) id: BaseId,
    pub(crate) base: Base,
    /// Epochs that a room of the lane has gone on in. Beyond that of the base until the next base is kept.
    pub(crate) heard: [u64; LANES],
}

impl Reference {
    /// 48 random bits name a base: enough that two nodes never draw the same.
    pub(crate) fn draw(random: u64, base: Base) -> Self {
        Self { id: BaseId(random & ((1 << 48) - 1)), base, heard: [0; LANES] }
    }

    pub(crate) fn epoch(&self, lane: Lane) -> u64 {
        self.base.0[lane.index()].epoch
    }
}

const VERSION: u8 = 2;
const HEAD_BYTES: usize = 1 + 6 + 2;

/// The head, a number of at most 8 bytes for each lane, and for each lane whose epoch is beyond that of the base its index and
/// the epoch.
const BYTES_MAX: usize = HEAD_BYTES + LANES * 8 + LANES * 9;
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

/// Which lanes have moved, and by how much. The reader of a replay may have less than the base: such a lane moves back.
pub(crate) fn write(reference: &Reference, vector: &Vector) -> OffsetText {
    let mut bytes = [0; BYTES_MAX];
    bytes[0] = VERSION;
    bytes[1..7].copy_from_slice(&reference.id.0.to_le_bytes()[..6]);
    let mut length = HEAD_BYTES;
    let mut moved = 0u16;
    for (lane, (position, base)) in vector.0.iter().zip(&reference.base.0).enumerate() {
        if *position != base.pos {
            moved |= 1 << lane;
            write_number(&mut bytes, &mut length, zigzag(position.cast_signed() - base.pos.cast_signed()));
        }
    }
    bytes[7..9].copy_from_slice(&moved.to_le_bytes());
    for (lane, (heard, base)) in reference.heard.iter().zip(&reference.base.0).enumerate() {
        if *heard > base.epoch {
            bytes[length] = lane as u8;
            length += 1;
            write_number(&mut bytes, &mut length, *heard);
        }
    }
    let mut text = OffsetText { bytes: [0; TEXT_BYTES_MAX], length: 0 };
    text.length = URL_SAFE_NO_PAD
        .encode_slice(&bytes[..length], &mut text.bytes)
        .expect("the buffer has room for the longest offset");
    text
}

/// An offset that was read, before its base is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offset {
    pub(crate) base: BaseId,
    /// Epochs that its bearer has heard of besides; zero: none.
    pub(crate) heard: [u64; LANES],
    moved: [i64; LANES],
}

impl Offset {
    /// Where that is. None: no node has written this.
    pub(crate) fn against(&self, base: &Base) -> Option<[LanePosition; LANES]> {
        let mut positions = base.0;
        for (position, moved) in positions.iter_mut().zip(self.moved) {
            position.pos = position.pos.checked_add_signed(moved).filter(|pos| *pos <= INTEGER_MAX)?;
        }
        let says_more = |(heard, base): (&u64, &LanePosition)| *heard == 0 || *heard > base.epoch;
        if !self.heard.iter().zip(&base.0).all(says_more) {
            return None;
        }
        Some(positions)
    }
}

/// What a client gave back, if it is an offset at all.
pub(crate) fn read(text: &str) -> Option<Offset> {
    let mut buffer = [0; BYTES_MAX];
    let length = URL_SAFE_NO_PAD.decode_slice(text, &mut buffer).ok()?;
    let (head, mut rest) = buffer[..length].split_at_checked(HEAD_BYTES)?;
    if head[0] != VERSION {
        return None;
    }
    let mut id = [0; 8];
    id[..6].copy_from_slice(&head[1..7]);
    let which = u16::from_le_bytes(head[7..9].try_into().ok()?);
    let mut moved = [0; LANES];
    for (lane, moved) in moved.iter_mut().enumerate() {
        if which & (1 << lane) != 0 {
            *moved = unzigzag(read_number(&mut rest)?);
            // What has not moved is not written.
            if *moved == 0 {
                return None;
            }
        }
    }
    let mut heard = [0; LANES];
    let mut next = 0;
    while let Some((lane, more)) = rest.split_first() {
        rest = more;
        let lane = usize::from(*lane);
        if !(next..LANES).contains(&lane) {
            return None;
        }
        next = lane + 1;
        heard[lane] = read_number(&mut rest).filter(|epoch| *epoch > 0)?;
    }
    Some(Offset { base: BaseId(u64::from_le_bytes(id)), heard, moved })
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// Seven bits a byte, the lowest first; a set high bit says that more follow. Positions end at 2^53: eight bytes.
fn write_number(bytes: &mut [u8; BYTES_MAX], length: &mut usize, mut number: u64) {
    while number >= 0x80 {
        bytes[*length] = number as u8 | 0x80;
        number >>= 7;
        *length += 1;
    }
    bytes[*length] = number as u8;
    *length += 1;
}

fn read_number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..56).step_by(7) {
        let (byte, more) = rest.split_first()?;
        *rest = more;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            // One spelling a number.
            return (*byte != 0 || shift == 0).then_some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reference(positions: [u64; LANES]) -> Reference {
        Reference::draw(u64::MAX, Base(positions.map(|pos| LanePosition { epoch: 7, pos })))
    }

    #[test]
    fn offsets_are_short() {
        let length = |base, vector| write(&reference(base), &Vector(vector)).as_str().len();
        assert_eq!(length([5; LANES], [5; LANES]), 12);
        let mut one = [1_000_000; LANES];
        one[3] += 60;
        assert_eq!(length([1_000_000; LANES], one), 14);
        // A minute of 1,000 messages a second over all lanes.
        assert_eq!(length([1_000_000_000; LANES], [1_000_003_750; LANES]), 55 - 12 + 12);
    }

    #[test]
    fn what_is_no_offset() {
        let mut vector = [9; LANES];
        vector[4] = 500;
        let sound = write(&reference([9; LANES]), &Vector(vector)).as_str().to_owned();
        assert!(read(&sound).is_some());
        for bad in [
            String::new(),
            "x".to_owned(),
            "null".to_owned(),
            format!("{sound}A"),
            format!("{sound}AAAA"),
            format!("{sound}AAAAAAAA"),
            sound[..sound.len() - 2].to_owned(),
            format!("B{}", &sound[1..]),
            URL_SAFE_NO_PAD.encode([VERSION, 0, 0, 0, 0, 0, 0, 1, 0, 0]),
            URL_SAFE_NO_PAD.encode([VERSION, 0, 0, 0, 0, 0, 0, 1, 0, 0x82, 0]),
            "A".repeat(4_000),
        ] {
            assert_eq!(read(&bad), None, "{bad}");
        }
        let before_everything = write(&reference([9; LANES]), &Vector([1; LANES])).as_str().to_owned();
        assert_eq!(read(&before_everything).unwrap().against(&reference([3; LANES]).base), None);
    }

    proptest! {
        #[test]
        fn written_and_read_again(
            id: u64,
            base in proptest::array::uniform16(0..=INTEGER_MAX),
            moved in proptest::array::uniform16(-(1i64 << 40)..1 << 40),
            heard in proptest::array::uniform16(prop_oneof![Just(0), 8..=INTEGER_MAX]),
        ) {
            let mut vector = Vector(base);
            for (position, moved) in vector.0.iter_mut().zip(moved) {
                *position = position.saturating_add_signed(moved).min(INTEGER_MAX);
            }
            let reference = Reference { heard, ..Reference::draw(id, reference(base).base) };
            let offset = read(write(&reference, &vector).as_str()).unwrap();
            prop_assert_eq!(offset.base, reference.id);
            prop_assert_eq!(offset.heard, heard);
            prop_assert_eq!(offset.against(&reference.base).unwrap().map(|position| position.pos), vector.0);
        }

        #[test]
        fn no_text_panics(text in "[A-Za-z0-9_-]{0,200}", base in proptest::array::uniform16(0..=INTEGER_MAX)) {
            if let Some(offset) = read(&text) {
                // Whatever is accepted means one thing.
                let reference = Reference { id: offset.base, heard: offset.heard, ..reference(base) };
                if let Some(positions) = offset.against(&reference.base) {
                    let again = write(&reference, &Vector(positions.map(|position| position.pos)));
                    prop_assert_eq!(again.as_str(), text);
                }
            }
        }
    }
}
