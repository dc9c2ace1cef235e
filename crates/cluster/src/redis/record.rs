//! Session records and bases as bytes. Short, because every join of every connection writes one.

use bytes::{BufMut, Bytes};
use turnpike_wire::{RoomId, UserId};

use crate::{Base, LANES, LanePosition, RoomRecord, SessionRecord};

/// Of the form of a record; a node that does not know it takes the session for lost.
const FORM: u8 = 1;

const PRESENCE: u8 = 1;

pub(crate) fn pack(record: &SessionRecord) -> Bytes {
    let mut packed = Vec::with_capacity(64 + record.identity.len() + 48 * record.rooms.len());
    packed.put_u8(FORM);
    put_text(&mut packed, &record.user);
    put_text(&mut packed, &record.identity);
    put_number(&mut packed, record.rooms.len() as u64);
    for room in &record.rooms {
        put_text(&mut packed, &room.room);
        put_position(&mut packed, room.joined);
        packed.put_u8(if room.presence { PRESENCE } else { 0 });
    }
    packed.into()
}

pub(crate) fn unpack(packed: &[u8]) -> Option<SessionRecord> {
    let mut rest = Rest(packed);
    (rest.byte()? == FORM).then_some(())?;
    let user = UserId::parse(rest.text()?).ok()?;
    let identity = rest.text()?.into();
    let count = rest.number()?;
    let mut rooms = Vec::new();
    for _ in 0..count {
        rooms.push(RoomRecord {
            room: RoomId::parse(rest.text()?).ok()?,
            joined: rest.position()?,
            presence: rest.byte()? & PRESENCE != 0,
        });
    }
    Some(SessionRecord { user, identity, rooms })
}

pub(crate) fn pack_base(base: &Base) -> Bytes {
    let mut packed = Vec::with_capacity(16 * LANES);
    for position in base.0 {
        put_position(&mut packed, position);
    }
    packed.into()
}

pub(crate) fn unpack_base(packed: &[u8]) -> Option<Base> {
    let mut rest = Rest(packed);
    let mut base = Base::default();
    for position in &mut base.0 {
        *position = rest.position()?;
    }
    rest.0.is_empty().then_some(base)
}

/// Seven bits a byte, the lowest first; the top bit says that there are more.
fn put_number(packed: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        packed.push(number as u8 | 0x80);
        number >>= 7;
    }
    packed.push(number as u8);
}

fn put_text(packed: &mut Vec<u8>, text: &str) {
    put_number(packed, text.len() as u64);
    packed.extend(text.as_bytes());
}

fn put_position(packed: &mut Vec<u8>, position: LanePosition) {
    put_number(packed, position.epoch);
    put_number(packed, position.pos);
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<&'a str> {
        let bytes = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    fn position(&mut self) -> Option<LanePosition> {
        Some(LanePosition { epoch: self.number()?, pos: self.number()? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_packed_comes_back(
            identity in ".{0,80}",
            rooms in proptest::collection::vec(("[a-z0-9:.@_-]{1,128}", any::<u64>(), any::<u64>(), any::<bool>()), 0..20),
            positions in proptest::collection::vec((any::<u64>(), any::<u64>()), LANES),
        ) {
            let rooms = rooms.into_iter().map(|(room, epoch, pos, presence)| RoomRecord {
                room: RoomId::parse(&room).unwrap(),
                joined: LanePosition { epoch, pos },
                presence,
            });
            let user = UserId::parse("alice").unwrap();
            let record = SessionRecord { user, identity: identity.into(), rooms: rooms.collect() };
            prop_assert_eq!(unpack(&pack(&record)), Some(record));

            let mut base = Base::default();
            for (position, (epoch, pos)) in base.0.iter_mut().zip(positions) {
                *position = LanePosition { epoch, pos };
            }
            prop_assert_eq!(unpack_base(&pack_base(&base)), Some(base));
        }

        #[test]
        fn nothing_that_is_read_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = unpack_base(&bytes);
            let _ = unpack(&bytes);
            let mut formed = vec![FORM];
            formed.extend(bytes);
            let _ = unpack(&formed);
        }
    }

    #[test]
    fn a_record_of_another_form_is_not_guessed_at() {
        let record =
            SessionRecord { user: UserId::parse("alice").unwrap(), identity: "{}".into(), rooms: Vec::new() };
        let mut packed = pack(&record).to_vec();
        packed[0] = 2;
        assert_eq!(unpack(&packed), None);
        assert_eq!(unpack(&pack(&record)[..4]), None);
    }
}
